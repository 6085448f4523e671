"""Logs of Hugging Face's Trainer: what is read, and what is said about damaged ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from srgan_cli import runfolder as names
from srgan_cli.diagnose import Watch, diagnose_run, parse_mapping, read_run
from srgan_cli.errors import RefusedError

MAPPING = parse_mapping(
    [f"{names.G_CONTENT}=loss", f"{names.G_RATE}=learning_rate", "val_metrics/l1=eval_loss"]
)


def write_state(folder: Path, steps: int = 1000, **changes: Any) -> Path:
    """As transformers writes it: sorted keys, one list of training and evaluation rows."""
    history: list[dict[str, Any]] = []
    for step in range(10, steps + 1, 10):
        loss = 0.05 + 1 / step
        history.append(
            {
                "epoch": step / 100,
                "grad_norm": 0.5,
                "learning_rate": 1e-4,
                "loss": loss,
                "step": step,
            }
        )
        if step % 100 == 0:
            evaluated = {"eval_loss": 1.1 * loss, "eval_runtime": 1.5}
            history.append({"epoch": step / 100, **evaluated, "step": step})
    state = {"best_metric": None, "global_step": steps, "log_history": history, "max_steps": 2000}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "trainer_state.json"
    path.write_text(json.dumps(state | changes, indent=2, sort_keys=True) + "\n")
    return path


def test_training_and_evaluation_are_read(tmp_path: Path) -> None:
    log = read_run(write_state(tmp_path), MAPPING)
    assert log.form == "Hugging Face log"
    assert log.get(names.G_CONTENT).steps.tolist() == list(range(10, 1001, 10))
    assert log.get(names.G_RATE).values[0] == 1e-4
    assert log.get("val_metrics/l1").steps.tolist() == list(range(100, 1001, 100))
    assert (log.max_steps, log.cut_short) == (2000, True)
    assert "without a configuration" in log.config_trouble


def test_a_fault_is_found_and_what_cannot_be_judged_is_said(tmp_path: Path) -> None:
    path = write_state(tmp_path)
    state = json.loads(path.read_text())
    for row in state["log_history"]:
        if row["step"] > 700 and "loss" in row:
            row["loss"] = float("nan")
    path.write_text(json.dumps(state))
    report = diagnose_run(path, MAPPING)
    found = next(one for one in report.findings if one.code == "NUM01")
    assert found.evidence["first_step"] == 710
    reasons = {one.code: one.reason for one in report.not_checked}
    assert reasons["SYS04"] == "this log format has no end record"


def test_the_newest_checkpoint_of_a_folder_is_read(tmp_path: Path) -> None:
    for steps in (500, 1000, 90):
        write_state(tmp_path / f"checkpoint-{steps}", steps)
    write_state(tmp_path / "checkpoint-last", 10)
    assert read_run(tmp_path, MAPPING).last_step == 1000
    write_state(tmp_path, 200)
    assert read_run(tmp_path, MAPPING).last_step == 200
    assert read_run(tmp_path / "checkpoint-500", MAPPING).last_step == 500


def test_it_is_known_by_its_content_under_any_name(tmp_path: Path) -> None:
    path = write_state(tmp_path).rename(tmp_path / "state of may.json")
    assert read_run(path, MAPPING).last_step == 1000
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(RefusedError, match="is no log of a training"):
        read_run(tmp_path / "other.json")


def test_what_is_damaged_is_told(tmp_path: Path) -> None:
    path = write_state(tmp_path)
    text = path.read_text()
    path.write_text(text[: len(text) // 2])
    with pytest.raises(RefusedError, match="is no whole JSON file"):
        read_run(path)
    write_state(tmp_path, log_history={"step": 1})
    with pytest.raises(RefusedError, match="holds no list 'log_history'"):
        read_run(path)
    write_state(tmp_path, log_history=[])
    with pytest.raises(RefusedError, match="holds no metrics rows"):
        read_run(path)
    write_state(tmp_path, log_history=[{"step": 1, "loss": 0.5}, 7, None])
    assert read_run(path).reading.num_unusable == 2


def test_a_training_that_goes_on_is_followed(tmp_path: Path) -> None:
    write_state(tmp_path, 500)
    watched = Watch(tmp_path / "trainer_state.json", MAPPING)
    assert watched.look()
    assert not watched.look()
    path = write_state(tmp_path, 800)
    whole = path.read_bytes()
    path.write_bytes(whole[:5000])  # the Trainer writes into the file itself
    assert not watched.look()
    assert watched.log is not None
    assert watched.log.last_step == 500
    path.write_bytes(whole)
    assert watched.look()
    assert watched.log.last_step == 800


def test_through_the_command_line(tmp_path: Path, srgan: Any) -> None:
    write_state(tmp_path / "checkpoint-1000")
    code, out, err = srgan("diagnose", tmp_path, "--map", f"{names.G_CONTENT}=loss")
    assert code == 0, err
    assert "(Hugging Face log, " in " ".join(out.split())
