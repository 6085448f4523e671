"""docs/diagnosis.md, generated from the rules."""

from __future__ import annotations

from typing import Final

from srgan_cli.diagnose.rules import RULES

_FAMILIES: Final = {
    "GAN": "Balance of generator and discriminator",
    "NUM": "Numbers",
    "SCH": "Schedule",
    "EMA": "Moving average",
    "FIT": "Fit",
    "IMG": "Images",
    "SYS": "Machine",
    "LOG": "Log",
}

_INTRO: Final = """\
# Diagnosis

`srgan diagnose RUN` reads the log of a training and says whether it is healthy, what is wrong, and which key of the
configuration to change. RUN is a run folder of `srgan train` (also of a run that is still going on), a Lightning
`metrics.csv`, or a folder with one. It needs neither a GPU nor torch.

    srgan diagnose runs/exp1
    srgan diagnose runs/exp1 --json > report.json
    srgan diagnose lightning_logs/version_3/metrics.csv --fail-on error

It also judges SR images and weights; see *Images and weights* below.

## Reading the report

From top to bottom: the **verdict**; **schedule**, where the run is in its plan; **balance**, who is ahead, generator or
discriminator; **plan**, whether the log is what `config.yaml` plans for each step; **images**, whether the native
validation tiles carry a pattern locked to the upsampling grid. Then the **findings**, worst first, each with its numbers and
steps and, after an arrow, the key to change from what to what, and why. Then what was **checked**, and what was **not checked**
and why: silence about a check never means that it passed. One cause makes one finding; what it explains is named in it.

| severity | meaning |
|---|---|
| error | the training is broken, or its result is not what it seems |
| warn | it works less well than it should; change something |
| info | worth knowing; nothing needs to change |
| ok | something good was confirmed |

The exit code is 1 when a finding at or above `--fail-on` exists (`warn` by default), 0 when none does, and 2 when nothing can be
judged: no such folder, no log, no rows.

D(y) and D(G(x)) are never read raw. With label smoothing D aims at 0.9 on real images, so chance is 0.45 and the best
possible loss is 0.1625, not 0. The report uses the *separation* (D(y) - D(G(x))) / target, 0 at chance and 1 for a
perfect discriminator, and the loss *relative to chance*. In super-resolution a discriminator that is ahead is normal;
0.5 from the first step on is not an equilibrium but a discriminator that never learned.

`--json` prints the same report for programs; `schema_version` is raised when the meaning of a field changes.

## Images and weights

    srgan diagnose out.tif --lr in.tif
    srgan diagnose out.tif --scale 4
    srgan diagnose runs/exp1/weights/ema.safetensors

Of an SR GeoTIFF of any size, up to 64 tiles are read, spread over it at uneven steps; nodata is left out. Whether a
pattern is locked to the upsampling grid is asked of the image alone: streets, fields and interpolation stand at any phase
of the grid, an artefact at the same one everywhere. `--lr` adds the checks of radiometry and position, and its values are
the range that amplitudes refer to; the scale is that of the file's tag SRGAN_SCALE where `--scale` is not given. What no longer is
the network's output is refused with the reason: JPEG and other lossy compression, pictures for the screen, 8-bit
quicklooks with an alpha band, colour tables, warped VRTs, and files that were resampled or cut after `srgan infer` wrote them.

Found are patterns from 0.2 % of a band's range on at periods of 2, 4 and 8 px, in 8-bit images from about 0.5 % of a narrow
range, where rounding leaves something of them (`benchmarks/checkerboard_limits.py`). An image of which fewer than five rows and columns of
tiles are free of nodata is not judged by its grid.

Of weights, the generator's answer to smooth fields is judged, which have no detail of their own (torch is needed for this). The note
on unequal gain of the upsampling phases tells where they come from: 0 = as ICNR starts, 0.87 = never applied.

## What the trainer logs for it

| name | what it is |
|---|---|
| `adv/grad_ratio` | gradient of the adversarial over that of the content terms at the generator's last layer |
| `discriminator/logits_real_mean`, `_std`, `logits_fake_mean`, `_std` | D's logits on HR and on SR, on the step of the row |
| `val_metrics/D(y)_prob`, `val_metrics/D(G(x))_prob` | D on the validation crops |
| `val_metrics/hf_ratio`, `val_metrics/hf_ratio_bicubic` | power of SR, and of bicubic, over that of HR in the top octave of spatial frequencies |
| `grad_norm/generator`, `grad_norm/discriminator` | global gradient norms before clipping |
| `grad_norm/generator_clipped`, `grad_norm/discriminator_clipped` | share of the interval's steps that were clipped |
| `travel/generator`, `travel/discriminator` | sum of the rates so far: Adam moves a weight by at most about the rate per step |
| `plateau/generator_best`, `plateau/generator_num_bad`, and of the discriminator | state of the plateau schedulers |
| `ema/decay`, `events/skipped_steps` | the average's decay, steps skipped as not finite |
| `time/step`, `time/data_wait`, `time/validation`, `system/peak_memory_mb` | seconds and megabytes |

The event `end` or `stop` is the exit record: `stop` with the reason signal, guard, nonfinite, early_stop, interrupted, or failed with the
error. Logits and the gradient ratio are measured on logged steps only, and nothing makes the host wait between them.
"""


def diagnosis_page() -> str:
    """The whole page: how to read the report, and a section for every code."""
    parts = [_INTRO]
    for family, title in _FAMILIES.items():
        parts.append(f"## {title}\n")
        parts += [
            f"### {rule.code}: {rule.title}\n\n{rule.documentation}\n"
            for rule in RULES
            if rule.code.startswith(family)
        ]
    return "\n".join(parts)
