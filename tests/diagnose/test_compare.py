"""Comparing runs: what differs, which one is better, and whether noise explains it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from synthetic_runs import Run, constant, write_csv, write_folder
from test_html import Page

from srgan_cli.diagnose import examine, read_run
from srgan_cli.diagnose.compare import (
    MIN_PAIRS,
    Comparison,
    Difference,
    compare_runs,
    paired_difference,
)
from srgan_cli.diagnose.compare_charts import common_phases, compared_panels
from srgan_cli.diagnose.compare_html import comparison_html
from srgan_cli.diagnose.compare_json import comparison_json, comparison_schema
from srgan_cli.diagnose.compare_text import comparison_text
from srgan_cli.diagnose.log import build_log
from srgan_cli.diagnose.series import Series

Values = dict[str, float]


def better(factor: float):
    def edit(kind: str, step: int, values: Values) -> Values:
        if kind == "val":
            values["val_metrics/l1"] *= factor
            values["val_metrics/psnr"] -= 20 * np.log10(factor)
        return values

    return edit


def compared(*paths: Path) -> Comparison:
    logs = [read_run(path) for path in paths]
    return compare_runs(logs, [examine(log) for log in logs])


def run(**changes: object) -> Run:
    return Run(steps=3000, val_every=50, **changes)


def pair(tmp_path: Path, first: Run, second: Run) -> Comparison:
    return compared(write_folder(first, tmp_path / "a"), write_folder(second, tmp_path / "b"))


def test_a_better_run_is_called_better(tmp_path: Path) -> None:
    found = pair(tmp_path, run(), run(seed=1, edit=better(0.8)))
    assert found.verdicts == ("better in l1, psnr",)
    l1 = next(metric for metric in found.metrics if metric.name == "l1")
    (difference,) = l1.differences
    assert isinstance(difference, Difference)
    assert difference.significant
    assert difference.mean == pytest.approx(-0.2 * l1.runs[0].final, rel=0.2)
    assert pair(tmp_path / "again", run(edit=better(0.8)), run(seed=1)).verdicts == (
        "worse in l1, psnr",
    )


@pytest.mark.parametrize("seed", range(1, 6))
def test_another_seed_is_no_difference(seed: int, tmp_path: Path) -> None:
    found = pair(tmp_path, run(), run(seed=seed))
    assert found.verdicts == ("no difference beyond validation noise in l1, psnr",)


def test_the_interval_keeps_its_promise_on_autocorrelated_noise() -> None:
    rng = np.random.default_rng(0)

    def alarms(num: int, rho: float) -> float:
        count = 0
        for _ in range(400):
            shocks = rng.normal(size=2 * num + 50)
            noise = np.zeros_like(shocks)
            for index in range(1, len(noise)):
                noise[index] = rho * noise[index - 1] + shocks[index]
            steps = np.arange(2 * num, dtype=np.int64)
            first = Series(steps, np.zeros(2 * num))
            found = paired_difference(first, Series(steps, noise[50:]))
            assert isinstance(found, Difference)
            count += found.significant
        return count / 400

    assert alarms(20, 0.0) <= 0.03
    assert alarms(20, 0.5) <= 0.05
    assert alarms(8, 0.5) <= 0.07


def test_few_common_validations_are_not_judged(tmp_path: Path) -> None:
    found = pair(tmp_path, Run(val_every=300), Run(val_every=300, seed=1, edit=better(0.5)))
    assert found.verdicts == ("not compared in l1, psnr",)
    reason = found.metrics[0].differences[0]
    assert isinstance(reason, str)
    assert f"common validations in the last phase; needs {MIN_PAIRS}" in reason


def test_other_cadences_are_paired_at_their_common_steps(tmp_path: Path) -> None:
    found = pair(tmp_path, run(), Run(steps=3000, val_every=100, seed=1, edit=better(0.8)))
    (difference,) = found.metrics[0].differences
    assert isinstance(difference, Difference)
    assert difference.num_pairs == 13


def test_other_images_do_not_compare(tmp_path: Path) -> None:
    found = pair(tmp_path, run(), run(edit=better(0.5), config={"Data.val_crops": 8}))
    assert found.verdicts[0].startswith("validation says nothing: they were validated on other")
    assert "Data.val_crops differ" in found.verdicts[0]
    text = comparison_text(found)
    assert "beyond" not in text


def test_a_crop_size_of_training_changes_no_validation(tmp_path: Path) -> None:
    same = {"Data.val_crop_px": 96}
    found = pair(tmp_path, run(config=same), run(seed=1, config={**same, "Data.hr_crop_px": 64}))
    assert found.metrics_trouble == ""
    assert [one.key for one in found.settings] == ["Data.hr_crop_px"]


def test_pretraining_does_not_compare_with_a_gan(tmp_path: Path) -> None:
    found = pair(tmp_path, run(), run(pretrain=10**6))
    assert "never left pretraining, and a GAN's pixel metrics fall by design" in found.verdicts[0]


def test_settings_and_findings_that_differ(tmp_path: Path) -> None:
    found = pair(tmp_path, run(), run(q=constant(0.85), d_rate=2e-3))
    settings = {one.key: one.values for one in found.settings}
    assert settings == {"Optimizers.optim_d_lr": (1e-4, 2e-3)}
    assert found.findings == (("GAN01", (None, "warn")),)
    text = comparison_text(found)
    assert "  Optimizers.optim_d_lr: A 0.0001, B 0.002\n" in text
    assert "  B  WARN  GAN01  The discriminator overpowers the generator" in text
    assert "  A  separation 0.3" in text


def test_a_finding_that_is_only_worse_is_told(tmp_path: Path) -> None:
    found = pair(tmp_path, run(q=constant(0.85)), run(q=constant(0.85), d_rate=2e-3))
    assert found.findings == (("GAN01", ("info", "warn")),)
    text = comparison_text(found)
    assert "  A  INFO  GAN01 " in text
    assert "  B  WARN  GAN01 " in text


def test_what_is_the_same_is_said_once(tmp_path: Path) -> None:
    assert comparison_text(pair(tmp_path, run(), run(seed=1))).count("step 3000 of 3000") == 1


def test_logs_without_a_configuration(tmp_path: Path) -> None:
    found = compared(
        write_csv(run(), tmp_path / "a.csv"), write_csv(run(edit=better(0.8)), tmp_path / "b.csv")
    )
    assert "a CSV log comes without a configuration" in found.settings_trouble
    assert found.verdicts == ("better in l1, psnr",)
    text = comparison_text(found)
    assert "whether both were validated on the same images is not known" in text


def test_metrics_that_only_one_run_has(tmp_path: Path) -> None:
    def without(kind: str, step: int, values: Values) -> Values:
        return {key: value for key, value in values.items() if key != "val_metrics/psnr"}

    found = pair(tmp_path, run(), run(seed=1, edit=without))
    psnr = next(metric for metric in found.metrics if metric.name == "psnr")
    assert psnr.runs[1] is None
    assert "    B    not logged\n" in comparison_text(found)


@pytest.mark.parametrize("width", [60, 80, 100])
def test_lines_fit(width: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    found = pair(Path(), run(), run(q=constant(0.85), d_rate=2e-3, edit=better(0.8)))
    assert max(map(len, comparison_text(found, width).splitlines())) <= width


def test_command(srgan, tmp_path: Path) -> None:
    paths = [
        write_folder(run(), tmp_path / "one"),
        write_folder(run(seed=1, edit=better(0.8)), tmp_path / "two"),
        write_folder(run(q=constant(0.85), d_rate=2e-3), tmp_path / "three"),
    ]
    code, out, _ = srgan("diagnose", *paths)
    assert code == 1, "the last run has a warning"
    assert out.startswith(f"A          {paths[0]}")
    assert "B against A: better in l1, psnr" in " ".join(out.split())
    assert "one run each: beyond validation noise does not mean" in " ".join(out.split())
    code, out, _ = srgan("diagnose", *paths[::-1], "--json")
    assert code == 0, "the last run is healthy"
    report = json.loads(out)
    assert report["schema_version"] == 1
    assert [one["run"] for one in report["runs"]] == [str(path) for path in paths[::-1]]
    assert {metric["name"] for metric in report["metrics"]} == {"l1", "psnr"}
    assert report["verdicts"] == list(compared(*paths[::-1]).verdicts)


@pytest.mark.parametrize(
    "other", [run(seed=1), run(q=constant(0.85), d_rate=2e-3), run(pretrain=10**6)]
)
def test_json_is_what_its_schema_says(other: Run, tmp_path: Path) -> None:
    text = json.dumps(comparison_json(pair(tmp_path, run(), other)), allow_nan=False)
    jsonschema.Draft202012Validator(comparison_schema()).validate(json.loads(text))


def test_several_runs_and_one_file(srgan, tmp_path: Path) -> None:
    for option in ("--sarif", "--fix", "--config"):
        code, out, err = srgan("diagnose", "a", "b", option, tmp_path / "file")
        assert (code, out) == (2, "")
        assert f"{option} is for one run, not for 2" in err


def test_the_page_of_a_comparison_needs_the_name_of_a_file(srgan, tmp_path: Path) -> None:
    for arguments, name in (((), "comparison.html"), (("--html", "cmp.html"), "cmp.html")):
        code, out, err = srgan("diagnose", "a", "b", *(arguments or ("--html",)))
        assert (code, out) == (2, "")
        assert "--html writes into the folder of a run" in err
        assert f"name the file: --html-file {name}" in err
    second = write_folder(Run(steps=300), tmp_path / "b")
    log = second / "metrics.jsonl"
    code, _, err = srgan("diagnose", second, second, "--html-file", log, "--overwrite")
    assert code == 2
    assert "is what the diagnosis reads" in err


def sound(text: str) -> None:
    """Balanced tags, unique ids, links that lead somewhere, nothing from outside."""
    page = Page(text)
    assert len(page.ids) == len(set(page.ids))
    assert {link.removeprefix("#") for link in page.links} <= set(page.ids)
    assert not {"script", "link", "img"} & set(page.tags)


def test_the_page_of_a_comparison(srgan, tmp_path: Path) -> None:
    first = write_folder(run(), tmp_path / "a")
    second = write_folder(
        run(seed=1, pretrain=800, d_rate=2e-3, q=constant(0.9), edit=better(0.8)), tmp_path / "b<i>"
    )
    page = tmp_path / "cmp.html"
    code, out, err = srgan("diagnose", first, second, "--html-file", page)
    assert code == 1  # that of the second run
    assert "B against A: better in l1, psnr" in out
    assert f"wrote {page}" in err
    text = page.read_text(encoding="utf-8")
    sound(text)
    assert "B against A: better in l1, psnr" in text
    assert "<code>Optimizers.optim_d_lr</code></th><td>0.0001</td><td>0.002</td>" in text
    assert '<a href="#doc-GAN01">GAN01</a></th><td>not found</td>' in text
    assert 'id="doc-GAN01"' in text
    assert "b<i>" not in text
    assert "b&lt;i&gt;" in text
    titles = re.findall(r"<figcaption>([^<]+)</figcaption>", text)
    assert titles[:2] == ["Validation l1", "Validation psnr"]
    assert {"Content loss", "Learning rate of the discriminator"} <= set(titles)
    assert "B: first adversarial step at step 800" in text
    assert len(text) < 3e6
    code, _, err = srgan("diagnose", first, second, "--html-file", page)
    assert code == 2
    assert "cmp.html exists" in err


def test_the_page_says_why_runs_do_not_compare(tmp_path: Path) -> None:
    paths = [
        write_folder(Run(steps=800), tmp_path / "a"),
        write_csv(Run(pretrain=5000, steps=400), tmp_path / "b.csv"),
        *(write_folder(Run(steps=800, seed=seed), tmp_path / f"r{seed}") for seed in range(3)),
    ]
    logs = [read_run(path) for path in paths]
    text = comparison_html(compare_runs(logs, [examine(log) for log in logs]), logs)
    sound(text)
    assert "Not compared: " in text
    assert "never left pretraining" in text
    assert "a CSV log comes without a configuration" in text
    assert "The first 4 runs are drawn." in text
    assert len(compared_panels(logs, "ABCDE")[0].curves) == 4


def test_curves_that_no_run_has_are_left_out() -> None:
    logs = [
        build_log({"val_metrics/l1": Series(steps, steps / 10.0)}, source="x", form="CSV log")
        for steps in (np.arange(5), np.arange(7))
    ]
    (panel,) = compared_panels(logs, "AB")
    assert [curve.label for curve in panel.curves] == ["A", "B"]
    assert common_phases(logs).last == 6
