"""Files and overrides -> one RunConfig, or every problem at its place."""

import os

import pytest

from srgan_cli.config import RunConfig, load_config, load_default
from srgan_cli.config.load import MAX_BYTES
from srgan_cli.errors import EXIT_REFUSED, ConfigError

GOOD = "Data:\n  hr: [scenes]\n"


@pytest.fixture
def load(tmp_path):
    def load(text, *overrides):
        path = tmp_path / "cfg.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return load_config(path, overrides)

    return load


@pytest.fixture
def problems(load, tmp_path):
    """(place, key, text) of every problem; the place is line:column, or the origin."""

    def problems(text, *overrides):
        with pytest.raises(ConfigError) as caught:
            load(text, *overrides)
        assert caught.value.exit_code == EXIT_REFUSED
        found = []
        for problem in caught.value.problems:
            origin = problem.origin.replace(str(tmp_path / "cfg.yaml"), "file")
            place = f"{problem.line}:{problem.column}" if problem.line else origin
            found.append((place, problem.key, problem.text))
        return found

    return problems


def test_a_small_file_gets_every_default(load):
    loaded = load(GOOD)
    assert loaded.config == RunConfig(Data={"hr": ["scenes"]})
    assert loaded.warnings == ()


def test_all_problems_at_once_in_order(problems):
    text = """\
Data:
  hr_crop_px: 130
  normalizaton: x
Model:
  in_bands: 4
  in_bands: 6
Training:
  g_pretrain_stepz: 5000
  fixed_idx: [0, 1, 2]
  Losses:
    fixed_idx: [0, 1, x]
    adv_loss_type: hinj
optimizers:
  optim_g_lr: 1e-4
"""
    assert problems(text, "Training.seed=-1") == [
        ("2:3", "Data.hr_crop_px", "130 is not a multiple of Generator.scaling_factor 4; use 128"),
        ("3:3", "Data.normalizaton", "unknown key; did you mean `normalization`?"),
        ("6:3", "Model.in_bands", "given a second time; the first is in line 5"),
        ("8:3", "Training.g_pretrain_stepz", "unknown key; did you mean `g_pretrain_steps`?"),
        ("9:3", "Training.fixed_idx", "unknown key; it belongs at `Training.Losses.fixed_idx`"),
        ("11:23", "Training.Losses.fixed_idx.2", "should be a whole number, not 'x'"),
        (
            "12:5",
            "Training.Losses.adv_loss_type",
            "'hinj' is not one of bce, hinge, wasserstein; did you mean `hinge`?",
        ),
        ("13:1", "optimizers", "unknown key; did you mean `Optimizers`?"),
        ("--set", "Training.seed", "-1 is out of range; it must be at least 0"),
    ]


