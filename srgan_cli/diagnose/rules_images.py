"""IMG01, IMG03: a pattern locked to the upsampling grid, in SR or already in HR."""

from __future__ import annotations

from srgan_cli.diagnose import knobs
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.report import SEVERITIES, Finding, NotChecked, Remedy, Severity
from srgan_cli.diagnose.tiles import GridScores, beyond_chance, grid_scores


def img01(log: RunLog) -> Finding | NotChecked | None:
    """The validation images show a checkerboard: a pattern locked to the upsampling grid.

    Found across the native tiles of the last validations: the same pattern at the same phase in all of them, beyond what
    random phases give, so that interpolation, nearest-neighbour blocks and periodic streets do not count. The amplitude is its root mean
    square as a share of the LR value range: from 0.15 % a note, from 0.5 % (or half of the quietest texture) a warning, from 1.5 % an
    error. A period of 2 px comes from the last upsampling stage, a longer one from an earlier one.
    """
    scores = grid_scores(log)
    if isinstance(scores, str):
        return NotChecked("IMG01", scores)
    amplitude = scores.amplitude
    if not scores.significant or amplitude < limit.GRID_INFO:
        return None
    last = scores.sr[-1]
    severity = _severity(scores)
    stage = "the last" if last.period2_share > 0.5 else "an earlier"
    unsure = (
        ""
        if last.num_tiles >= limit.GRID_SURE_TILES
        else f"; unconfirmed with {last.num_tiles} tiles: could be a periodic texture"
    )
    return Finding(
        "IMG01",
        severity,
        "The images show a grid-locked pattern",
        f"a pattern of {amplitude:.2%} of the value range is locked to the {scores.scale} px grid in the last {_times(len(scores.sr))} "
        f"(z {last.z:.1f}, {last.num_tiles} tiles, band {last.band + 1}), made by {stage} upsampling stage{unsure}",
        (scores.steps[0], scores.steps[-1]),
        "run",
        {
            "amplitude": amplitude,
            "amplitudes": [score.amplitude for score in scores.sr],
            "z": last.z,
            "p": last.p,
            "hr_amplitude": scores.hr.amplitude,
            "period2_share": last.period2_share,
            "pattern": [[round(float(value), 7) for value in row] for row in last.pattern],
        },
        _remedies(log),
        "high" if last.num_tiles >= limit.GRID_SURE_TILES else "low",
    )


def _times(count: int) -> str:
    return "validation" if count == 1 else f"{count} validations"


def _severity(scores: GridScores) -> Severity:
    amplitude = scores.amplitude
    severity: Severity = "info"
    if amplitude >= limit.GRID_ERROR:
        severity = "error"
    elif amplitude >= limit.GRID_WARN or scores.texture_ratio >= limit.GRID_TEXTURE_WARN:
        severity = "warn"
    if scores.sr[-1].num_tiles < limit.GRID_SURE_TILES:
        return "info"
    # One or two validations fluctuate too much for an error.
    return (
        min(severity, "warn", key=SEVERITIES.index)
        if len(scores.sr) < limit.GRID_VALIDATIONS
        else severity
    )


def _remedies(log: RunLog) -> tuple[Remedy, ...]:
    remedies = []
    if log.config is None or not log.config.generator.use_icnr:
        why = "the phases of every PixelShuffle start equal (train anew)"
        remedies.append(Remedy("Generator.use_icnr", False if log.config else None, True, why))
    if log.config is None or not log.config.training.ema.enabled:
        why = "averages the weight noise that carries the pattern"
        remedies.append(Remedy("Training.EMA.enabled", False if log.config else None, True, why))
    if log.t_adv is not None:
        remedies.append(knobs.ttur(log, "D's strided layers push the pattern into the generator"))
        remedies.append(knobs.weaker_beta(log, 2, "content holds the pattern down"))
    elif log.config:
        rate = log.config.optimizers.optim_g_lr
        remedies.append(
            Remedy("Optimizers.optim_g_lr", rate, rate / 2, "less weight noise, or train longer")
        )
    return tuple(remedies)


def img03(log: RunLog) -> Finding | NotChecked | None:
    """The grid is in the HR images already: the generator only learns what it is shown.

    Typical of references that were enlarged, compressed as JPEG or mosaicked at a multiple of the grid. Look at the HR
    data at native resolution; retraining will not help.
    """
    scores = grid_scores(log)
    if isinstance(scores, str):
        return NotChecked("IMG03", scores)
    hr = scores.hr
    if (
        not beyond_chance(hr)
        or hr.amplitude < limit.GRID_INFO
        or hr.amplitude < limit.GRID_HR_SHARE * scores.amplitude
    ):
        return None
    sure = hr.num_tiles >= limit.GRID_SURE_TILES
    return Finding(
        "IMG03",
        "warn" if sure and hr.amplitude >= limit.GRID_WARN else "info",
        "The grid is in the HR images already",
        f"HR itself carries a pattern of {hr.amplitude:.2%} of the value range locked to the {scores.scale} px grid (SR: {scores.amplitude:.2%}; z {hr.z:.1f})",
        (scores.steps[0], scores.steps[-1]),
        "run",
        {"hr_amplitude": hr.amplitude, "sr_amplitude": scores.amplitude, "z": hr.z, "p": hr.p},
        (
            Remedy(
                "Data.hr",
                None,
                "references at native resolution",
                "enlarged or JPEG-compressed references carry grids",
            ),
        ),
        "high" if sure else "low",
    )
