"""CSV, TSV and JSON lines of any tool, and Lightning's versions: what is read, and what is said about it."""

from __future__ import annotations

import csv
import gzip
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_runs import Run, read_lines, write_csv, write_folder

from srgan_cli import runfolder as names
from srgan_cli.diagnose import diagnose_run, parse_mapping, read_run, report_text, to_json
from srgan_cli.diagnose.log import RunLog
from srgan_cli.diagnose.readers.naming import METRICS
from srgan_cli.diagnose.readers.table import NO_VALUE
from srgan_cli.diagnose.readers.tail import MAX_LINE_BYTES
from srgan_cli.errors import RefusedError
from srgan_cli.runfolder import MetricsWriter, read_metrics

L1 = "train_metrics/l1"


def values(log: RunLog, name: str = L1) -> list[tuple[int, float]]:
    series = log.get(name)
    return list(zip(series.steps.tolist(), series.values.tolist(), strict=True))


def same(one: RunLog, other: RunLog) -> bool:
    return one.series.keys() == other.series.keys() and all(
        np.array_equal(one.get(n).steps, other.get(n).steps)
        and np.array_equal(one.get(n).values, other.get(n).values)
        for n in one.series
    )


# Spellings of one table


@pytest.mark.parametrize(
    "edit",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text.replace(",", "\t"),
        lambda text: text.replace(",", ";"),
        lambda text: text.replace(",", ";").replace(".", ","),
        lambda text: (
            "\n".join(
                ",".join(f'"{cell}"' for cell in line.split(",")) for line in text.splitlines()
            )
            + "\n"
        ),
        lambda text: "\n\n" + text.replace("\n", "\n\n", 3),
        lambda text: text + text.splitlines()[0] + "\n",
    ],
    ids=[
        "CRLF",
        "BOM",
        "tab",
        "semicolon",
        "decimal comma",
        "quotes",
        "blank lines",
        "header again",
    ],
)
def test_spellings_of_a_table_say_the_same(edit: Any, tmp_path: Path) -> None:
    path = write_csv(Run(stop_at=700), tmp_path / "plain.csv")
    text = path.read_text()
    other = tmp_path / "other.csv"
    other.write_text(edit(text), encoding="utf-8", newline="")
    log = read_run(other)
    assert same(log, read_run(path))
    assert log.reading.num_unusable == 0
    assert log.notes == ()


