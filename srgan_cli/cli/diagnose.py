"""`srgan diagnose`: what is wrong with a training, and what to change."""

from __future__ import annotations

import typer

from srgan_cli.cli import console
from srgan_cli.cli import diagnose_options as given
from srgan_cli.errors import EXIT_FAILED


def diagnose(
    runs: given.Runs,
    json: given.Json = False,
    html: given.Html = False,
    html_file: given.HtmlFile = None,
    sarif: given.Sarif = None,
    fix: given.Fix = None,
    config: given.Config = None,
    overwrite: given.Overwrite = False,
    fail_on: given.FailOn = given.Severity.WARN,
    columns: given.Columns = None,
    watch: given.Watch = False,
    every: given.Every = 5.0,
    scale: given.Scale = None,
    lr: given.Lr = None,
) -> None:
    """Say whether a training is healthy, what is wrong, and which key to change.

    Reads finished and running runs; needs neither a GPU nor torch. Of an SR GeoTIFF it says whether
    the upsampling grid shows, of a weights file whether it will.

    Exits with 1 when a finding is as severe as --fail-on (of several runs, of the last one).

    \b
    Examples:
      srgan diagnose runs/exp1
      srgan diagnose runs/exp1 --watch
      srgan diagnose runs/exp1 --html
      srgan diagnose runs/exp1 --fix cfg2.yaml
      srgan diagnose runs/exp1 --json > report.json
      srgan diagnose runs/exp1 runs/exp2 --html-file comparison.html
      srgan diagnose lightning_logs --fail-on error
      srgan diagnose wandb/offline-run-20250101_120000-abcd1234
      srgan diagnose log.csv --map step=iteration --map train_metrics/l1=loss_pix
      srgan diagnose out.tif --lr in.tif
      srgan diagnose runs/exp1/weights/ema.safetensors
      srgan diagnose RealESRGAN_x4plus.pth
    """  # \b is typer's mark for a paragraph that keeps its lines
    from srgan_cli.cli.diagnose_inputs import Inputs, is_picture
    from srgan_cli.cli.diagnose_outputs import Outputs, show_comparison
    from srgan_cli.diagnose import examine, report_text, to_json

    inputs = Inputs(columns or (), watch, every, scale, lr, config)
    outputs = Outputs(html, html_file, sarif, fix, config, overwrite)
    inputs.check(runs)
    outputs.check(runs, of_training=not is_picture(runs[0]))
    logs = [] if is_picture(runs[0]) else inputs.logs(runs)
    reports = [examine(log) for log in logs] or [inputs.picture(runs[0])]
    report = reports[-1]
    for note in (note for each in reports for note in each.notes):
        console.detail(note)
    if len(runs) > 1:
        show_comparison(logs, reports, html_file, as_json=json)
    elif json:
        console.answer_json(to_json(report))
    else:
        console.answer(report_text(report, console.answer_width()))
    if len(runs) == 1:
        outputs.write(logs[-1] if logs else None, report, runs[-1], fail_on.value)
    if report.reaches(fail_on.value):
        raise typer.Exit(EXIT_FAILED)
