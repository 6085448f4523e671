"""Which archive a file lies in, and whether what lies there is what was put there."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path

from srgan_cli.data.sentinel2_files import product_and_granule
from srgan_cli.errors import RefusedError

_MEMBER = re.compile(
    r"/vsizip/(?:\{(?P<braced>.+?)\}|(?P<plain>.+?\.zip))(?:/(?P<name>.*))?", re.IGNORECASE
)
_READ_BYTES = 2**20


def refuse_rotten(path: str, files: Iterable[str]) -> None:
    """Read the files of a raster that lie in local archives, and compare their checksums.

    GDAL does not, and JPEG 2000, which Sentinel-2 comes in, has none of its own: pixels are made of
    whatever is there. It takes a few seconds for the bands of a product.

    Args:
        path: INPUT, for the message.
        files: As GDAL names them: `/vsizip/{a.zip}/b.tif`. Others are passed over.

    Raises:
        RefusedError: A file is damaged.
    """
    for file in files:
        found = _MEMBER.fullmatch(file)
        archive = local_file(file)
        if found is None or not archive.is_file():
            continue
        try:
            _read(archive, found["name"])
        except (zipfile.BadZipFile, zlib.error, EOFError) as err:
            name = found["name"] or "what is"
            raise RefusedError(
                f"{path}: {name} in it is damaged ({err})", "download or pack it again"
            ) from err
        except (KeyError, NotImplementedError, RuntimeError, OSError):
            # Encrypted, of a method that Python does not know, named otherwise: GDAL will tell.
            continue


def local_file(name: str) -> Path:
    """What on this machine holds something that GDAL or a user names so: of an archive's member the archive."""
    found = _MEMBER.fullmatch(name)
    if found:
        return Path(found["braced"] or found["plain"])
    return Path(product_and_granule(name)[0])


def _read(archive: Path, name: str | None) -> None:
    """A member, or all of them where GDAL took the only raster."""
    with zipfile.ZipFile(archive) as opened:
        for each in [name] if name else opened.namelist():
            with opened.open(each) as member:
                while member.read(_READ_BYTES):
                    pass
