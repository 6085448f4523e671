"""What a path is taken for, and what is said about things that are no logs."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from synthetic_runs import Run, write_csv, write_folder

from srgan_cli.diagnose import diagnose_run, read_run
from srgan_cli.diagnose.pages import index_page
from srgan_cli.diagnose.readers import KINDS
from srgan_cli.errors import RefusedError


def refusal(path: Path) -> RefusedError:
    with pytest.raises(RefusedError) as refused:
        diagnose_run(path)
    assert refused.value.exit_code == 2
    assert refused.value.hint
    return refused.value


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "it is a binary file"),
        (b"Training:\n  max_steps: 5\n", "it begins with 'Training:'"),
        ("step,a\n1,2\n".encode("utf-16"), "it is UTF-16 text; save it as UTF-8"),
    ],
)
@pytest.mark.parametrize("name", ["log", "config.yaml", "image.png"])
def test_files_that_are_no_logs(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    refused = refusal(tmp_path / name)
    assert f"{name} is no log of a training: {words}" in refused.message
    for kind in KINDS:
        assert kind.words in refused.hint
        assert kind.words in index_page()


def test_files_with_the_name_of_a_log_that_are_none(tmp_path: Path) -> None:
    for name in ("log.csv", "log.jsonl", "log.tsv"):
        (tmp_path / name).write_bytes(b"\x00\x01\x02" * 100)
        assert "it is a binary file" in refusal(tmp_path / name).message
        (tmp_path / name).write_bytes(b"")
        assert "holds no metrics rows" in refusal(tmp_path / name).message
    (tmp_path / "log.jsonl").write_text("step,a\n1,2\n")
    assert "(2 lines in it are no rows)" in refusal(tmp_path / "log.jsonl").message


def test_folders_that_are_no_runs(tmp_path: Path) -> None:
    assert "it is empty" in refusal(tmp_path).message
    for name in ("a.png", "b.png", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    assert "no log of a training in it (it holds .png, .txt)" in refusal(tmp_path).message
    for name in ("one.csv", "two.jsonl"):
        (tmp_path / name).write_text("step,a\n")
    refused = refusal(tmp_path)
    assert "holds 2 logs: one.csv, two.jsonl" in refused.message
    assert "name one of them" in refused.hint


def test_a_folder_with_one_log_is_that_log(tmp_path: Path) -> None:
    write_csv(Run(stop_at=300), tmp_path / "losses.csv")
    (tmp_path / "a.png").write_bytes(b"x")
    assert read_run(tmp_path).source == str(tmp_path / "losses.csv")


def test_a_log_of_any_name_is_known_by_its_first_line(tmp_path: Path) -> None:
    folder = write_folder(Run(stop_at=300), tmp_path / "run", end=None)
    shutil.copy(folder / "metrics.jsonl", tmp_path / "rows.txt")
    assert read_run(tmp_path / "rows.txt").get("train_metrics/l1").steps[-1] == 290


def test_a_run_folder_is_its_own_log_whatever_mirrors_lie_in_it(tmp_path: Path) -> None:
    folder = write_folder(Run(stop_at=300), tmp_path / "run", end=None)
    (folder / "tensorboard").mkdir()
    (folder / "tensorboard" / "events.out.tfevents.1.x").write_bytes(b"broken")
    (folder / "wandb" / "offline-run-1-x").mkdir(parents=True)
    (folder / "wandb" / "offline-run-1-x" / "run-x.wandb").write_bytes(b"broken")
    write_csv(Run(stop_at=100), folder / "metrics.csv")
    log = read_run(folder)
    assert (log.form, log.last_step) == ("run folder", 300)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_refused_instead_of_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.jsonl")
    assert "is neither a file nor a folder" in refusal(tmp_path / "pipe.jsonl").message


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may read everything")
def test_what_must_not_be_read_is_told(tmp_path: Path) -> None:
    path = write_csv(Run(stop_at=100), tmp_path / "metrics.csv")
    path.chmod(0)
    assert "cannot read" in refusal(path).message
    path.chmod(0o600)


def test_an_unreadable_file_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, for whoever runs the tests as root."""
    path = write_csv(Run(stop_at=100), tmp_path / "metrics.csv")

    def denied(self: Path, *args: object, **options: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    refused = refusal(path)
    assert refused.message == f"cannot read {path}: Permission denied"
    assert "give yourself the right" in refused.hint
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert "permission denied" in refusal(path).message
