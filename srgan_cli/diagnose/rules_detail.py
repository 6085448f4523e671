"""IMG06-10: whether the detail of SR is that of the scene, and in its place."""

from __future__ import annotations

import math

import numpy as np

from srgan_cli import runfolder as names
from srgan_cli.diagnose import knobs, stats
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.images import (
    area_mean,
    blockiness,
    border_ratio,
    repeated_texture,
    shift_px,
)
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.pictures import Pictures
from srgan_cli.diagnose.report import Finding, NotChecked, Remedy


def img06(log: RunLog) -> Finding | NotChecked | None:
    """SR has much more or much less fine detail than HR.

    Measured as the power in the top octave of spatial frequencies over that of HR, over the last validations at full adversarial weight. Above 1.3
    detail is invented or noise (a warning from 1.3, an error from 3); below 0.25, and no higher than before the
    adversarial phase, the images are as smooth as plain content training leaves them (a note).
    """
    before, after = log.pre(names.HF_RATIO), log.full(names.HF_RATIO)
    if len(after) < limit.MIN_LAG_VALIDATIONS:
        return NotChecked(
            "IMG06",
            f"{len(after)} validations with {names.HF_RATIO} at full adversarial weight; needs {limit.MIN_LAG_VALIDATIONS}",
        )
    recent = stats.tail(after.values, limit.TAIL_SHARE, 5)
    ratio = float(np.median(recent))
    numbers = {"ratio": ratio, "bicubic": _last(log, names.HF_RATIO_BICUBIC)}
    window = (int(after.steps[-len(recent)]), int(after.steps[-1]))
    if ratio > limit.DETAIL_INVENTED and stats.share_of(recent > limit.DETAIL_INVENTED) >= 0.8:
        return Finding(
            "IMG06",
            "error" if ratio >= limit.DETAIL_NOISE else "warn",
            "Fine detail is invented",
            f"SR has {ratio:.2f} times the power of HR in the top octave of spatial frequencies",
            window,
            "adversarial",
            numbers,
            (knobs.weaker_beta(log, 3, "content must decide what detail is there"),),
        )
    start = float(np.median(before.values[-3:])) if len(before) else math.inf
    if ratio >= limit.DETAIL_SMOOTH or ratio > 1.1 * start:
        return None
    bicubic = "" if numbers["bicubic"] is None else f" (bicubic: {numbers['bicubic']:.2g})"
    return Finding(
        "IMG06",
        "info",
        "The adversarial phase adds no fine detail",
        f"SR has {ratio:.2g} times the power of HR in the top octave of spatial frequencies{bicubic}, no more than before the adversarial phase",
        window,
        "adversarial",
        numbers,
        (_stronger_beta(log),),
        "medium",
    )


def _last(log: RunLog, name: str) -> float | None:
    series = log.get(name)
    return float(series.values[-1]) if len(series) else None


def _stronger_beta(log: RunLog) -> Remedy:
    old = knobs.beta(log)
    new = None if not old else stats.round_nicely(3 * old)
    return Remedy("Training.Losses.adv_loss_beta", old, new, "or train longer")


def img07(pictures: Pictures) -> Finding | NotChecked | None:
    """SR is made of blocks, as by nearest-neighbour interpolation.

    The steps at the edges of LR pixels are more than twice those inside, compared with HR. A network that passes its input through, or a
    `global_skip: nearest` whose residual was never learned.
    """
    if pictures.scale < 2:
        return NotChecked("IMG07", f"scale {pictures.scale} makes no blocks")
    ratio = float(np.median([blockiness(tiles, pictures.scale) for tiles in pictures.sr]))
    control = 1.0 if pictures.hr is None else blockiness(pictures.hr, pictures.scale)
    if ratio <= limit.BLOCKY * control:
        return None
    config = pictures.log.config if pictures.log else None
    skip = config.generator.global_skip if config else None
    shown = f"{ratio:.1f} times" if ratio < 1000 else "incomparably more than"
    return Finding(
        "IMG07",
        "warn",
        "SR is blocky",
        f"neighbours across the edges of {pictures.scale} px cells differ {shown} those inside cells (HR: {control:.2f})",
        pictures.window,
        pictures.phase,
        {"blockiness": min(ratio, 1e6), "hr": control},
        (
            Remedy(
                "Generator.global_skip",
                skip,
                "bicubic" if skip == "nearest" else None,
                "the network adds little to blocks; train longer or at a higher rate",
            ),
        ),
    )


