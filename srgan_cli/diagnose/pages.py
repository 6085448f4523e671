"""docs/diagnosis.md and a page for every code in docs/diagnosis/, made from the rules."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from srgan_cli.diagnose.readers.kinds import KINDS
from srgan_cli.diagnose.readers.naming import STEP_COLUMNS
from srgan_cli.diagnose.report import CAUSES, Finding, Report
from srgan_cli.diagnose.rules import RULES, Rule
from srgan_cli.diagnose.text import finding_lines, remedy_words

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
_MADE: Final = "<!-- Made by `make docs` from the rules; change those, not this file. -->"

_INTRO: Final = """\
`srgan diagnose RUN` reads the log of a training and says whether it is healthy, what is wrong, and which key of the
configuration to change. It needs neither a GPU nor torch.

    srgan diagnose runs/exp1
    srgan diagnose runs/exp1 --watch
    srgan diagnose runs/exp1 --html                      # runs/exp1/report.html, with plots
    srgan diagnose runs/exp1 --fix cfg2.yaml             # its configuration with the changes advised
    srgan diagnose runs/exp1 runs/exp2                   # what differs, and which one is better
    srgan diagnose runs/exp1 --json > report.json
    srgan diagnose lightning_logs --fail-on error
    srgan diagnose wandb/offline-run-20250101_120000-abcd1234
    srgan diagnose log.csv --map step=iteration --map train_metrics/l1=loss_pix

## What can be read

{inputs}

Metrics have the names that OpenSR-SRGAN and `srgan train` use. A log with other names is read with `--map METRIC=COLUMN`, once
for each metric; `--map step=COLUMN` says where the steps are when no column is named {steps}. JSON may be nested: `{{"a": {{"b": 1}}}}`
is the column `a/b`. A column that was forked by Lightning into `_step` and `_epoch` is read from the first.

Hugging Face's Trainer names its metrics as its user does, apart from `learning_rate`: map them, for example
`--map generator/content_loss=loss --map lr_generator=learning_rate --map val_metrics/l1=eval_l1`.

A table's delimiter is the comma, the semicolon or the tab, whichever is most frequent in its header; where it is not the comma, numbers
may have a decimal comma. Whatever cannot be used is counted and said: lines that are no rows, rows without a step, repeated
steps of a resumed training, rows of other processes. Of several Lightning versions, W&B or TensorBoard runs the newest is read, with
those it was resumed from; the report says which.

A log that ends in the middle of a line or record is a run that was killed or goes on. Only run folders and W&B runs have an end
record; for other logs SYS04 is not checked.

## Following a run

`--watch` looks every five seconds (`--every SECONDS`), reads only what was appended, and shows the report again when it has changed: on
a terminal in place, elsewhere a line with time, step and verdict on stderr. It waits for a run that has not started, copes with logs
that are rotated or written anew, and ends with the run's end record or Ctrl-C. Then the report goes to stdout and the exit code is that of
its findings, as without `--watch`.

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

## Other forms of the report

**`--html`** writes `report.html` into the run folder (beside the log, where there is no folder), `--html-file FILE` elsewhere. The
page holds the findings, the curves with the phases shaded and the steps of each finding marked, the last panels and the
documentation of every code. It is one file without scripts that loads nothing, and stays below 3 MB for logs of any length: of
long series it keeps the smallest and largest value of each stretch.

**`--json`** prints the report for programs. `schema_version` is raised when a field changes its meaning or goes; the
schema is [diagnosis.schema.json](diagnosis.schema.json). Numbers that are not finite are null.

**`--sarif FILE`** writes SARIF 2.1.0 for code scanning and editors: each finding at the line of `config.yaml` whose key it asks to
change, else at line 1. Addresses are relative to the current folder. Each rule names its page in docs/, with an address where
the package's metadata have one for its documentation. Notes are `note`, warnings `warning`, errors
`error`; what was not checked stands among the notifications of the invocation, so that it makes no alert.

**`--fix NEW.yaml`** writes the configuration of the run with the changes advised. Every other byte stays as it was written,
comments included; each changed key gets a comment with the code, the old value and the reason. Changes come from
findings at or above `--fail-on`. Where two findings want one key, the worse one decides; where the schema would refuse a value, where no
key does it, or where a remedy is another way to the same end, nothing is changed, and the comment at the top of the file lists
it. For logs without a `config.yaml`, and to change a file with your own comments, name it with `--config CFG`.

**`srgan diagnose A B [C ...]`** compares runs with the first one: settings, schedules, balance, findings, and the validation
metrics of the last phase. A metric differs *beyond validation noise* when the 99 % interval of the mean difference over the last
half of their common validations (at least 8) leaves out 0; the interval is that of four block means, because successive validations
are alike. It says nothing about what another seed would give. Runs that were validated on other images, or that ended in
different phases, are not compared by their metrics. The exit code is that of the last run. `--json` holds the comparison and
every report ([comparison.schema.json](comparison.schema.json)); `--html-file FILE` writes a page with the same, the messages of the findings, and
the curves of the first four runs in common plots.

## Images and weights

    srgan diagnose out.tif --lr in.tif
    srgan diagnose out.tif --scale 4
    srgan diagnose runs/exp1/weights/ema.safetensors
    srgan diagnose RealESRGAN_x4plus.pth

