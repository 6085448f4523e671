"""Following a run: only what was appended is read, and whatever happens to the file is survived."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from synthetic_runs import Run, constant, write_csv, write_folder
from test_record_framing import HEADER, wandb_file

from srgan_cli.diagnose import Watch, diagnose_run
from srgan_cli.diagnose.readers.tail import LineTail, Tail
from srgan_cli.errors import RefusedError
from srgan_cli.runfolder import MetricsWriter

ROOT = Path(__file__).parents[2]


@pytest.fixture
def num_read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes that each call of `Tail.blocks` has read."""
    counts: list[int] = []
    original = Tail.blocks

    def counting(self: Tail, *args: object, **options: object) -> Iterator[bytes]:
        counts.append(0)
        for block in original(self, *args, **options):  # type: ignore[arg-type]
            counts[-1] += len(block)
            yield block

    monkeypatch.setattr(Tail, "blocks", counting)
    return counts


def test_a_run_is_followed_from_before_its_start_to_its_end(
    tmp_path: Path, num_read: list[int]
) -> None:
    run = Run()
    folder = tmp_path / "run"
    watch = Watch(folder)
    assert not watch.look()
    assert "does not exist" in watch.waiting.message
    write_folder(run, tmp_path / "other")
    folder.mkdir()
    (folder / "config.yaml").write_bytes((tmp_path / "other" / "config.yaml").read_bytes())
    assert not watch.look()
    assert "has not logged anything yet" in watch.waiting.message
    writer = MetricsWriter(folder / "metrics.jsonl")
    writer.write("event", 0, {"event": "start"})
    assert not watch.look()
    assert "holds no metrics rows" in watch.waiting.message
    last = (folder / "metrics.jsonl").stat().st_size
    for number, (kind, step, values) in enumerate(run.rows()):
        writer.write(kind, step, values)
        if number % 50 == 49:
            assert watch.look()
            assert watch.report is not None
            assert watch.report.last_step == step
            size = (folder / "metrics.jsonl").stat().st_size
            assert num_read[-1] == size - last, "read again what had been read"
            last = size
            assert not watch.look()
            assert num_read[-1] == 0
    assert not watch.ended
    writer.write("event", 2000, {"event": "end"})
    writer.close()
    assert watch.look()
    assert watch.ended
    assert watch.report is not None
    whole = diagnose_run(folder)
    assert watch.report.overview == whole.overview
    assert watch.report.findings == whole.findings


def test_half_a_line_is_read_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,train_metrics/l1\n0,0.5\n1,0.2")
    watch = Watch(path)
    watch.look()
    assert watch.report is not None
    assert watch.report.num_rows == 1
    with path.open("a") as file:
        file.write("5\n2,0.125\n")
    assert watch.look()
    assert watch.report.num_rows == 3


@pytest.mark.parametrize(
    "how", ["truncated", "rotated", "replaced by a longer one", "other folder"]
)
def test_a_log_that_is_written_anew_is_read_anew(how: str, tmp_path: Path) -> None:
    folder = write_folder(Run(q=constant(0.85), d_rate=2e-3), tmp_path / "run", end=None)
    log = folder / "metrics.jsonl"
    watch = Watch(folder)
    watch.look()
    assert watch.report is not None
    assert watch.report.reaches("warn")
    healthy = write_folder(Run(), tmp_path / "healthy", end=None) / "metrics.jsonl"
    if how == "truncated":
        os.truncate(log, 0)
        assert not watch.look()
        assert watch.report.reaches("warn"), "the last report stands until there is another"
        log.write_bytes(healthy.read_bytes()[:100_000])
    elif how == "rotated":
        log.rename(folder / "metrics.jsonl.1")
        assert not watch.look()
        healthy.rename(log)
    elif how == "replaced by a longer one":
        extra = json.dumps({"kind": "train", "step": 2000, "train_metrics/l1": 0.04}) + "\n"
        log.write_bytes(healthy.read_bytes() + extra.encode() * 500)
    else:
        folder.rename(tmp_path / "gone")
        assert not watch.look()
        healthy.parent.rename(folder)
    assert watch.look()
    assert not watch.report.reaches("warn")


