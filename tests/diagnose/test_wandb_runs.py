"""W&B offline runs as wandb itself writes them: whole, cut anywhere, killed, and several side by side."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from synthetic_runs import Run, write_folder

from srgan_cli import runfolder as names
from srgan_cli.config import load_config
from srgan_cli.diagnose import diagnose_run, read_run
from srgan_cli.errors import RefusedError

STEPS = 800
PROGRAM = """
import json, math, sys
import wandb
config, rows = json.load(open(sys.argv[1]))
run = wandb.init(project="test", mode="offline", config=config, dir=sys.argv[2],
                 settings=wandb.Settings(silent=True, console="off"))
for step, values in rows:
    run.log(values | {"nested": {"a": {"b": step}}, "text": "word", "nothing": None}, step=step)
run.log({"late": math.nan, "big": "x" * 100_000}, step=step + 1)
run.config.update({"added": 1})
run.finish(exit_code=int(sys.argv[3]))
"""


def write_run(folder: Path, run: Run, config: dict[str, object], exit_code: int = 0) -> Path:
    """A run that wandb logged offline; the file."""
    rows: dict[int, dict[str, float]] = {}
    for _, step, values in run.rows():
        rows.setdefault(step, {}).update(values)
    folder.mkdir()
    given = folder / "given.json"
    given.write_text(json.dumps([config, sorted(rows.items())]))
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(given), str(folder), str(exit_code)],
        check=True,
        capture_output=True,
        env={**os.environ, "WANDB_MODE": "offline", "WANDB_DISABLE_GIT": "true"},
        timeout=120,
    )
    (file,) = folder.glob("wandb/offline-run-*/run-*.wandb")
    return file


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mirrored by `srgan train`: with its configuration."""
    folder = tmp_path_factory.mktemp("wandb")
    run = Run(steps=STEPS, pretrain=200, ramp=40, warmup=20, log_every=2, val_every=20)
    config = load_config(write_folder(run, folder / "run") / "config.yaml").config
    return write_run(folder / "mirror", run, config.model_dump(mode="json", by_alias=True))


def test_everything_of_a_run_is_read(ours: Path) -> None:
    log = read_run(ours)
    assert log.form == "W&B run"
    assert log.source == str(ours)
    assert len(log.get("train_metrics/l1")) == STEPS // 2
    assert len(log.get("val_metrics/l1")) == STEPS // 20
    assert log.get("nested/a/b").values.tolist() == log.get("nested/a/b").steps.tolist()
    assert log.t_adv == 200
    assert log.finished
    assert log.config is not None
    assert log.config.optimizers.optim_g_lr == 2e-4
    assert log.max_steps == STEPS
    assert "text" not in log.series
    assert not {"_timestamp", "_runtime", "_step"} & set(log.series)
    report = diagnose_run(ours)
    assert not report.reaches("warn")
    assert report.overview.plan == "phase, adversarial weight, warm-up as config.yaml plans"
    assert "SYS04" in report.checked


def test_a_run_is_found_from_the_folders_above(ours: Path) -> None:
    run = ours.parent
    link = run.parent / "latest-run"
    places = [run, run.parent, run.parent.parent, *([link] if link.exists() else [])]
    for place in places:
        log = read_run(place)
        assert len(log.get("train_metrics/l1")) == STEPS // 2, place
        assert log.notes == ()


def test_of_several_runs_the_newest_is_taken_and_the_others_are_named(
    ours: Path, tmp_path: Path
) -> None:
    newest = "offline-run-20990101_000000-newest00"
    for name in ("offline-run-20200101_000000-oldest00", newest, "run-20210101_000000-online00"):
        (tmp_path / "wandb" / name).mkdir(parents=True)
        shutil.copy(ours, tmp_path / "wandb" / name / f"run-{name[-8:]}.wandb")
    log = read_run(tmp_path)
    assert newest in log.source
    assert log.notes == (
        "the newest of 3 runs was read; name another one to read it: "
        "offline-run-20200101_000000-oldest00, run-20210101_000000-online00",
    )


