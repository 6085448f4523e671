"""docs/diagnosis.md, generated from the rules."""

from __future__ import annotations

from typing import Final

from srgan_cli.diagnose.readers.kinds import KINDS
from srgan_cli.diagnose.readers.naming import STEP_COLUMNS
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
configuration to change. It needs neither a GPU nor torch.

    srgan diagnose runs/exp1
    srgan diagnose runs/exp1 --watch
    srgan diagnose runs/exp1 --json > report.json
    srgan diagnose lightning_logs --fail-on error
    srgan diagnose wandb/offline-run-20250101_120000-abcd1234
    srgan diagnose log.csv --map step=iteration --map train_metrics/l1=loss_pix

## What can be read

{inputs}

Metrics have the names that OpenSR-SRGAN and `srgan train` use. A log with other names is read with `--map METRIC=COLUMN`, once
for each metric; `--map step=COLUMN` says where the steps are when no column is named {steps}. JSON may be nested: `{{"a": {{"b": 1}}}}`
is the column `a/b`. A column that was forked by Lightning into `_step` and `_epoch` is read from the first.

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
"""


def diagnosis_page() -> str:
    """The whole page: how to read the report, and a section for every code."""
    inputs = "\n".join(f"- {kind.words}" for kind in KINDS)
    steps = ", ".join(f"`{name}`" for name in STEP_COLUMNS)
    parts = [_INTRO.format(inputs=inputs, steps=steps)]
    for family, title in _FAMILIES.items():
        parts.append(f"## {title}\n")
        parts += [
            f"### {rule.code}: {rule.title}\n\n{rule.documentation}\n"
            for rule in RULES
            if rule.code.startswith(family)
        ]
    return "\n".join(parts)