def test_packed_logs_are_read_also_when_cut(tmp_path: Path) -> None:
    path = write_csv(Run(stop_at=700), tmp_path / "plain.csv")
    packed = tmp_path / "log.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert same(read_run(packed), read_run(path))
    rows = [json.dumps({"step": n, L1: 1 / (n + 1)}) + "\n" for n in range(20_000)]
    data = gzip.compress("".join(rows).encode())
    (tmp_path / "log.jsonl.gz").write_bytes(data[: len(data) // 2])
    assert 1000 < len(read_run(tmp_path / "log.jsonl.gz").get(L1)) < 20_000
    (tmp_path / "bad.csv.gz").write_bytes(b"no gzip at all")
    with pytest.raises(RefusedError, match="cannot unpack"):
        read_run(tmp_path / "bad.csv.gz")


# One number of all stands for an empty cell; no metric has it.
numbers = st.floats(allow_nan=True, allow_infinity=True).filter(lambda x: x != NO_VALUE)
rows_of_numbers = st.lists(
    st.tuples(st.integers(0, 10**6), *[st.one_of(st.none(), numbers)] * 3),
    min_size=1,
    max_size=12,
    unique_by=lambda row: row[0],
)


@settings(max_examples=40, deadline=None)
@given(rows=rows_of_numbers, quoted=st.booleans(), delimiter=st.sampled_from(",;\t"))
def test_a_table_comes_back_to_the_last_bit(
    rows: list[Any], quoted: bool, delimiter: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("csv") / "log.csv"
    rows = sorted(rows)
    columns = ["a", "b", "c"]
    with path.open("w", newline="") as file:
        writer = csv.writer(
            file, delimiter=delimiter, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL
        )
        writer.writerow(["step", *columns])
        writer.writerows(["" if cell is None else cell for cell in row] for row in rows)
    _compare(path, rows, columns)


@settings(max_examples=40, deadline=None)
@given(rows=rows_of_numbers, style=st.sampled_from(["python", "strings", "compact", "nested"]))
def test_json_lines_come_back_to_the_last_bit(
    rows: list[Any], style: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("jsonl") / "log.jsonl"
    rows = sorted(rows)
    columns = ["m/a", "m/b", "m/c"]
    with path.open("w") as file:
        for step, *given_cells in rows:
            cells = given_cells
            if style == "strings":
                cells = [str(c) if c is not None and not math.isfinite(c) else c for c in cells]
            row: dict[str, Any] = {"step": step, **dict(zip(columns, cells, strict=True))}
            if style == "nested":
                row = {"step": step, "m": dict(zip("abc", cells, strict=True))}
            file.write(
                json.dumps(row, separators=(",", ":") if style == "compact" else None) + "\n"
            )
    _compare(path, rows, columns)


def _compare(path: Path, rows: list[Any], columns: list[str]) -> None:
    wanted = {
        name: [(row[0], row[at]) for row in rows if row[at] is not None]
        for at, name in enumerate(columns, 1)
    }
    if not any(wanted.values()):
        with pytest.raises(RefusedError, match="holds no metrics rows"):
            read_run(path)
        return
    log = read_run(path)
    for name, pairs in wanted.items():
        # The log of a run drops what is not finite; nothing else may go.
        finite = [(step, value) for step, value in pairs if math.isfinite(value)]
        assert values(log, name) == finite


def test_rows_with_as_many_but_other_keys_are_told_apart(tmp_path: Path) -> None:
    a, b = {"step": 0, "a": 1.0, "b": 2.0}, {"step": 1, "b": 3.0, "c": 4.0}
    swapped = {"c": 6.0, "b": 5.0, "step": 2}
    event = {"kind": "event", "step": 3, "event": "end"}
    train = {"kind": "train", "step": 3, "a": 7.0}
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in (a, b, swapped, event, train)))
    log = read_run(path)
    assert values(log, "a") == [(0, 1.0), (3, 7.0)]
    assert values(log, "b") == [(0, 2.0), (1, 3.0), (2, 5.0)]
    assert values(log, "c") == [(1, 4.0), (2, 6.0)]
    assert [event["event"] for event in log.events] == ["end"]


def test_a_value_that_takes_several_lines_is_no_row(tmp_path: Path) -> None:
    lines = ['{"step": 0, "a": 1}', "[1", "2]", '{"step": 1, "a": 2}']
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(lines) + "\n")
    log = read_run(path)
    assert values(log, "a") == [(0, 1.0), (1, 2.0)]
    assert log.reading.num_unusable == 2


def test_words_in_a_table_are_no_numbers(tmp_path: Path) -> None:
    lines = ["step,a,b", "0,1e3,true", "1,2E-3,null", "2,-.5,", "3,[4],5", "4,e,6"]
    path = tmp_path / "log.csv"
    path.write_text("\n".join(lines) + "\n")
    log = read_run(path)
    assert values(log, "a") == [(0, 1000.0), (1, 0.002), (2, -0.5)]
    assert values(log, "b") == [(3, 5.0), (4, 6.0)]


# Resumes and processes


@settings(max_examples=60, deadline=None)
@given(
    story=st.lists(
        st.tuples(st.sampled_from(["train", "val", "resume", "start"]), st.integers(0, 60)),
        max_size=80,
    )
)
def test_a_run_folder_is_read_as_the_trainer_reads_it(
    story: list[tuple[str, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("run")
    writer = MetricsWriter(folder / "metrics.jsonl")
    for number, (what, step) in enumerate(story):
        if what in ("train", "val"):
            writer.write(what, step, {f"{what}_x": float(number)})
        else:
            writer.write("event", step, {"event": what})
    writer.close()
    kept = read_metrics(folder / "metrics.jsonl")
    wanted = {
        name: {row["step"]: row[name] for row in kept if name in row}
        for name in ("train_x", "val_x")
    }
    if not any(wanted.values()):
        with pytest.raises(RefusedError, match="holds no metrics rows"):
            read_run(folder)
        return
    log = read_run(folder)
    assert {n: dict(values(log, n)) for n in wanted} == wanted
    events = [row["event"] for row in kept if row["kind"] == "event"]
    assert [event["event"] for event in log.events] == events


def test_rows_of_other_processes_are_left_out(tmp_path: Path) -> None:
    lines = ["step,rank,train_metrics/l1"]
    lines += [f"{step},{rank},{0.1 + rank}" for step in range(50) for rank in (1, 0, 3)]
    (tmp_path / "log.csv").write_text("\n".join(lines) + "\n")
    report = diagnose_run(tmp_path / "log.csv")
    assert "rows of 3 processes: those of the first one count" in report.notes
    found = next(f for f in report.findings if f.code == "LOG04")
    assert (found.severity, found.evidence["processes"]) == ("info", 3)
    assert set(read_run(tmp_path / "log.csv").get(L1).values) == {0.1}
    assert "rank" not in read_run(tmp_path / "log.csv").series


def test_steps_that_repeat_without_going_back_are_noticed(tmp_path: Path) -> None:
    lines = [f"{step},{step + rank}" for step in range(100) for rank in range(4)]
    (tmp_path / "log.csv").write_text("step,train_metrics/l1\n" + "\n".join(lines) + "\n")
    found = [f for f in diagnose_run(tmp_path / "log.csv").findings if f.code == "LOG04"]
    assert "75% of the rows repeat the step of another one" in found[0].message


def test_a_resumed_log_gets_its_code_and_a_run_folder_does_not(tmp_path: Path) -> None:
    steps = [*range(100), *range(60, 150)]
    lines = [f"{step},{1 / (step + 1)}" for step in steps]
    (tmp_path / "log.csv").write_text("step,train_metrics/l1\n" + "\n".join(lines) + "\n")
    found = next(f for f in diagnose_run(tmp_path / "log.csv").findings if f.code == "LOG03")
    assert (found.severity, found.evidence["resumed_at"]) == ("ok", [60])
    folder = write_folder(Run(), tmp_path / "run", end=None)
    writer = MetricsWriter(folder / "metrics.jsonl")
    writer.write("event", 1500, {"event": "resume"})
    writer.close()
    report = diagnose_run(folder)
    assert "LOG03" not in {f.code for f in report.findings}
    assert report.notes == ("resumed at step 1500: repeated steps count once",)


def test_many_resumes_of_a_long_log_cost_no_time(tmp_path: Path) -> None:
    steps = np.concatenate([np.arange(0, 2000) + 1000 * n for n in range(100)])
    lines = [f"{step},{n}" for n, step in enumerate(steps)]
    (tmp_path / "log.csv").write_text("step,train_metrics/l1\n" + "\n".join(lines) + "\n")
    log = read_run(tmp_path / "log.csv")
    assert len(log.reading.resumed_at) == 99
    assert log.notes[0].startswith("resumed at step 1000, 2000, 3000, 4000, 5000, ...: ")
    assert len(log.get(L1)) == 101_000
    assert values(log)[1000] == (1000, 2000.0)


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_steps_that_count_both_optimizers_are_told(factor: int, tmp_path: Path) -> None:
    path = write_csv(Run(), tmp_path / "log.csv")
    with path.open(newline="") as file:
        header, *rows = list(csv.reader(file))
    for row in rows:
        batch = int(row[0])
        row[0] = str(batch if batch < 500 else 500 + factor * (batch - 500))
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    report = diagnose_run(path)
    found = [f for f in report.findings if f.code == "LOG05"]
    assert len(found) == (factor == 2)
    assert not report.reaches("warn")
    if found:
        assert found[0].severity == "info"
        assert "10 steps apart in pretraining and 20 from step 500 on" in found[0].message


def test_another_tools_kind_is_a_column_like_others(tmp_path: Path) -> None:
    rows = [json.dumps({"kind": n / 7, "step": n, L1: 0.5}) + "\n" for n in range(20_000)]
    (tmp_path / "log.jsonl").write_text("".join(rows))
    start = time.process_time()
    log = read_run(tmp_path / "log.jsonl")
    assert time.process_time() - start < 5, "time grows with the square of the rows"
    assert (log.form, len(log.get(L1))) == ("JSON lines log", 20_000)


# Damage


def test_lines_that_are_no_rows_are_counted_and_told(tmp_path: Path) -> None:
    folder = write_folder(Run(), tmp_path / "run")
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    lines[20:20] = ["garbage", '{"kind": "train", "step": 5, "x"', "[1, 2]"]
    (folder / "metrics.jsonl").write_text("\n".join(lines) + '\n{"kind": "tra')
    report = diagnose_run(folder)
    assert report.notes == ("left out: 3 lines that no row can be read from",)
    found = next(f for f in report.findings if f.code == "LOG02")
    assert (found.severity, found.evidence["unusable"]) == ("info", 3)
    (folder / "metrics.jsonl").write_text("\n".join(lines + ["\x00" * 20] * 100) + "\n")
    found = next(f for f in diagnose_run(folder).findings if f.code == "LOG02")
    assert found.severity == "warn"
    assert "103 of " in found.message


def test_rows_without_a_step_are_told(tmp_path: Path) -> None:
    """Epoch summaries of some loggers have an epoch only."""
    lines = [f"{n},,{1 / (n + 1)},0" for n in range(60)] + [",1,,0.5", ",2,,0.4"]
    (tmp_path / "log.csv").write_text(
        "step,epoch,train_metrics/l1,val_metrics/l1\n" + "\n".join(lines) + "\n"
    )
    log = read_run(tmp_path / "log.csv")
    assert log.notes == ("left out: 2 rows without a step",)
    assert len(log.get(L1)) == 60
    assert "LOG02" not in {f.code for f in diagnose_run(tmp_path / "log.csv").findings}


def test_the_half_number_at_the_end_of_a_table_is_not_a_number(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,a,train_metrics/l1\n0,1,0.25\n1,1,0.25\n2,3,0.2")
    log = read_run(path)
    assert values(log) == [(0, 0.25), (1, 0.25)]
    assert values(log, "a") == [(0, 1.0), (1, 1.0), (2, 3.0)]
    path.write_text("train_metrics/l1,step\n0.25,0\n0.25,1\n0.25,2")
    assert values(read_run(path)) == [(0, 0.25), (1, 0.25)]


def test_a_line_without_end_costs_neither_memory_nor_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    rows = [json.dumps({"step": n, L1: 0.5}) + "\n" for n in range(10)]
    long = '{"step": 3, "x": "' + "x" * (MAX_LINE_BYTES + 300_000)
    path.write_text("".join(rows[:5]) + long + '"}\n' + "".join(rows[5:]))
    log = read_run(path)
    assert len(log.get(L1)) == 10
    assert log.reading.num_unusable == 1
    path.write_text("".join(rows[:5]) + long)
    assert len(read_run(path).get(L1)) == 5
    path.write_text(long)
    with pytest.raises(RefusedError, match=r"holds no metrics rows.*1 line in it is no row"):
        read_run(path)


def test_nan_that_stands_for_a_missing_value_alarms_nobody(tmp_path: Path) -> None:
    """A log that pandas wrote again with na_rep='nan'."""
    plain = write_csv(Run(), tmp_path / "plain.csv")
    masked = tmp_path / "masked.csv"
    with plain.open(newline="") as file:
        table = list(csv.reader(file))
    with masked.open("w", newline="") as file:
        csv.writer(file).writerows([cell or "nan" for cell in row] for row in table)
    one, other = read_run(plain), read_run(masked)
    assert other.nonfinite == ()
    assert same(one, other)
    assert other.reading.num_masked > 900
    assert "taken for missing values" in other.notes[0]
    # A training that did diverge is still told.
    for row in table[120:]:
        row[1:] = [cell and "nan" for cell in row[1:]]
    with masked.open("w", newline="") as file:
        csv.writer(file).writerows([cell or "nan" for cell in row] for row in table)
    assert "NUM01" in {f.code for f in diagnose_run(masked).findings}


# Lightning's versions


def _versions(folder: Path, parts: list[list[int]], start: float = 0.0) -> None:
    for number, steps in enumerate(parts):
        (folder / f"version_{number}").mkdir(parents=True)
        lines = [f"{step},{number}" for step in steps]
        (folder / f"version_{number}" / "metrics.csv").write_text(
            "step,train_metrics/l1\n" + "\n".join(lines) + "\n"
        )


def test_resumed_versions_become_one_log(tmp_path: Path) -> None:
    logs = tmp_path / "lightning_logs"
    _versions(logs, [list(range(0, 500, 10)), list(range(400, 900, 10)), list(range(900, 990, 10))])
    for place in (tmp_path, logs):
        log = read_run(place)
        assert log.notes == (
            "read version_0 and version_1 and version_2: one training, resumed",
            "resumed at step 400: repeated steps count once",
        )
        assert [int(value) for _, value in values(log)] == [0] * 40 + [1] * 50 + [2] * 9
    only = read_run(logs / "version_1")
    assert len(only.get(L1)) == 50


def test_of_several_trainings_the_newest_is_read(tmp_path: Path) -> None:
    _versions(tmp_path, [list(range(0, 500, 10))] * 9 + [list(range(9, 90, 10)), [], []])
    # By number, not by name: 10 comes after 9.
    log = read_run(tmp_path)
    assert [int(value) for _, value in values(log)] == [9] * 9
    assert log.notes[0].startswith("read version_9, the newest training; left out version_0, ")


def test_versions_may_have_other_columns(tmp_path: Path) -> None:
    _versions(tmp_path, [list(range(0, 100, 10)), list(range(100, 200, 10))])
    second = tmp_path / "version_1" / "metrics.csv"
    second.write_text("epoch,val_metrics/l1,step,train_metrics/l1\n0,,100,7\n0,3,109,\n")
    log = read_run(tmp_path)
    assert values(log)[-1] == (100, 7.0)
    assert values(log, "val_metrics/l1") == [(109, 3.0)]


# --map


def test_columns_with_other_names_are_mapped(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("iter,g_pix,other\n" + "".join(f"{n},{n / 2},1\n" for n in range(30)))
    with pytest.raises(RefusedError, match="has no step column") as refused:
        read_run(path)
    assert "--map step=COLUMN" in refused.value.hint
    log = read_run(path, parse_mapping(["step=iter", f"{L1}=g_pix"]))
    assert values(log)[3] == (3, 1.5)
    assert "g_pix" not in log.series
    assert "other" in log.series
    rows = "".join(json.dumps({"t": n, "loss": {"pix": n}}) + "\n" for n in range(5))
    (tmp_path / "log.jsonl").write_text(rows)
    log = read_run(tmp_path / "log.jsonl", parse_mapping(["step=t", f"{L1}=loss/pix"]))
    assert values(log)[-1] == (4, 4.0)


def test_a_mapping_wins_over_the_name(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,train_metrics/l1,better\n0,1,2\n1,1,2\n")
    log = read_run(tmp_path / "log.csv", parse_mapping([f"{L1}=better"]))
    assert values(log) == [(0, 2.0), (1, 2.0)]


@pytest.mark.parametrize(
    ("option", "message", "hint"),
    [
        ("train_metrics/l1", "not METRIC=COLUMN", "for example"),
        ("=x", "not METRIC=COLUMN", "for example"),
        ("train_metric/l1=x", "no metric is called 'train_metric/l1'", "train_metrics/l1"),
        ("l1=x", "no metric is called 'l1'", "did you mean train_metrics/l1 or val_metrics/l1"),
        ("qqq=x", "no metric is called 'qqq'", "metrics are step, training/pretrain_phase"),
    ],
)
def test_metrics_that_are_not_known_are_refused(option: str, message: str, hint: str) -> None:
    with pytest.raises(RefusedError, match=message) as refused:
        parse_mapping([option])
    assert hint in refused.value.hint


def test_columns_that_are_not_there_are_refused(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("step,g_pixel,other\n0,1,2\n1,1,2\n")
    with pytest.raises(RefusedError, match="has no column 'g_pixl'") as refused:
        read_run(tmp_path / "log.csv", parse_mapping([f"{L1}=g_pixl"]))
    assert refused.value.hint == "did you mean g_pixel?"
    with pytest.raises(RefusedError, match="has no column 'zzz'") as refused:
        read_run(tmp_path / "log.csv", parse_mapping(["step=zzz"]))
    assert refused.value.hint == "its columns are step, g_pixel, other"
    with pytest.raises(RefusedError, match=f"two columns for {L1}: 'a' and 'b'"):
        parse_mapping([f"{L1}=a", f"{L1}=b"])


def test_json_lines_of_others_need_no_kind(tmp_path: Path) -> None:
    rows = read_lines(write_folder(Run(), tmp_path / "run") / "metrics.jsonl")
    for row in rows:
        for name in ("kind", "time"):
            row.pop(name)
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    report = diagnose_run(path)
    assert report.form == "JSON lines log"
    assert not report.reaches("warn")
    assert read_run(path).get(names.G_RATE).values.tolist() == (
        read_run(tmp_path / "run").get(names.G_RATE).values.tolist()
    )


SHAPES = {
    "zeros": np.zeros,
    "constant": lambda n: np.full(n, 0.5),
    "negative": lambda n: -np.arange(n) / n,
    "falling": lambda n: np.exp(-np.arange(n) / 20),
    "huge": lambda n: 1e300 * (1 + np.arange(n) % 3),
    "tiny": lambda n: 1e-300 * (1 + np.arange(n) % 3),
    "nan": lambda n: np.full(n, np.nan),
    "infinite": lambda n: np.where(np.arange(n) % 7, 0.5, np.inf),
    "switched": lambda n: (np.arange(n) < n // 3).astype(float),
    "sanitised": lambda n: np.where(np.arange(n) < n // 2, 0.5, 1e-12),
    "zero at first": lambda n: np.where(np.arange(n) < n // 2, 0.0, 0.5),
}


@settings(max_examples=60, deadline=None)
@given(
    shapes=st.dictionaries(st.sampled_from(METRICS), st.sampled_from(sorted(SHAPES)), min_size=1),
    num_rows=st.sampled_from([9, 60, 250]),
)
def test_whatever_the_metrics_do_there_is_a_report(
    shapes: dict[str, str], num_rows: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("csv") / "log.csv"
    columns = [SHAPES[shape](num_rows).tolist() for shape in shapes.values()]
    lines = [",".join(map(repr, row)) for row in zip(range(num_rows), *columns, strict=True)]
    path.write_text(",".join(["step", *shapes]) + "\n" + "\n".join(lines) + "\n")
    report = diagnose_run(path)
    assert report_text(report).startswith("run ")
    json.dumps(to_json(report))