Of an SR GeoTIFF of any size, up to 64 tiles are read, spread over it at uneven steps; nodata is left out. Whether a
pattern is locked to the upsampling grid is asked of the image alone: streets, fields and interpolation stand at any phase
of the grid, an artefact at the same one everywhere. `--lr` adds the checks of radiometry and position, and its values are
the range that amplitudes refer to; of what `srgan infer --window`, `--bbox` or `--aoi` made, give the whole LR raster: where in
it the image lies is taken from the georeferencing of both. The scale is that of the file's tag SRGAN_SCALE where `--scale` is not given. What no longer is
the network's output is refused with the reason: JPEG and other lossy compression, pictures for the screen, 8-bit
quicklooks with an alpha band, colour tables, warped VRTs, and files that were resampled or cut after `srgan infer` wrote them.

What is found was measured (`benchmarks/checkerboard_limits.py`) on eight Sentinel-2, Landsat and NAIP scenes with random patterns of periods 2, 4 and
8 px at scales 2, 4 and 8, three of each kind. In the six scenes of 500 px a side or more, every pattern from 0.5 % of a band's range on was found,
and of those of 0.2 % nine in ten; those that were missed are in one 8-bit scene and one of Sentinel-2. In scenes of 235 to 350 px, all from 1 % on
but for one in 108: at scale 8 these have five rows and columns of tiles, too few to
tell a pattern of 2 px from chance, and the report says so. An image with fewer is not judged by its grid. Of 360 images without a pattern (the
scenes, their nearest-neighbour and bicubic enlargements, city grids), four were taken for one that has: the smallest scene, half of it covered by streets
whose period was made to be the scale.

Of weights, the generator's answer to smooth fields is judged, which have no detail of their own (torch is needed for this). Checkpoints
of runs, of OpenSR-SRGAN, BasicSR and Real-ESRGAN (`.pt`, `.ckpt`, `.pth`, safetensors) are taken as `srgan import` takes them, with `--config`
for the YAML they were trained with; what nothing says is assumed, and noted. The note
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

## Codes
"""


@dataclass(frozen=True)
class Example:
    """A run in which a code was planted, and what came of it."""

    words: str
    """What was planted."""
    report: Report
    plot: str = ""
    """File name of the plot, beside the page; "" where no curve shows the code."""
    description: str = ""
    """The plot in words."""


def index_page() -> str:
    """docs/diagnosis.md: how to read a report, and the list of all codes."""
    inputs = "\n".join(f"- {kind.words}" for kind in KINDS)
    steps = ", ".join(f"`{name}`" for name in STEP_COLUMNS)
    parts = [f"# Diagnosis\n\n{_MADE}\n\n{_INTRO.format(inputs=inputs, steps=steps)}"]
    families = dict(_FAMILIES)
    for rule in RULES:
        families.setdefault(_family(rule), _family(rule))
    for family, title in families.items():
        rules = [rule for rule in RULES if _family(rule) == family]
        if rules:
            rows = "".join(
                f"| [{each.code}](diagnosis/{each.code}.md) | {each.title} |\n" for each in rules
            )
            parts.append(f"### {title}\n\n| code | finding |\n|---|---|\n{rows}")
    return "\n".join(parts)


def code_pages(examples: Mapping[str, Example], rules: Sequence[Rule] = RULES) -> dict[str, str]:
    """File name -> text of the page of every rule."""
    return {f"{rule.code}.md": "".join(_page(rule, examples.get(rule.code))) for rule in rules}


def _family(rule: Rule) -> str:
    return rule.code.rstrip("0123456789")


def _page(rule: Rule, example: Example | None) -> Iterator[str]:
    yield f"# {rule.code}: {rule.title}\n\n{_MADE}\n\n[All codes](../diagnosis.md#codes)\n\n"
    yield f"## What it means\n\n{rule.documentation}\n\n"
    yield from _related(rule.code)
    yield "## How it looks\n\n"
    if example is None:
        yield "There is no example of this code yet.\n\n"
    else:
        if example.plot:
            yield f"![{example.description}]({example.plot})\n\n"
        else:
            yield "No curve shows it; look at the panels in `images/`.\n\n"
        yield f"Planted in a made-up run: {example.words}. The report says:\n\n"
        finding = _of(example, rule.code)
        yield "".join(f"    {line}".rstrip() + "\n" for line in finding_lines(finding)) + "\n"
    yield "## What to do\n\n"
    if example is None:
        yield "See above; the report names the keys, where there are any.\n"
        return
    remedies = _of(example, rule.code).remedy
    if not remedies:
        yield "See above; no single key does it.\n"
        return
    yield "In the example (keys: [configuration](../configuration.md)):\n\n"
    for remedy in remedies:
        change, why = remedy_words(remedy)
        yield f"- `{change}`" + (f": {why}" if why else "") + "\n"


def _of(example: Example, code: str) -> Finding:
    return next(finding for finding in example.report.findings if finding.code == code)


def _related(code: str) -> Iterator[str]:
    known = {rule.code for rule in RULES}
    effects = [each for each in CAUSES.get(code, ()) if each in known]
    causes = [cause for cause, found in CAUSES.items() if code in found and cause in known]
    if effects:
        yield f"Where it is found, it explains {_links(effects)}; those are not listed by themselves.\n\n"
    if causes:
        yield f"It is not listed by itself where {_links(causes, ' or ')} explains it.\n\n"


def _links(codes: Sequence[str], last: str = " and ") -> str:
    links = [f"[{code}]({code}.md)" for code in codes]
    return last.join([", ".join(links[:-1]), links[-1]]) if len(links) > 1 else links[0]