def test_the_same_problems_with_crlf(problems):
    text = "Data:\n  hr_crop_px: 130\nTraining:\n  Losses:\n    l1_weight: -1\n"
    assert problems(text.replace("\n", "\r\n")) == problems(text)
    assert [place for place, *_ in problems(text)] == ["2:3", "5:5"]


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("Training.max_steps", "abc", "should be a whole number, not 'abc'"),
        ("Training.max_steps", "1.5", "should be a whole number, not 1.5"),
        ("Training.max_steps", "true", "should be a number, not true"),
        ("Training.max_steps", "0", "0 is out of range; it must be at least 1"),
        ("Training.max_steps", ".inf", "should be a finite number, not inf"),
        ("Training.seed", "4294967296", "it must be below 4294967296"),
        ("Training.seed", "", "is empty; give a value, or remove the key for the default 0"),
        ("Training.device", "tpu", "'tpu' is no device; use auto, cpu, cuda, or cuda:0"),
        ("Training.label_smoothing", "maybe", "should be true or false, not 'maybe'"),
        ("Training.gpus", "a", "should be a list such as [0, 1], not 'a'"),
        ("Training.gpus", "[-1]", "-1 is out of range; it must be at least 0"),
        ("Training.val_check_interval", "0", "0 is out of range; it must be above 0"),
        ("Training.val_check_interval", "often", "should be a number, not 'often'"),
        ("Training.EMA", "true", "should be a section with keys below it, not true"),
        ("Training.Losses.l1_weight", ".nan", "should be a finite number, not nan"),
        ("Training.Losses.tv_weight", "[1]", "should be a number, not a list"),
        ("Optimizers.betas", "[0.5]", "has 1 entries, which is too few"),
        ("Optimizers.betas", "[0, 0.9, 0.9]", "has 3 entries; it takes 2"),
        ("Optimizers.betas", "[0, true]", "should be a number, not true"),
        ("Optimizers.eps", "0", "0 is out of range; it must be above 0"),
        ("Data.root_dir", "3", 'should be text, not 3; write "3"'),
        ("Data.hr", "[a, 3]", 'should be text, not 3; write "3"'),
        ("Data.val_fraction", "1", "1 is out of range; it must be below 1"),
        ("Data.degradation", "gaussn", "did you mean `gaussian`?"),
        ("Data.degradation", "{kind: area, mtf: 1}", "unknown key"),
        ("Data.degradation", "{mtf_nyquist: [0.1]}", "has 1 entries, which is too few"),
        ("Data.degradation", "{mtf_nyquist: [0.1, 0.2, 0.3]}", "has 3 entries; it takes 2"),
        ("Data.degradation", "{mtf_nyquist: 1}", "1 is out of range; it must be below 1"),
        ("Data.degradation", "{mtf_nyquist: [0.3, 0.2]}", "mtf_nyquist [0.3, 0.2] must rise"),
        ("Data.degradation", "{mtf_bands: [0.1, 2]}", "2 is out of range; it must be below 1"),
        ("Data.degradation", "{mtf_bands: [0.1]}", "1 entries, but Model.in_bands is 4"),
        ("Data.degradation", "{mtf_bands: landsat}", "'landsat' is not one of sentinel2"),
        ("Data.degradation", "{noise_std: [0, x]}", "should be a number, not 'x'"),
        ("Data.degradation", "{order: [noise]}", "order names blur once"),
        ("Data.degradation", "{order: [blue]}", "did you mean `blur`?"),
        ("Data.band_dropout", "1", "1 is out of range; it must be below 1"),
        ("Data.normalization", "sen2_strech", "did you mean `sen2_stretch`?"),
        ("Data.normalization", "{name: linear}", "is missing"),
        ("Data.normalization", "{name: linear, scale: 0}", "scale 0 has no inverse"),
        ("Data.normalization", "{name: linear, scale: ~}", "scale is missing"),
        ("Data.normalization", "{name: linear, scale: [0.1, 0]}", "scale 0 has no inverse"),
        ("Data.normalization", "{name: linear, scale: x}", "should be a number, not 'x'"),
        ("Data.normalization", "{name: percentile, percentiles: [98, 2]}", "must rise"),
        ("Data.normalization", "{name: linear, scale: [1, 2]}", "2 entries, but Model.in_bands is"),
        ("Data.normalization", "{name: foo, scale: 1}", "'foo' is not one of linear"),
        ("Data.normalization", "[1]", "a list is not one of"),
        ("Generator.scaling_factor", "3", "3 is not one of 1, 2, 4, 8"),
        ("Generator.scaling_factor", "true", "should be a number, not true"),
        ("Generator.model_type", "srganresnet", "did you mean `SRResNet`?"),
        ("Generator.model_type", "rcba", "is not one of"),
        ("Schedulers.metric_g", "val_metrics/psn", "did you mean `val_metrics/psnr`?"),
        ("Logging.wandb.mode", "of-line", "did you mean `offline`?"),
    ],
)
def test_wrong_values_in_plain_words(problems, key, value, words):
    *sections, name = key.split(".")
    lines = [f"{'  ' * depth}{section}:" for depth, section in enumerate(sections)]
    lines.append(f"{'  ' * len(sections)}{name}: {value}")
    found = problems("\n".join(lines) + "\n")
    assert len(found) == 1
    place, where, text = found[0]
    assert place.startswith(f"{len(lines)}:")
    assert where.startswith(key)
    assert words in text
    assert "Input" not in text
    assert "Undefined" not in text
    as_override = problems(GOOD, f"{key}={value}")
    assert [(place, text) for place, _, text in as_override] == [("--set", text)]


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("Losses.l1_weight", "it belongs at `Training.Losses`"),
        ("l1_weight", "it belongs at `Training.Losses.l1_weight`"),
        ("Training.n_blocks", "it belongs at `Generator.n_blocks` or `Discriminator.n_blocks`"),
        ("Training.batch_size", "at `Data.train_batch_size` or `Data.val_batch_size`"),
        ("Schedulers.cooldwn", "did you mean `cooldown"),
        ("Training.train_batchsize", "did you mean `Data.train_batch_size`?"),
        ("data.hr", "did you mean `Data`?"),
        ("Training.ema.decay", "did you mean `EMA`?"),
        ("xyzzy", "the sections are Data, Model, Training"),
        ("Training.xyzzy", "unknown key"),
    ],
)
def test_unknown_keys(problems, key, words):
    ((_, _, text),) = problems(GOOD, f"{key}=1")
    assert words in text