def img08(pictures: Pictures) -> Finding | NotChecked | None:
    """SR repeats a texture that HR does not have.

    A peak in the spectrum of SR over that of HR, away from the frequencies of the grid, in more than 60 % of the tiles and in every one of the
    last validations: the generator knows one texture and puts it everywhere.
    """
    if pictures.hr is None:
        return NotChecked("IMG08", "there is no HR to compare with")
    few = (
        min(pictures.hr.shape[2:]) < 8 * pictures.scale or len(pictures.hr) < limit.MIN_VALIDATIONS
    )
    if few or len(pictures.sr) < limit.GRID_VALIDATIONS:
        return NotChecked("IMG08", "too few or too small tiles, or fewer than three validations")
    peaks = [repeated_texture(tiles, pictures.hr, pictures.scale) for tiles in pictures.sr]
    periods = [peak.period_px for peak in peaks]
    steady = max(periods) - min(periods) <= 0.1 * float(np.median(periods))
    plain = all(
        peak.sigmas >= limit.REPEATED_SIGMAS
        and peak.times >= limit.REPEATED_TIMES
        and peak.share >= limit.REPEATED_TILES
        for peak in peaks
    )
    if not plain or not steady:
        return None
    last = peaks[-1]
    remedies = []
    if pictures.log is not None:
        remedies.append(knobs.weaker_beta(pictures.log, 3, "content must decide where texture is"))
    return Finding(
        "IMG08",
        "warn",
        "SR repeats a texture",
        f"a texture with a period of {last.period_px:.1f} px is in {last.share:.0%} of the tiles of SR, and not in HR ({last.times:.1f} times the power of its neighbours in the spectral ratio)",
        pictures.window,
        pictures.phase,
        {
            "period_px": last.period_px,
            "times": last.times,
            "sigmas": last.sigmas,
            "share": last.share,
        },
        tuple(remedies),
        "medium",
    )


def img09(pictures: Pictures) -> Finding | NotChecked | None:
    """Errors along the border of the tiles are more than twice those inside.

    The network's zero padding reaches far in. Inference reads tiles with a halo, so only the border of the scene itself
    shows it; the numbers of the validation are a little worse than the images. A note.
    """
    if pictures.hr is None:
        return NotChecked("IMG09", "there is no HR to compare with")
    width = 2 * pictures.scale
    if min(pictures.hr.shape[2:]) < 4 * width:
        return NotChecked("IMG09", f"tiles of {pictures.hr.shape[2]} px have no interior")
    ratio = float(np.median([border_ratio(tiles, pictures.hr, width) for tiles in pictures.sr]))
    if ratio <= limit.BORDER_RATIO:
        return None
    config = pictures.log.config if pictures.log else None
    crop = config.data.hr_crop_px if config else None
    return Finding(
        "IMG09",
        "info",
        "Errors gather at the border",
        f"the outermost {width} px are {ratio:.1f} times as wrong as the interior",
        pictures.window,
        pictures.phase,
        {"ratio": ratio},
        (
            Remedy(
                "Data.hr_crop_px",
                crop,
                None if crop is None else 2 * crop,
                "larger crops have less border",
            ),
        ),
    )


def img10(pictures: Pictures) -> Finding | NotChecked | None:
    """SR is shifted against LR.

    By more than a quarter of an LR pixel, measured by phase correlation of SR, brought to the resolution of LR, with LR. Where HR is shifted
    alike, the pairs do not fit, and the generator has learned it.
    """
    if pictures.lr is None:
        return NotChecked("IMG10", "there is no LR to compare with")
    if min(pictures.lr.shape[2:]) < limit.MIN_SHIFT_PX:
        return NotChecked("IMG10", f"LR tiles of {pictures.lr.shape[2]} px are too small")
    rows, columns = _shift(pictures.last, pictures)
    if math.hypot(rows, columns) <= limit.SHIFT_LR_PX:
        return None
    pairs = (
        pictures.hr is not None and math.hypot(*_shift(pictures.hr, pictures)) > limit.SHIFT_LR_PX
    )
    return Finding(
        "IMG10",
        "warn",
        "SR is shifted against LR",
        f"by {rows:+.2f} rows and {columns:+.2f} columns of LR"
        + (": the HR images are shifted alike" if pairs else ""),
        pictures.window,
        pictures.phase,
        {"rows": rows, "columns": columns, "hr_too": pairs},
        (
            Remedy(
                "Data.lr" if pairs else "georeferencing",
                None,
                "pairs on the same ground" if pairs else None,
                "the generator learns the shift of its pairs"
                if pairs
                else "compare the bounds of both files; LR must be the input of this SR",
            ),
        ),
    )


def _shift(tiles: np.ndarray, pictures: Pictures) -> tuple[float, float]:
    if pictures.lr is None:
        return 0.0, 0.0
    return shift_px(area_mean(tiles, pictures.scale), pictures.lr)
