"""What can be read, what is refused, and what a young, broken or foreign log leads to."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_runs import Run, read_lines, write_csv, write_folder

from srgan_cli import runfolder as names
from srgan_cli.diagnose import Report, diagnose_run, read_run, to_json
from srgan_cli.errors import RefusedError
from srgan_cli.runfolder import MetricsWriter


def reasons(report: Report) -> dict[str, str]:
    return {skipped.code: skipped.reason for skipped in report.not_checked}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is not a run folder"),
        (lambda path: path.write_text("x"), "is no log of a training: it begins with 'x'"),
    ],
)
def test_what_is_no_run_is_refused(make: object, words: str, tmp_path: Path) -> None:
    path = tmp_path / "thing"
    make(path)  # type: ignore[operator]
    with pytest.raises(RefusedError, match=words) as refused:
        diagnose_run(path)
    assert refused.value.exit_code == 2
    assert refused.value.hint


def test_a_folder_of_runs_names_one(tmp_path: Path) -> None:
    write_folder(Run(stop_at=50), tmp_path / "runs" / "a")
    with pytest.raises(RefusedError, match="not a run folder") as refused:
        diagnose_run(tmp_path / "runs")
    assert "did you mean" in refused.value.hint
    assert "a/metrics.jsonl" in refused.value.hint


def test_a_run_without_rows_is_refused(tmp_path: Path) -> None:
    folder = write_folder(Run(stop_at=20), tmp_path / "run")
    (folder / "metrics.jsonl").unlink()
    with pytest.raises(RefusedError, match="has not logged anything yet"):
        diagnose_run(folder)
    writer = MetricsWriter(folder / "metrics.jsonl")
    writer.write("event", 0, {"event": "start"})
    writer.close()
    with pytest.raises(RefusedError, match="holds no metrics rows"):
        diagnose_run(folder)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "holds no metrics rows"),
        ("step,a\n", "holds no metrics rows"),
        ("epoch,loss\n1,2\n", "has no step column"),
        ("step,loss\n1,\n2,\n", "holds no metrics rows"),
    ],
)
def test_a_csv_without_a_log_is_refused(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(text)
    with pytest.raises(RefusedError, match=words):
        diagnose_run(tmp_path)


def test_forked_names_masked_zeros_and_aliases(tmp_path: Path) -> None:
    log = read_run(write_csv(Run(), tmp_path / "metrics.csv"))
    rate = log.get(names.D_RATE)
    assert set(rate.values) == {1e-4}, "an _epoch mean was taken"
    assert log.get(names.D_LOSS).steps[0] == 500
    assert len(log.pre(names.D_LOSS)) == 0
    assert log.t_adv == 500
    text = (
        (tmp_path / "metrics.csv").read_text().replace("adv/grad_ratio", "generator/grad_ratio_adv")
    )
    text = text.replace(names.G_NORM, "generator/grad_norm")
    (tmp_path / "metrics.csv").write_text(text)
    log = read_run(tmp_path)
    assert len(log.get("adv/grad_ratio")) == 150
    assert len(log.get(names.G_NORM)) == 200


def test_only_epoch_columns_still_count(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("step,loss_epoch,train_metrics/l1_epoch\n0,1,2\n5,1,3\n")
    assert read_run(tmp_path).get("train_metrics/l1").values.tolist() == [2.0, 3.0]


def test_a_resumed_csv_counts_repeated_steps_once(tmp_path: Path) -> None:
    path = write_csv(Run(), tmp_path / "metrics.csv")
    lines = path.read_text().splitlines()
    cut = next(i for i, line in enumerate(lines) if line.startswith("1200,"))
    back = next(i for i, line in enumerate(lines) if line.startswith("900,"))
    stale = [line.replace(",0.", ",9.") for line in lines[back:cut]]
    path.write_text("\n".join(lines[:back] + stale + lines[back:]) + "\n")
    report = diagnose_run(path)
    assert not report.reaches("info")
    assert report.notes == ("resumed at step 900: repeated steps count once",)
    assert float(read_run(path).get("train_metrics/l1").values.max()) < 1


def test_a_resumed_folder_counts_repeated_steps_once(tmp_path: Path) -> None:
    run = Run()
    folder = write_folder(run, tmp_path / "run", end=None)
    writer = MetricsWriter(folder / "metrics.jsonl")
    writer.write("event", 900, {"event": "resume"})
    for kind, step, values in run.rows():
        if step >= 900:
            writer.write(kind, step, values)
    writer.write("event", 2000, {"event": "end"})
    writer.close()
    report = diagnose_run(folder)
    assert not report.reaches("info")
    assert "resumed at step 900: repeated steps count once" in report.notes
    assert len(read_run(folder).get(names.G_RATE)) == 200


def test_interleaved_processes_are_sorted(tmp_path: Path) -> None:
    rows = [f"{step + jitter},{0.1}" for step in range(0, 900, 3) for jitter in (2, 0, 1)]
    (tmp_path / "metrics.csv").write_text("step,train_metrics/l1\n" + "\n".join(rows) + "\n")
    log = read_run(tmp_path)
    assert len(log.get("train_metrics/l1")) == 900
    assert "several processes" in log.notes[0]


def test_a_damaged_config_does_not_stop_the_diagnosis(tmp_path: Path) -> None:
    folder = write_folder(Run(), tmp_path / "run")
    for text in ("Training: [1, 2", "Training: {g_pretrain_stepz: 3}", "\x00\x01", "- a\n- b\n"):
        (folder / "config.yaml").write_text(text)
        report = diagnose_run(folder)
        assert "config.yaml cannot be used" in reasons(report)["SCH16"]
        assert report.overview.plan.startswith("not compared: config.yaml cannot be used")
        assert not report.reaches("warn")
    (folder / "config.yaml").unlink()
    assert "there is no config.yaml" in reasons(diagnose_run(folder))["SCH15"]


def test_torn_and_foreign_lines_are_left_out(tmp_path: Path) -> None:
    folder = write_folder(Run(), tmp_path / "run")
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    lines.insert(40, "\x00\x00garbage")
    lines.insert(80, json.dumps(["no", "row"]))
    lines.insert(90, json.dumps({"kind": "train", "step": "ten", "train_metrics/l1": 1}))
    lines.insert(
        95, json.dumps({"kind": "train", "step": 5, "train_metrics/l1": "text", "ok": True})
    )
    (folder / "metrics.jsonl").write_text("\n".join(lines) + '\n{"kind": "tra')
    assert not diagnose_run(folder).reaches("info")
    path = write_csv(Run(), tmp_path / "metrics.csv")
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines[:50], lines[0], *lines[50:], "1990,0.3,"]))
    assert not diagnose_run(path).reaches("info")


def test_a_young_run_is_not_alarmed_about(tmp_path: Path) -> None:
    for stop in (15, 45, 200, 480, 560, 640, 900):
        run = Run(stop_at=stop)
        report = diagnose_run(write_folder(run, tmp_path / str(stop), end=None))
        assert not report.reaches("info"), (stop, report.findings)
        assert "the run seems to be going on" in reasons(report)["SYS04"]
        assert ", no end record" in report.overview.schedule
    report = diagnose_run(tmp_path / "15")
    assert report.verdict == "too little log to judge by: nothing alarming in it"
    assert "too early: 2 rows so far" in reasons(report)["LOG01"]
    report = diagnose_run(tmp_path / "480")
    assert reasons(report)["SCH01"] == "still pretraining at step 470 of 500, as planned"
    assert "GAN02" in reasons(report)
    report = diagnose_run(tmp_path / "640")
    assert "the ramp was still going on" in reasons(report)["SCH05"]


def test_a_finished_run_with_few_rows_gets_the_key(tmp_path: Path) -> None:
    report = diagnose_run(
        write_folder(Run(log_every=400, config={"Logging": {"log_every": 400}}), tmp_path / "run")
    )
    found = next(finding for finding in report.findings if finding.code == "LOG01")
    assert "the finished run left" in found.message
    assert (found.remedy[0].key, found.remedy[0].old, found.remedy[0].new) == (
        "Logging.log_every",
        400,
        20,
    )
    assert "rows" in reasons(report)["GAN02"]


def test_a_run_stopped_by_a_signal_in_pretraining_is_not_blamed(tmp_path: Path) -> None:
    report = diagnose_run(
        write_folder(Run(stop_at=400), tmp_path / "run", end="stop", reason="signal", signal=15)
    )
    assert not report.reaches("info")
    assert ", stopped: pretraining" in report.overview.schedule


def age_rows(path: Path, seconds: float) -> None:
    rows = read_lines(path)
    for row in rows:
        row["time"] -= seconds
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_without_row_times_the_file_time_counts(tmp_path: Path) -> None:
    folder = write_folder(Run(stop_at=1200), tmp_path / "run", end=None)
    rows = read_lines(folder / "metrics.jsonl")
    for row in rows:
        del row["time"]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    long_ago = time.time() - 7200
    os.utime(folder / "metrics.jsonl", (long_ago, long_ago))
    assert "2 hours old" in diagnose_run(folder).findings[0].message


def test_a_killed_run_is_noticed(tmp_path: Path) -> None:
    folder = write_folder(Run(stop_at=1200), tmp_path / "run", end=None)
    age_rows(folder / "metrics.jsonl", 3 * 86400)
    report = diagnose_run(folder)
    found = next(finding for finding in report.findings if finding.code == "SYS04")
    assert found.message.startswith(
        "the last row is step 1200 of 2000, 3 days old, and there is no end record"
    )
    assert found.remedy[0].key == "srgan train --resume auto"
    age_rows(write_folder(Run(), tmp_path / "done") / "metrics.jsonl", 3 * 86400)
    assert not diagnose_run(tmp_path / "done").reaches("info")


def test_the_metrics_file_itself_can_be_given(tmp_path: Path) -> None:
    folder = write_folder(Run(), tmp_path / "run")
    assert diagnose_run(folder / "metrics.jsonl").source == str(folder)
    assert "SCH16" in diagnose_run(folder / "metrics.jsonl").checked


def test_a_log_with_nothing_but_steps_of_one_metric(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text(
        "step,train_metrics/l1\n" + "\n".join(f"{i},{1 / (i + 1)}" for i in range(100))
    )
    report = diagnose_run(tmp_path)
    assert not report.reaches("warn")
    assert "neither training/pretrain_phase nor an adversarial loss" in reasons(report)["SCH01"]


def test_start_event_gives_the_length(tmp_path: Path) -> None:
    folder = write_folder(Run(stop_at=900), tmp_path / "run", end=None)
    rows = read_lines(folder / "metrics.jsonl")
    rows[0]["max_steps"] = 3600
    (folder / "metrics.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    assert diagnose_run(folder).max_steps == 3600


cells = st.one_of(
    st.floats(allow_nan=True, allow_infinity=True).map(repr),
    st.sampled_from(["", "nan", "inf", "-inf", "0", "text", "1e400", '"a,b"']),
)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.lists(cells, min_size=5, max_size=6), max_size=40))
def test_any_csv_is_judged_or_refused(
    rows: list[list[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("csv") / "metrics.csv"
    header = f"step,train_metrics/l1,val_metrics/l1,{names.D_LOSS},{names.PRETRAIN_PHASE}"
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]))
    with contextlib.suppress(RefusedError):
        report = diagnose_run(path)
        assert report.num_rows > 0
        json.dumps(to_json(report), allow_nan=False)