def test_a_default_that_contradicts_is_reported_at_the_key_that_is_written(problems):
    text = "Generator:\n  n_blocks: 2\n  scaling_factor: 8\nData:\n  hr_crop_px: 100\n"
    ((place, key, words),) = problems(text)
    assert (place, key) == ("5:3", "Data.hr_crop_px")
    assert "use 96" in words
    ((place, key, _),) = problems("Data:\n  hr_crop_px: 16\n")
    assert (place, key) == ("2:3", "Discriminator.n_blocks")


def test_no_contradiction_is_claimed_about_an_invalid_key(problems):
    text = "Model:\n  in_bands: six\nData:\n  bands: [1, 2, 3, 4, 5, 6]\nGenerator:\n  small_kernel_size: 4\n"
    assert [key for _, key, _ in problems(text)] == [
        "Model.in_bands",
        "Generator.small_kernel_size",
    ]
    text = "Model:\n  in_bands: !x 6\nData:\n  bands: [1, 2, 3, 4, 5, 6]\n"
    assert [key for _, key, _ in problems(text)] == ["Model.in_bands"]


def test_numbers_and_switches_as_people_write_them(load):
    text = """\
Training:
  max_steps: 1e5
  label_smoothing: off
  pretrain_g_only: yes
  g_pretrain_steps: "500"
Optimizers:
  optim_g_lr: 1e-4
  eps: 1e-7
Data: {hr: scenes, root_dir: 2024-01-31, nodata: .nan}
"""
    config = load(text).config
    assert config.training.max_steps == 100_000
    assert config.training.label_smoothing is False
    assert config.training.pretrain_g_only is True
    assert config.training.g_pretrain_steps == 500
    assert config.optimizers.optim_g_lr == 1e-4
    assert config.data.hr == ("scenes",)
    assert config.data.root_dir == "2024-01-31"
    assert config.data.nodata is None


def test_empty_sections_and_lists_mean_their_defaults(load):
    text = "Data:\n  hr: scenes\n  bands:\n  degradation:\nTraining:\n  EMA:\n  Losses: ~\n  gpus:\nLogging: null\n"
    assert load(text).config == RunConfig(Data={"hr": ["scenes"]})


def test_an_integer_interval_counts_steps_and_a_float_passes(load):
    steps = load(GOOD + "Training: {val_check_interval: 1}\n").config.training.val_check_interval
    passes = load(GOOD + "Training: {val_check_interval: 1.}\n").config.training.val_check_interval
    assert isinstance(steps, int)
    assert isinstance(passes, float)


