"""IMG04, IMG05, IMG11: whether the values of SR are those of the scene."""

from __future__ import annotations

import numpy as np

from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.images import (
    area_mean,
    contrast,
    extreme_share,
    share_beyond,
    sign_test,
    value_range,
)
from srgan_cli.diagnose.pictures import Pictures
from srgan_cli.diagnose.report import Finding, NotChecked, Remedy, Severity


def img04(pictures: Pictures) -> Finding | NotChecked | None:
    """SR is saturated, or holds values that the scene does not have.

    Many pixels at exactly the least or largest value, more than in the reference, come from an output that is cut off: a Tanh, or a
    normalisation that does not cover the data. Many values far outside of the reference come from a generator that
    overshoots edges, or has not learned the level of a band yet.
    """
    reference = pictures.lr if pictures.hr is None else pictures.hr
    if reference is None:
        return NotChecked("IMG04", "there is neither HR nor LR to compare with")
    cut = extreme_share(pictures.last) - extreme_share(reference)
    band = int(np.argmax(cut))
    if cut[band] > limit.SATURATED_SHARE:
        return Finding(
            "IMG04",
            "warn",
            "SR is saturated",
            f"{cut[band]:.1%} more pixels of band {band + 1} than in the reference lie exactly at the least or largest value",
            pictures.window,
            pictures.phase,
            {"saturated_share": [float(share) for share in cut]},
            (
                Remedy(
                    "Data.normalization",
                    _normalization(pictures),
                    "one that covers the values",
                    "the output is cut off; Generator.block_type standard ends in a Tanh",
                ),
            ),
        )
    outside = np.median(
        [share_beyond(tiles, reference, limit.BEYOND_SLACK) for tiles in pictures.sr], axis=0
    )
    band = int(np.argmax(outside))
    if outside[band] <= limit.BEYOND_SHARE:
        return None
    return Finding(
        "IMG04",
        "info",
        "SR leaves the range of the scene",
        f"{outside[band]:.1%} of band {band + 1} lies outside of the reference's values by more than {limit.BEYOND_SLACK:.0%} of their range",
        pictures.window,
        pictures.phase,
        {"share_beyond": [float(share) for share in outside]},
        (Remedy("Training.Losses.l1_weight", None, None, "content holds the level; train longer"),),
        "medium",
    )


def _normalization(pictures: Pictures) -> str | None:
    config = pictures.log.config if pictures.log else None
    if config is None:
        return None
    given = config.data.normalization
    return given if isinstance(given, str) else given.name


def img05(pictures: Pictures) -> Finding | NotChecked | None:
    """A band of SR is brighter or darker than the scene.

    The means of the tiles differ from those of HR (of a raster, of LR) in the same direction in nearly all of them (sign test). From 2 % of
    the band's range a note, from 10 % a warning (in a finished image from 5 %), from 30 % an error. In a run the level
    of a band is among the last things learned; there the median of the last three validations counts.
    """
    reference = pictures.hr if pictures.hr is not None else pictures.lr
    if reference is None:
        return NotChecked("IMG05", "there is neither HR nor LR to compare with")
    if len(reference) < limit.MIN_VALIDATIONS:
        return NotChecked("IMG05", f"{len(reference)} tiles; needs {limit.MIN_VALIDATIONS}")
    if not np.all(pictures.band_range > 0):
        return NotChecked("IMG05", "a band is constant")
    means = np.median([tiles.mean(axis=(2, 3), dtype=np.float64) for tiles in pictures.sr], axis=0)
    each = (means - reference.mean(axis=(2, 3), dtype=np.float64)) / pictures.band_range
    bias = np.median(each, axis=0)
    p = np.array([sign_test(each[:, band]) for band in range(each.shape[1])])
    told = np.where(p < limit.BIAS_P, np.abs(bias), 0.0)
    band = int(np.argmax(told))
    if told[band] < limit.BIAS_INFO:
        return None
    return Finding(
        "IMG05",
        _how_bad(float(told[band]), pictures),
        "A band is too bright" if bias[band] > 0 else "A band is too dark",
        f"band {band + 1} differs from {'HR' if pictures.hr is not None else 'LR'} by {bias[band]:+.1%} of its range on average (p {p[band]:.2g}, {len(each)} tiles)",
        pictures.window,
        pictures.phase,
        {"bias": [float(value) for value in bias], "p": [float(value) for value in p]},
        _level_again(pictures),
    )


def _how_bad(bias: float, pictures: Pictures) -> Severity:
    warn = limit.BIAS_WARN if pictures.kind == "validations" else limit.BIAS_WARN / 2
    return "error" if bias >= limit.BIAS_ERROR else "warn" if bias >= warn else "info"


def _level_again(pictures: Pictures) -> tuple[Remedy, ...]:
    config = pictures.log.config if pictures.log else None
    if config is None:
        why = "anchors the level; or the radiometry of LR is not that of the training"
        return (Remedy("Training.Losses.l1_weight", None, None, why),)
    remedies = []
    if config.generator.global_skip == "none":
        why = "the level comes from LR and need not be learned"
        remedies.append(Remedy("Generator.global_skip", "none", "bicubic", why))
    losses = config.training.losses
    if losses.sam_weight < 0.05:
        why = "holds the ratios of the bands"
        remedies.append(Remedy("Training.Losses.sam_weight", losses.sam_weight, 0.05, why))
    remedies.append(Remedy("Training.max_steps", config.training.max_steps, None, "train longer"))
    return tuple(remedies)


def img11(pictures: Pictures) -> Finding | NotChecked | None:
    """SR is blank: hardly any contrast is left of the scene's.

    In the usual tile a band varies by less than a twentieth of what the reference varies by.
    """
    reference = pictures.hr
    if reference is None and pictures.lr is not None:
        # What is left of SR's contrast at the resolution of LR.
        return _blank(pictures, area_mean(pictures.last, pictures.scale), pictures.lr)
    if reference is not None:
        return _blank(pictures, pictures.last, reference)
    constant = np.flatnonzero(value_range(pictures.last) == 0)
    if not len(constant):
        return NotChecked("IMG11", "there is neither HR nor LR to compare with")
    return _finding(pictures, int(constant[0]), 0.0)


def _blank(pictures: Pictures, sr: np.ndarray, reference: np.ndarray) -> Finding | None:
    share = contrast(sr) / np.maximum(contrast(reference), 1e-12)
    band = int(np.argmin(share))
    if share[band] >= limit.BLANK_SHARE or contrast(reference)[band] == 0:
        return None
    return _finding(pictures, band, float(share[band]))


def _finding(pictures: Pictures, band: int, share: float) -> Finding:
    config = pictures.log.config if pictures.log else None
    rate = config.optimizers.optim_g_lr if config else None
    return Finding(
        "IMG11",
        "error",
        "SR is blank",
        f"band {band + 1} has {share:.1%} of the scene's contrast",
        pictures.window,
        pictures.phase,
        {"contrast": share, "band": band + 1},
        (
            Remedy(
                "Optimizers.optim_g_lr",
                rate,
                None if rate is None else min(rate / 3, 1e-4),
                "a generator that collapsed to a constant starts anew at a lower rate",
            ),
        ),
    )
