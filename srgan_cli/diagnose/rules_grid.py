"""IMG01-03: a pattern locked to the upsampling grid, in SR, growing, or already in HR."""

from __future__ import annotations

import numpy as np

from srgan_cli.checkerboard import CheckerboardScore
from srgan_cli.diagnose import knobs
from srgan_cli.diagnose import thresholds as limit
from srgan_cli.diagnose.pictures import Pictures
from srgan_cli.diagnose.report import SEVERITIES, Finding, NotChecked, Remedy, Severity
from srgan_cli.diagnose.stats import mann_kendall
from srgan_cli.diagnose.tiles import GridScores, beyond_chance, grid_scores, growth_of


def img01(pictures: Pictures) -> Finding | NotChecked | None:
    """The images show a checkerboard: a pattern locked to the upsampling grid.

    Found across many native tiles (of a run, in most of the last three validations): the same pattern at the same phase in all of
    them, beyond what random phases give, so that interpolation, nearest-neighbour blocks and periodic streets do not
    count. The amplitude is its root mean square as a share of the value range of the clearest band, from 0.15 % on.
    A period of 2 px comes from the last upsampling stage, a longer one from an earlier one.

    In finished images and in weights, 0.5 % (or half of the quietest texture) is a warning, 1.5 % an error. In a run, where every
    young generator has some of it and loses it by training on, 2.5 % (or as much as the quietest texture) is a warning,
    6 % an error; but where its settings are known to make patterns (no ICNR, a discriminator faster than half of the
    generator's rate), the strict limits hold.
    """
    scores = grid_scores(pictures)
    if isinstance(scores, str):
        return NotChecked("IMG01", scores)
    amplitude = scores.amplitude
    if not scores.significant or amplitude < limit.GRID_INFO:
        return None
    last = scores.sr[-1]
    stage = "the last" if last.period2_share > 0.5 else "an earlier"
    sure = _sure(last, pictures)
    unsure = f"; unconfirmed with {last.num_tiles} tiles: could be a periodic texture"
    return Finding(
        "IMG01",
        _severity(scores, pictures) if sure else "info",
        "The images show a grid-locked pattern",
        f"a pattern of {amplitude:.2%} of the value range is locked to the {scores.scale} px grid{_where(pictures)} "
        f"(z {last.z:.1f}, {last.num_tiles} {_things(pictures)}, band {last.band + 1}), made by {stage} upsampling stage"
        + ("" if sure else unsure),
        pictures.window,
        pictures.phase,
        {
            "amplitude": amplitude,
            "amplitudes": [score.amplitude for score in scores.sr],
            "z": last.z,
            "p": last.p,
            "hr_amplitude": scores.hr.amplitude if scores.hr else None,
            "period2_share": last.period2_share,
            "pattern": [[round(float(value), 7) for value in row] for row in last.pattern],
        },
        _remedies(pictures),
        "high" if sure else "low",
    )


def _sure(score: CheckerboardScore, pictures: Pictures) -> bool:
    """Whether nothing else than the generator can have made a pattern."""
    return pictures.kind == "probe" or score.num_tiles >= limit.GRID_SURE_TILES


def _where(pictures: Pictures) -> str:
    if pictures.kind != "validations":
        return ""
    count = len(pictures.sr)
    return f" in the last {'validation' if count == 1 else f'{count} validations'}"


def _things(pictures: Pictures) -> str:
    return "smooth fields" if pictures.kind == "probe" else "tiles"


def grid_limits(pictures: Pictures) -> tuple[float, float, float]:
    """Amplitudes of a warning and of an error, and the share of the quietest texture of a warning."""
    lenient = pictures.kind == "validations" and not _settings_make_patterns(pictures)
    return limit.GRID_IN_RUN if lenient else limit.GRID_IN_PRODUCT


def _severity(scores: GridScores, pictures: Pictures) -> Severity:
    young = pictures.kind == "validations"
    warn, error, texture = grid_limits(pictures)
    severity: Severity = "info"
    if scores.amplitude >= error:
        severity = "error"
    elif scores.amplitude >= warn or (
        # Smooth fields have no texture that could hide a pattern.
        scores.texture_ratio >= texture and pictures.kind != "probe"
    ):
        severity = "warn"
    # One or two validations fluctuate too much for an error.
    few = young and len(scores.sr) < limit.GRID_VALIDATIONS
    return min(severity, "warn", key=SEVERITIES.index) if few else severity