def test_another_version_of_lightning_goes_on(tmp_path: Path) -> None:
    """A resumed training logs into a new folder."""
    rows = [f"{step},{1 / (step + 1)}" for step in range(200)]
    for number, part in enumerate((rows[:120], rows[100:])):
        (tmp_path / f"version_{number}").mkdir()
        text = "step,train_metrics/l1\n" + "\n".join(part) + "\n"
        if number == 0:
            (tmp_path / "version_0" / "metrics.csv").write_text(text)
            watch = Watch(tmp_path)
            watch.look()
            assert watch.report is not None
            assert watch.report.last_step == 119
    assert not watch.look(), "a version without a log changes nothing"
    (tmp_path / "version_1" / "metrics.csv").write_text(text)
    assert watch.look()
    assert (watch.report.last_step, watch.report.num_rows) == (199, 200)


def test_packed_and_binary_logs_are_followed_too(tmp_path: Path) -> None:
    table = write_csv(Run(stop_at=700), tmp_path / "plain.csv").read_bytes()
    packed = tmp_path / "log.csv.gz"
    packed.write_bytes(gzip.compress(table[: len(table) // 2]))
    watch = Watch(packed)
    assert watch.look()
    assert not watch.look()
    assert watch.report is not None
    before = watch.report.num_rows
    packed.write_bytes(gzip.compress(table))
    assert watch.look()
    assert watch.report.num_rows > before
    data = tmp_path / "run-x.wandb"
    whole = wandb_file([b"\x08\x01"])
    data.write_bytes(HEADER)
    watch = Watch(data)
    assert not watch.look()
    assert "pieces of 32 KiB" in watch.waiting.hint
    data.write_bytes(whole)
    assert not watch.look()


def test_what_is_no_log_ends_the_watch(tmp_path: Path) -> None:
    (tmp_path / "thing.png").write_bytes(b"\x89PNG\x00")
    with pytest.raises(RefusedError, match="it is a binary file"):
        Watch(tmp_path / "thing.png").look()


def test_line_tail_gives_every_whole_line_once(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"")
    tail, seen = LineTail(path), b""
    for piece in (b"a", b"b\nc", b"", b"\n\nd\n", b"e"):
        with path.open("ab") as file:
            file.write(piece)
        assert not tail.replaced()
        seen += b"".join(tail.blocks())
    assert (seen, tail.rest) == (b"ab\nc\n\nd\n", b"e")


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "srgan_cli", "diagnose", str(folder), "--watch", "--every", "0.1", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )  # fmt: skip


def wait_for(process: subprocess.Popen[str], words: str) -> None:
    assert process.stderr is not None
    deadline = time.monotonic() + 60
    while words not in (line := process.stderr.readline()):
        assert line, f"the process ended without saying {words!r}"
        assert time.monotonic() < deadline


def test_the_command_follows_to_the_end_record(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start(folder, "--json")
    wait_for(process, "waiting: ")
    write_folder(Run(q=constant(0.85), d_rate=2e-3), folder, end=None)
    wait_for(process, "step 2000 of 2000, adversarial training; this training needs attention")
    writer = MetricsWriter(folder / "metrics.jsonl")
    writer.write("event", 2000, {"event": "end"})
    writer.close()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, "the exit code is that of the findings"
    assert json.loads(out)["findings"][0]["code"] == "GAN01"
    assert "Traceback" not in err


def test_ctrl_c_ends_the_watch_with_the_report(tmp_path: Path) -> None:
    folder = write_folder(Run(stop_at=1200), tmp_path / "run", end=None)
    process = start(folder)
    wait_for(process, "step 1200 of 2000")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert out.startswith("run        ")
    assert "healthy: nothing needs to change" in out
    assert err == "", "a line was told twice"
    process = start(tmp_path / "nothing")
    wait_for(process, "does not exist")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert "error: " in err
