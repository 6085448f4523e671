"""TensorBoard event files, made by tensorboard's own writer."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from synthetic_runs import Run
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.event_file_writer import EventFileWriter
from tensorboard.util.tensor_util import make_tensor_proto

from srgan_cli import runfolder as names
from srgan_cli.diagnose import diagnose_run, read_run
from srgan_cli.errors import RefusedError

L1 = "train_metrics/l1"


def write_events(
    folder: Path,
    rows: list[tuple[int, dict[str, float]]],
    *,
    kind: str = "simple",
    suffix: str = "",
) -> Path:
    """Event file of a writer, one value an event as SummaryWriter writes them."""
    writer = EventFileWriter(str(folder), filename_suffix=suffix)
    for step, values in rows:
        for name, value in values.items():
            written = Summary.Value(tag=name)
            if kind == "simple":
                written.simple_value = value
            else:
                written.tensor.CopyFrom(make_tensor_proto(np.array(value, kind)))
            writer.add_event(Event(step=step, wall_time=step, summary=Summary(value=[written])))
        image = Summary.Value(tag="panel", image=Summary.Image(encoded_image_string=b"x" * 5000))
        writer.add_event(Event(step=step, summary=Summary(value=[image])))
    writer.close()
    return max(folder.glob("*tfevents*"), key=lambda file: file.stat().st_mtime_ns)


def steps_of(run: Run) -> list[tuple[int, dict[str, float]]]:
    return [(step - (kind == "val"), values) for kind, step, values in run.rows()]


def test_a_run_is_read_and_judged(tmp_path: Path) -> None:
    write_events(tmp_path / "logs", steps_of(Run()))
    report = diagnose_run(tmp_path / "logs")
    assert report.form == "TensorBoard log"
    assert not report.reaches("warn")
    log = read_run(tmp_path / "logs")
    assert len(log.get(L1)) == 200
    assert len(log.get("val_metrics/l1")) == 20
    assert log.t_adv == 500
    assert log.reading.resumed_at == ()
    assert "TensorBoard files come without a configuration" in report.overview.plan
    assert "panel" not in log.series


@pytest.mark.parametrize("kind", ["float32", "float64", "int64", "float16"])
def test_scalars_that_are_tensors(kind: str, tmp_path: Path) -> None:
    write_events(tmp_path, [(step, {L1: 2.0}) for step in range(5)], kind=kind)
    assert read_run(tmp_path).get(L1).values.tolist() == [2.0] * 5


def test_a_resumed_run_goes_on_in_another_file(tmp_path: Path) -> None:
    write_events(tmp_path, [(step, {L1: 1.0}) for step in range(0, 100, 5)], suffix=".a")
    first = next(tmp_path.iterdir())
    first.rename(tmp_path / first.name.replace("tfevents.", "tfevents.0"))
    write_events(tmp_path, [(step, {L1: 2.0}) for step in range(60, 150, 5)], suffix=".b")
    log = read_run(tmp_path)
    assert log.get(L1).values.tolist() == [1.0] * 12 + [2.0] * 18
    assert log.reading.resumed_at == (60,)


def test_nested_writers_of_add_scalars(tmp_path: Path) -> None:
    """`add_scalars("discriminator", {"D(y)_prob": ..})` writes in a folder of its own."""
    write_events(tmp_path, [(step, {L1: 1.0, names.PRETRAIN_PHASE: 0.0}) for step in range(20)])
    for key, value in (("D(y)_prob", 0.75), ("D(G(x))_prob", 0.25)):
        rows = [(step, {"discriminator": value}) for step in range(20)]
        write_events(tmp_path / f"discriminator_{key}", rows)
    log = read_run(tmp_path)
    assert log.get(names.D_REAL).values.tolist() == [0.75] * 20
    assert log.get(names.D_FAKE).values.tolist() == [0.25] * 20
    assert len(log.get(L1)) == 20
    assert log.notes == ()


def test_of_several_runs_the_one_written_last_is_read(tmp_path: Path) -> None:
    for number, name in enumerate(("b", "a")):
        file = write_events(tmp_path / name, [(step, {L1: float(number)}) for step in range(20)])
        os.utime(file, (1e9 + number, 1e9 + number))
    log = read_run(tmp_path)
    assert set(log.get(L1).values) == {1.0}
    assert log.notes == ("the newest of 2 runs was read; name another one to read it: b",)
    assert set(read_run(tmp_path / "b").get(L1).values) == {0.0}


def test_cut_and_damaged_files_are_read_up_to_there(tmp_path: Path) -> None:
    file = write_events(tmp_path, [(step, {L1: 1.0}) for step in range(50)])
    data = file.read_bytes()
    seen = []
    for place in range(len(data) // 3, len(data), len(data) // 37):
        file.write_bytes(data[:place])
        log = read_run(file)
        assert log.reading.num_unusable == 0
        seen.append(len(log.get(L1)))
    assert seen == sorted(seen)
    assert 15 <= seen[0] < seen[-1] <= 50
    # Of an image only the length is checked: the damage must hit what counts.
    at = data.index(L1.encode(), len(data) // 2)
    file.write_bytes(data[:at] + b"X" + data[at + 1 :])
    log = read_run(tmp_path)
    assert 20 <= len(log.get(L1)) <= 30
    assert log.notes[0] == f"{file.name} is damaged: read up to there"
    file.write_bytes(data[:10])
    with pytest.raises(RefusedError, match="event files without scalars"):
        read_run(tmp_path)
    file.write_bytes(b"not an event file at all, but named so")
    with pytest.raises(RefusedError, match="is not a TensorBoard event file"):
        read_run(tmp_path)


def test_columns_can_be_mapped(tmp_path: Path) -> None:
    write_events(tmp_path, [(step, {"loss/pix": 1.0}) for step in range(20)])
    assert len(read_run(tmp_path, {L1: "loss/pix"}).get(L1)) == 20
    with pytest.raises(RefusedError, match="has no column 'loss/pox'") as refused:
        read_run(tmp_path, {L1: "loss/pox"})
    assert refused.value.hint == "did you mean loss/pix?"


def test_without_tensorboard_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_events(tmp_path, [(0, {L1: 1.0})])
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto.event_pb2", None)
    with pytest.raises(RefusedError, match="tensorboard, which is not installed") as refused:
        read_run(tmp_path)
    assert refused.value.hint == "pip install 'srgan-cli[tensorboard]'"


def test_neither_torch_nor_tensorflow_is_imported(tmp_path: Path) -> None:
    write_events(tmp_path, [(step, {L1: 1.0}) for step in range(20)])
    # A tensorflow that must not be touched: tensorboard takes it where it finds it.
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "tensorflow.py").write_text("raise SystemExit('tensorflow was imported')")
    program = (
        "import sys, pathlib\n"
        "from srgan_cli.diagnose import read_run\n"
        "read_run(pathlib.Path(sys.argv[1]))\n"
        "assert not {'torch', 'tensorflow', 'wandb'} & set(sys.modules)\n"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=root,
        env={**os.environ, "PYTHONPATH": f"{root}:{tmp_path / 'path'}"},
    )
    assert (done.returncode, done.stderr) == (0, "")