def test_a_resumed_run_is_read_from_all_its_folders(ours: Path, tmp_path: Path) -> None:
    """`srgan train --resume` goes on under the same id, in another offline folder."""
    first, second = (tmp_path / f"offline-run-2020010{n}_000000-{ours.stem[4:]}" for n in (1, 2))
    data = ours.read_bytes()
    for folder, content in ((first, data[: len(data) // 2]), (second, data)):
        folder.mkdir()
        (folder / ours.name).write_bytes(content)
    log = read_run(tmp_path)
    assert log.reading.resumed_at == (0,)
    assert len(log.get("train_metrics/l1")) == STEPS // 2
    assert log.finished
    assert log.source == str(second / ours.name)
    (second / ours.name).write_bytes(data[: len(data) // 3])
    (first / ours.name).write_bytes(data)
    assert read_run(tmp_path).ended is False, "the end of the first part is not that of the run"
    assert read_run(first).ended


def test_a_run_cut_anywhere_is_read_up_to_there(ours: Path, tmp_path: Path) -> None:
    data = ours.read_bytes()
    whole = read_run(ours)
    cut = tmp_path / "run-cut.wandb"
    lengths = []
    # In the header, in the settings, in a record, at and around the edges of blocks, in the exit record.
    for place in (0, 3, 7, 12, 500, 20_000, 32_760, 32_768, 32_775, len(data) // 2, len(data) - 3):
        cut.write_bytes(data[:place])
        if place <= 500:  # settings only
            with pytest.raises(RefusedError, match="holds no metrics rows"):
                read_run(cut)
            continue
        log = read_run(cut)
        assert log.reading.num_unusable == 0
        assert log.ended is False
        l1 = log.get("train_metrics/l1")
        assert l1.values.tolist() == whole.get("train_metrics/l1").values.tolist()[: len(l1)]
        lengths.append(len(l1))
    assert lengths == sorted(lengths)
    assert lengths[-1] == STEPS // 2
    found = next(skip for skip in diagnose_run(cut).not_checked if skip.code == "SYS04")
    assert "the run seems to be going on" in found.reason


def test_a_damaged_record_is_counted(ours: Path, tmp_path: Path) -> None:
    data = bytearray(ours.read_bytes())
    data[60_000] ^= 1
    damaged = tmp_path / "run-x.wandb"
    damaged.write_bytes(data)
    log = read_run(damaged)
    assert log.reading.num_unusable >= 1
    assert "lines that no row can be read from" in log.notes[0] or "1 line" in log.notes[0]
    assert 0 < len(log.get("train_metrics/l1")) < STEPS // 2


def test_a_foreign_run_has_no_plan_and_its_own_steps(tmp_path: Path) -> None:
    """As Lightning logs: `_step` counts the calls of `log`, `trainer/global_step` the steps."""

    def lightning(kind: str, step: int, values: dict[str, float]) -> dict[str, float]:
        values = {name: value for name, value in values.items() if not name.startswith("time/")}
        values |= {"trainer/global_step": 10.0 * step, "epoch": 0.0}
        return {names.D_LOSS: math.nan} | values if kind == "train" else values

    run = Run(steps=60, pretrain=40, log_every=1, val_every=20, edit=lightning)
    file = write_run(tmp_path / "peer", run, {"Training": {"gpus": [0]}, "lr": 1}, exit_code=3)
    log = read_run(file)
    assert log.get("train_metrics/l1").steps.tolist() == list(range(0, 600, 10))
    assert log.reading.num_stepless == 1, "the last row has no step of the trainer"
    assert "was not configured by srgan" in log.config_trouble
    assert log.ended
    assert not log.finished
    assert log.nonfinite == (), "NaN of the discriminator in pretraining is a dummy"
    assert log.t_adv == 400
    mapped = read_run(file, {"step": "_step"})
    assert mapped.get("train_metrics/l1").steps[-1] == 59


def test_what_is_no_wandb_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run-1.wandb").write_bytes(b"PK\x03\x04 and so on")
    with pytest.raises(RefusedError, match="is not a W&B file: it does not begin with ':W&B'"):
        read_run(tmp_path)


def test_reading_imports_neither_torch_nor_starts_wandb(ours: Path) -> None:
    program = (
        "import sys, threading, pathlib\n"
        "from srgan_cli.diagnose import read_run\n"
        "read_run(pathlib.Path(sys.argv[1]))\n"
        "assert not {'torch', 'tensorboard'} & set(sys.modules)\n"
        "assert threading.active_count() == 1, threading.enumerate()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(ours)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
