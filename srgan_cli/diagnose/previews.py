"""The panels that a run has written last, small enough to be put into a report."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from srgan_cli.diagnose.log import RunLog

MAX_BYTES: Final = 500_000
"""Of one picture; a larger one is shrunk."""
_MAX_PIXELS: Final = 100_000_000
_SIDES_PX: Final = (1600, 1000, 600, 300)


@dataclass(frozen=True)
class Picture:
    """An image as a `data:` address."""

    address: str
    caption: str
    description: str


def last_pictures(log: RunLog) -> tuple[Picture, ...] | str:
    """The last panels of the pretraining and of the run, or the reason why there are none."""
    folder = Path(log.source) / "images"
    if not folder.is_dir():
        return "the run has no images/ folder"
    files = sorted(folder.glob("step_*.png"), key=_step_of)
    if not files:
        return "no panel has been written yet"
    chosen = files[-1:]
    if log.t_adv is not None:
        before = [file for file in files if _step_of(file) <= log.t_adv]
        chosen = [*before[-1:], *chosen] if before and before[-1] != files[-1] else chosen
    pictures = [_picture(file, log) for file in chosen]
    found = tuple(picture for picture in pictures if picture is not None)
    return found or f"images/{files[-1].name} cannot be read"


def _step_of(path: Path) -> int:
    digits = path.stem.removeprefix("step_")
    return int(digits) if digits.isdigit() else -1


def _picture(path: Path, log: RunLog) -> Picture | None:
    data = _small(path)
    if data is None:
        return None
    raw, kind = data
    step = _step_of(path)
    phase = "pretraining" if log.t_adv is None or step <= log.t_adv else "GAN"
    caption = f"Step {step}, {phase}: LR, bicubic, SR, HR, error"
    description = (
        f"Validation crops at step {step}, one a row: LR, bicubic enlargement, SR, HR, and the error "
        "|SR - HR| twice as bright"
    )
    address = f"data:image/{kind};base64,{base64.b64encode(raw).decode()}"
    return Picture(address, caption, description)


def _small(path: Path) -> tuple[bytes, str] | None:
    """The file's bytes, or those of a smaller version, and their format; None when it is no image."""
    from PIL import Image

    try:
        with Image.open(path) as image:
            if image.width * image.height > _MAX_PIXELS:
                return None
            image.load()
            raw = path.read_bytes()
            if image.format == "PNG" and len(raw) <= MAX_BYTES:
                return raw, "png"
            picture = image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return None
    for side in _SIDES_PX:
        picture.thumbnail((side, side))
        buffer = io.BytesIO()
        picture.save(buffer, "JPEG", quality=85)
        if buffer.tell() <= MAX_BYTES:
            break
    return buffer.getvalue(), "jpeg"