def test_overrides(load):
    text = GOOD + "Training:\n  seed: 1\n  EMA: {decay: 0.9}\n"
    overrides = ("Training.seed=2", "Training.seed=3", "Training.EMA={enabled: false}")
    config = load(
        text, *overrides, "Optimizers.betas=[0.5, 0.9]", "Data.hr=*.tif".replace("*", "a")
    )
    training = config.config.training
    assert training.seed == 3
    assert (training.ema.enabled, training.ema.decay) == (False, 0.9)
    assert config.config.optimizers.betas == (0.5, 0.9)
    assert config.config.data.hr == ("a.tif",)


def test_an_override_replaces_a_value_that_is_no_section(load):
    text = "Data: {hr: a, normalization: {name: linear, scale: 2, offset: 1}}\n"
    config = load(text, "Data.normalization=uint8").config
    assert config.data.normalization == "uint8"
    config = load(text, "Data.normalization={name: linear, scale: 3}").config
    assert config.data.normalization.offset == 0
    config = load("Data: {hr: a, degradation: area}\n", "Data.degradation.noise_std=0.1").config
    assert (config.data.degradation.kind, config.data.degradation.noise_std) == ("area", 0.1)


def test_an_override_mends_the_file(load):
    assert load("Data: {hr: a, hr_crop_px: 130}\n", "Data.hr_crop_px=128").warnings == ()


@pytest.mark.parametrize("override", ["x", "=3", "A..b=3", "Training.=3", "a b=3", ""])
def test_overrides_of_no_form(override):
    with pytest.raises(ConfigError, match=r"is not Section\.key=value") as caught:
        load_default([override])
    assert "--set Training.max_steps=2000" in caught.value.hint


def test_defaults_alone_can_be_overridden():
    assert load_default(["Training.seed=5"]).config.training.seed == 5


def test_byte_order_mark(load):
    assert load(b"\xef\xbb\xbf" + GOOD.encode()).config.data.hr == ("scenes",)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "the file is empty"),
        (GOOD.encode("utf-16"), "UTF-16 text, not UTF-8"),
        (b"II*\x00\x08\x00", "a binary file: zero byte at offset 3"),
        ("Data:\n  hr: K\xf6ln\n".encode("latin-1"), "cfg.yaml:2:8: byte 0xf6 is not UTF-8 text"),
        (b"# " + b"x" * 10_000_000, "10.0 MB; a configuration has a few kB, 1 MB at most"),
    ],
)
def test_files_that_are_no_text(load, raw, words):
    with pytest.raises(ConfigError) as caught:
        load(raw)
    assert words in str(caught.value)
    assert caught.value.problems[0].origin.endswith("cfg.yaml")


def test_paths_that_are_no_file(tmp_path):
    with pytest.raises(ConfigError, match="no such file") as caught:
        load_config(tmp_path / "none.yaml")
    assert "srgan config init" in caught.value.hint
    with pytest.raises(ConfigError, match="a folder, not a configuration file"):
        load_config(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="cannot be read: Not a directory"):
        load_config(tmp_path / "file" / "cfg.yaml")


def test_a_file_without_permission(tmp_path, monkeypatch):
    path = tmp_path / "cfg.yaml"
    path.write_text(GOOD)

    def refuse(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)
    with pytest.raises(ConfigError, match="cannot be read: Permission denied"):
        load_config(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="named pipes are a POSIX thing")
def test_an_endless_pipe_is_refused_at_the_limit(tmp_path):
    import threading

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def feed():
        with pipe.open("wb") as file:
            file.write(b"#" * (MAX_BYTES + 10))

    writer = threading.Thread(target=feed, daemon=True)
    writer.start()
    with pytest.raises(ConfigError, match="1 MB at most"):
        load_config(pipe)
    writer.join(timeout=5)
