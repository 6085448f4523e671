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
    parts = [_INTRO]
    for family, title in _FAMILIES.items():
        parts.append(f"## {title}\n")
        parts += [
            f"### {rule.code}: {rule.title}\n\n{rule.documentation}\n"
            for rule in RULES
            if rule.code.startswith(family)
        ]
    return "\n".join(parts)