def _settings_make_patterns(pictures: Pictures) -> bool:
    config = pictures.log.config if pictures.log else None
    if config is None:
        return False
    unequal = config.generator.model_type != "rrdbnet" and not config.generator.use_icnr
    # The factor keeps rates that are exactly half from failing by rounding.
    return unequal or config.optimizers.d_rate > 0.5001 * config.optimizers.optim_g_lr


def _remedies(pictures: Pictures) -> tuple[Remedy, ...]:
    log = pictures.log
    config = log.config if log else None
    remedies = []
    shuffles = config is None or config.generator.model_type != "rrdbnet"
    if shuffles and (config is None or not config.generator.use_icnr):
        why = "the phases of every PixelShuffle start equal (train anew)"
        remedies.append(Remedy("Generator.use_icnr", False if config else None, True, why))
    if config is None or not config.training.ema.enabled:
        why = "averages the weight noise that carries the pattern"
        remedies.append(Remedy("Training.EMA.enabled", False if config else None, True, why))
    if log is not None and log.t_adv is not None:
        remedies.append(knobs.ttur(log, "D's strided layers push the pattern into the generator"))
        remedies.append(knobs.weaker_beta(log, 2, "content holds the pattern down"))
    elif config:
        rate = config.optimizers.optim_g_lr
        remedies.append(
            Remedy("Optimizers.optim_g_lr", rate, rate / 2, "less weight noise, or train longer")
        )
    return tuple(remedies)


def img02(pictures: Pictures) -> Finding | NotChecked | None:
    """The grid-locked pattern grows: training makes it worse.

    Over the validations of the last phase its amplitude rises, by half or more from the first to the last third, beyond what
    another choice of tiles could change; counted from the full adversarial weight on. A warning
    where the pattern itself is one.
    """
    growth = growth_of(pictures)
    if isinstance(growth, str):
        return NotChecked("IMG02", growth)
    scores = grid_scores(pictures)
    if isinstance(scores, str) or not scores.significant or scores.amplitude < limit.GRID_INFO:
        return None
    amplitudes = np.array(growth.amplitudes)
    third = max(2, len(amplitudes) // 3)
    before, now = (float(np.median(part)) for part in (amplitudes[:third], amplitudes[-third:]))
    trend = mann_kendall(amplitudes)
    apart = growth.late[0] > growth.early[1]
    rising = trend.direction > 0 and trend.p < limit.GROWTH_P
    if now < limit.GROWTH_FACTOR * max(before, 0.0) or not apart or not rising:
        return None
    return Finding(
        "IMG02",
        "info" if _severity(scores, pictures) == "info" else "warn",
        "The grid-locked pattern grows",
        f"its amplitude rose from {max(before, 0.0):.2%} to {now:.2%} of the value range over {len(amplitudes)} validations (95 % intervals {growth.early[1]:.2%} at most, then {growth.late[0]:.2%} at least)",
        (growth.steps[0], growth.steps[-1]),
        "run" if pictures.log is None or pictures.log.t_adv is None else "adversarial",
        {"before": before, "now": now, "p": trend.p, "amplitudes": list(growth.amplitudes)},
        _remedies(pictures),
        "medium",
    )


def img03(pictures: Pictures) -> Finding | NotChecked | None:
    """The grid is in the HR images already: the generator only learns what it is shown.

    Typical of references that were enlarged, compressed as JPEG or mosaicked at a multiple of the grid. Look at the HR
    data at native resolution; retraining will not help.
    """
    scores = grid_scores(pictures)
    if isinstance(scores, str):
        return NotChecked("IMG03", scores)
    hr = scores.hr
    if hr is None:
        return NotChecked("IMG03", "there is no HR to compare with")
    if (
        not beyond_chance(hr)
        or hr.amplitude < limit.GRID_INFO
        or hr.amplitude < limit.GRID_HR_SHARE * scores.amplitude
    ):
        return None
    sure = hr.num_tiles >= limit.GRID_SURE_TILES
    return Finding(
        "IMG03",
        "warn" if sure and hr.amplitude >= limit.GRID_IN_PRODUCT[0] else "info",
        "The grid is in the HR images already",
        f"HR itself carries a pattern of {hr.amplitude:.2%} of the value range locked to the {scores.scale} px grid (SR: {scores.amplitude:.2%}; z {hr.z:.1f})",
        pictures.window,
        pictures.phase,
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
