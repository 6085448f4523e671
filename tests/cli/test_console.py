import io

import pytest
from rich.console import Console

from srgan_cli.cli import console
from srgan_cli.errors import ConfigError, Problem, RefusedError


@pytest.fixture(autouse=True)
def normal_verbosity():
    console.set_verbosity(0)
    yield
    console.set_verbosity(0)


def test_the_answer_is_neither_wrapped_nor_interpreted(capsys):
    path = "/data/[red]/" + 30 * "long folder/" + "x.tif"
    console.answer(path)
    assert capsys.readouterr() == (path + "\n", "")


def test_messages_go_to_stderr_unwrapped(capsys):
    console.warn("w" * 300)
    console.error(RefusedError("m" * 300, "do [this] instead"))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "warning: " + "w" * 300,
        "error: " + "m" * 300,
        "  fix: do [this] instead",
    ]


def test_all_problems_of_a_configuration_are_shown(capsys):
    problems = [
        Problem(3, 5, "Training.max_stepz", "unknown key", "cfg.yaml"),
        Problem(0, 0, "Model.in_bands", "must be 1 or more", "--set"),
    ]
    console.error(ConfigError(problems))
    assert capsys.readouterr().err.splitlines() == [
        "error: cfg.yaml:3:5: Training.max_stepz: unknown key",
        "--set: Model.in_bands: must be 1 or more",
    ]


def test_verbosity(capsys):
    console.detail("a detail")
    assert capsys.readouterr().err == ""
    console.set_verbosity(1)
    console.detail("a detail")
    assert "a detail" in capsys.readouterr().err
    console.set_verbosity(-1)
    console.note("a note")
    console.warn("a warning")
    console.table("t", ["a"], [["b"]])
    with console.progress("work", 3) as bar:
        bar.advance(3)
        bar.say("done")
    assert capsys.readouterr().err == ""


def test_progress_in_a_pipe_is_plain_lines_with_the_last_text(capsys):
    with console.progress("work", 20) as bar:
        bar.advance(0, "loss 0.5")
        for _ in range(20):
            bar.advance()
        bar.say("validated")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 11
    assert lines[0].startswith("work 2/20")
    assert lines[9].startswith("work 20/20")
    assert all("loss 0.5" in line for line in lines[:10])
    assert lines[10] == "validated"


def test_progress_that_goes_on_starts_where_it_was(capsys):
    with console.progress("work", 20, done=18) as bar:
        bar.advance(2)
    assert capsys.readouterr().err.startswith("work 20/20")


NUMBERS = [
    ("phase", "gan"),
    ("L1", "0.0123"),
    ("D(y)", "0.71"),
    ("D(G(x))", "0.30"),
    ("memory", "9 MB"),
]


def test_the_live_view_in_a_pipe_is_plain_lines_with_the_numbers(capsys):
    with console.live_view("training", 20) as view:
        view.show(NUMBERS)
        for _ in range(10):
            view.advance()
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("training 10/20")
    assert line.endswith("phase gan  L1 0.0123  D(y) 0.71  D(G(x)) 0.30  memory 9 MB")


def test_the_live_view_on_a_terminal_shows_bar_and_grid(monkeypatch):
    file = io.StringIO()
    terminal = Console(file=file, force_terminal=True, width=100, height=20, markup=False)
    monkeypatch.setattr(console, "_err", terminal)
    with console.live_view("training", 20, done=5) as view:
        view.show(NUMBERS)
        view.advance(3)
        view.say("step 8: PSNR 30.00 dB")
    shown = file.getvalue()
    assert "8/20" in shown
    assert "step 8: PSNR 30.00 dB" in shown
    for label, value in NUMBERS:
        assert label in shown
        assert value in shown


def test_the_live_view_is_silent_when_quiet(capsys):
    console.set_verbosity(-1)
    with console.live_view("training", 3) as view:
        view.show(NUMBERS)
        view.advance(3)
        view.say("done")
    assert capsys.readouterr().err == ""


def test_a_table_keeps_every_letter(capsys):
    path = "scenes/" + "a_very_long_name_of_a_scene/" * 5 + "x.tif"
    console.table("scenes", ["file", "role"], [[path, "train"]])
    err = capsys.readouterr().err
    assert path in err.replace("\n", "").replace(" ", "").replace("train", "")
