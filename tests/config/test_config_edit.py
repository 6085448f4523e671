"""A key of a configuration file is changed; nothing else of the file is."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srgan_cli.config import load_text, names
from srgan_cli.config.edit import Edit, EditError, change_key, line_of, override, yaml_value

TEXT = """\
# my run
Data:
  hr: [scenes]   # all of them
Model: {in_bands: 1}
Training:   # the plan
  max_steps: 100  # a short one
  EMA: {decay: 0.9}
  # about the losses
  Losses:

Optimizers:
  optim_g_lr: 1e-4
  betas:
    - 0.5
    - 0.9

  # after the betas
  eps: 1e-7
Schedulers:
  cooldown: 3  # for both
"""


def changed(text: str, key: str, value: object, *comment: str) -> str:
    return change_key(text, Edit(key, value, comment))


@pytest.mark.parametrize(
    ("key", "value", "old", "new"),
    [
        (
            "Training.max_steps",
            50,
            "  max_steps: 100  # a short one\n",
            "  # why\n  max_steps: 50  # a short one\n",
        ),
        (
            "Optimizers.optim_g_lr",
            1e-5,
            "  optim_g_lr: 1e-4\n",
            "  # why\n  optim_g_lr: 1.0e-05\n",
        ),
        (
            "Training.EMA.decay",
            0.99,
            "  EMA: {decay: 0.9}\n",
            "  # why\n  EMA: {decay: 0.99}\n",
        ),
        (
            "Training.EMA.use_num_updates",
            True,
            "  EMA: {decay: 0.9}\n",
            "  # why\n  EMA: {decay: 0.9, use_num_updates: true}\n",
        ),
        (
            "Optimizers.betas",
            [0.0, 0.99],
            "  betas:\n    - 0.5\n    - 0.9\n",
            "  # why\n  betas: [0.0, 0.99]\n",
        ),
        (
            "Training.Losses.r1_gamma",
            10.0,
            "  Losses:\n",
            "  Losses:\n    # why\n    r1_gamma: 10.0\n",
        ),
        (
            "Data.augment",
            False,
            "  hr: [scenes]   # all of them\n",
            "  hr: [scenes]   # all of them\n  # why\n  augment: false\n",
        ),
        (
            "Training.g_pretrain_steps",
            30,
            "  Losses:\n",
            "  Losses:\n  # why\n  g_pretrain_steps: 30\n",
        ),
        (
            "Generator.use_icnr",
            False,
            "  cooldown: 3  # for both\n",
            "  cooldown: 3  # for both\nGenerator:\n  # why\n  use_icnr: false\n",
        ),
        (
            "Schedulers.cooldown_d",
            7,
            "  cooldown: 3  # for both\n",
            "  # why\n  cooldown_d: 7  # for both\n  cooldown_g: 3\n",
        ),
    ],
)
def test_one_key_changes_and_no_other_byte(key: str, value: object, old: str, new: str) -> None:
    assert TEXT.count(old) == 1
    assert changed(TEXT, key, value, "why") == TEXT.replace(old, new)


def test_line_breaks_of_windows_stay() -> None:
    text = TEXT.replace("\n", "\r\n")
    for key, value in (("Training.max_steps", 50), ("Generator.use_icnr", False)):
        expected = changed(TEXT, key, value, "why").replace("\n", "\r\n")
        assert changed(text, key, value, "why") == expected


def test_a_file_in_one_line() -> None:
    text = "{Data: {hr: [scenes]}, Model: {in_bands: 1}}"
    assert changed(text, "Training.EMA.decay", 0.99) == (
        "{Data: {hr: [scenes]}, Model: {in_bands: 1}, Training: {EMA: {decay: 0.99}}}"
    )


def test_old_spellings_are_kept() -> None:
    text = "Training:\n  g_warmup_steps: 10\n"
    assert changed(text, "Schedulers.g_warmup_steps", 20) == "Training:\n  g_warmup_steps: 20\n"
    text = "Schedulers: {cooldown: 3}\n"
    assert (
        changed(text, "Schedulers.cooldown_g", 5) == "Schedulers: {cooldown_g: 5, cooldown_d: 3}\n"
    )


@pytest.mark.parametrize(
    ("text", "key", "value", "words"),
    [
        (TEXT, "Model.in_bands", 0, "must be at least 1"),
        (
            "Optimizers: {optim_g_lr: &r 1e-4, optim_d_lr: *r}\n",
            "Optimizers.optim_g_lr",
            1e-5,
            "shared with another key",
        ),
        ("Data:\n  degradation: area\n", "Data.degradation.kind", "bicubic", "Data.degradation"),
    ],
)
def test_what_cannot_be_changed_alone_is_refused(
    text: str, key: str, value: object, words: str
) -> None:
    with pytest.raises(EditError, match=words):
        changed(text, key, value)


def test_an_alias_is_replaced_where_it_is_used() -> None:
    text = "Optimizers:\n  optim_g_lr: &r 1e-4\n  optim_d_lr: *r  # same\n"
    assert changed(text, "Optimizers.optim_d_lr", 5e-5) == text.replace("*r", "5.0e-05")


def test_merged_keys_are_overridden_beside_the_merge() -> None:
    text = "Optimizers:\n  <<: {optim_g_lr: 1e-4}\n  eps: 1e-7\n"
    loaded = load_text(changed(text, "Optimizers.optim_g_lr", 2e-4), "text").config
    assert loaded.optimizers.optim_g_lr == 2e-4


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (None, "null"),
        (1e-5, "1.0e-05"),
        (0.0001, "0.0001"),
        (2.5e-7, "2.5e-07"),
        ([0.0, 0.99], "[0.0, 0.99]"),
        ("bce", "bce"),
    ],
)
def test_values_as_one_writes_them(value: object, text: str) -> None:
    assert yaml_value(value) == text


def test_lines_of_keys_in_any_spelling() -> None:
    assert line_of(TEXT, "Training.max_steps") == 6
    assert line_of(TEXT, "Schedulers.cooldown_d") == 20
    assert line_of(TEXT, "Training.seed") is None


KEYS = {
    "Training.max_steps": st.integers(1, 10**6),
    "Training.g_pretrain_steps": st.integers(0, 10**6),
    "Training.label_smoothing": st.booleans(),
    "Training.EMA.decay": st.floats(0.5, 0.9999),
    "Training.Losses.adv_loss_beta": st.floats(0, 1),
    "Training.Losses.r1_gamma": st.floats(0, 100),
    "Optimizers.optim_g_lr": st.floats(1e-9, 1),
    "Optimizers.optim_d_lr": st.floats(1e-9, 1),
    "Optimizers.betas": st.tuples(st.floats(0, 0.9), st.floats(0, 0.99)).map(list),
    "Schedulers.patience_d": st.integers(0, 10**6),
    "Schedulers.cooldown_d": st.integers(0, 50),
    "Schedulers.min_lr_g": st.floats(0, 1e-3),
    "Generator.use_icnr": st.booleans(),
}


@settings(max_examples=20)
@given(st.lists(st.sampled_from(sorted(KEYS)), min_size=1, max_size=5), st.data())
def test_any_changes_give_what_overrides_give(keys: list[str], data: st.DataObject) -> None:
    assert all(tuple(key.split(".")) in names.all_keys() for key in keys)
    text, overrides = TEXT, []
    for key in keys:
        value = data.draw(KEYS[key])
        text = changed(text, key, value, "why")
        overrides.append(override(key, value))
    assert load_text(text, "text").config == load_text(TEXT, "text", overrides).config
    comments = [line for line in TEXT.splitlines() if line.lstrip().startswith("#")]
    assert [line for line in text.splitlines() if line in comments] == comments
