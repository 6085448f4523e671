"""SEN2NAIP and other pairs in a taco file (format version 1), read in place.

A taco file is a table of samples, each a table of files; of each sample the first file is LR and
the second HR. tacoreader gives their places as `/vsisubfile/` addresses, which GDAL reads.
"""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import Any

from srgan_cli.errors import RefusedError

_SUBFILE = re.compile(r"/vsisubfile/\d+_\d+,.+", re.DOTALL)


def taco_pairs(path: str) -> list[tuple[str, str]]:
    """(HR, LR) addresses of every sample, in the file's order.

    Raises:
        RefusedError: tacoreader is not installed, or the file is not such a file.
    """
    try:
        from tacoreader.v1 import load
    except ImportError as err:
        raise RefusedError(
            f"Data.dataset_type: SEN2NAIP needs tacoreader, which cannot be imported ({err})",
            'pip install "srgan-cli[taco]"',
        ) from err
    if not Path(path).is_file():
        raise RefusedError(
            f"Data.sen2naip_taco_file: there is no {path}",
            "download sen2naipv2-crosssensor.taco from the tacofoundation data sets on Hugging Face",
        )
    try:
        with warnings.catch_warnings():
            # pandas and pyarrow announce their own future.
            warnings.simplefilter("ignore")
            table = load(path)
            return [_pair(table.read(index)) for index in range(len(table))]
    except Exception as err:  # whatever the reader trips over, the file is at fault
        raise RefusedError(
            f"Data.sen2naip_taco_file: cannot read {path}: {' '.join(str(err).split()) or type(err).__name__}",
            "give a taco file of version 1 whose samples are LR and HR, as sen2naipv2-crosssensor.taco is",
        ) from err


def _pair(sample: Any) -> tuple[str, str]:
    if isinstance(sample, str) or len(sample) < 2:
        raise ValueError("its samples are not pairs of LR and HR")
    lr, hr = sample.read(0), sample.read(1)
    for address in (lr, hr):
        if not isinstance(address, str) or not _SUBFILE.fullmatch(address):
            raise ValueError("its samples do not hold raster files")
    return hr, lr
