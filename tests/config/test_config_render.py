"""RunConfig -> YAML and back; presets; the reference."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srgan_cli import runfolder
from srgan_cli.config import RunConfig, dump_config, load_config, load_text, render_config
from srgan_cli.config.names import all_keys, is_section, options
from srgan_cli.config.presets import DEFAULT_PRESET, PRESETS, render_preset
from srgan_cli.config.reference import render_reference
from srgan_cli.config.render import COMMENT_WIDTH, json_schema
from srgan_cli.data.fitting import FITTED
from srgan_cli.data.radiometry import RADIOMETRIES


def load(text):
    return load_text(text, "cfg.yaml")


def test_the_defaults_come_back():
    assert load(dump_config(RunConfig())).config == RunConfig()
    assert load(render_config(RunConfig())).config == RunConfig()


@pytest.mark.parametrize("name", PRESETS)
def test_presets_check_without_a_warning_and_come_back(name, tmp_path):
    expected = RunConfig.model_validate(PRESETS[name].values)
    path = tmp_path / "cfg.yaml"
    path.write_text(render_preset(name))
    loaded = load_config(path)
    assert loaded.warnings == ()
    assert loaded.config == expected
    path.write_text(dump_config(loaded.config))
    assert load_config(path) == loaded


def test_the_default_preset_exists():
    assert DEFAULT_PRESET in PRESETS


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_value_is_worth_writing(name):
    def check(values, section):
        fields = {field.alias or key: key for key, field in type(section).model_fields.items()}
        for key, value in values.items():
            if isinstance(value, dict):
                check(value, getattr(section, fields[key]))
            elif key != "n_blocks":
                field = type(section).model_fields[fields[key]]
                assert getattr(section, fields[key]) != field.default, key

    check(PRESETS[name].values, RunConfig.model_validate(PRESETS[name].values))


def test_comments_stand_above_their_keys_and_are_wrapped():
    text = render_preset("sentinel2-10m")
    lines = text.splitlines()
    assert lines[0].startswith("# sentinel2-10m: ")
    at = lines.index("  hr_crop_px: 128")
    assert lines[at - 1] == "  # Side of a training crop in HR pixels; a multiple of the scale."
    assert max(len(line) for line in lines if not line.startswith("# sentinel2")) <= COMMENT_WIDTH
    assert "  betas: [0.0, 0.99]" in lines
    keys = [line for line in lines if ":" in line and not line.lstrip().startswith("#")]
    for line in keys[1:]:
        above = lines[lines.index(line) - 1].lstrip()
        assert above.startswith("#"), line


def test_every_key_is_documented():
    for key, field in all_keys().items():
        documented = field.description or is_section(field)
        assert documented, key


def test_metric_names_are_those_of_the_run_folder():
    parts = (*runfolder.TRAIN_PARTS, "psnr", "ssim", "ergas")
    names = {f"val_metrics/{part}" for part in parts} | {runfolder.VAL_D_LOSS}
    assert set(options(("Schedulers", "metric_g"))) == names
    assert set(options(("Schedulers", "metric_d"))) == names


def test_normalization_names_are_the_radiometries():
    assert set(options(("Data", "normalization"))) == {*RADIOMETRIES, *FITTED}
    assert {"linear", *FITTED} == set(options(("Data", "normalization", "name")))


def test_the_json_schema_names_every_key_with_its_documentation():
    schema = json_schema()
    assert json.loads(json.dumps(schema)) == schema
    assert set(schema["properties"]) == {key[0] for key in all_keys() if len(key) == 1}
    crop = schema["$defs"]["DataConfig"]["properties"]["hr_crop_px"]
    assert (crop["default"], crop["minimum"]) == (128, 1)
    assert crop["description"].startswith("Side of a training crop")


def test_the_reference_is_up_to_date():
    page = Path(__file__).parents[2] / "docs" / "configuration.md"
    expected = render_reference(RADIOMETRIES.values())
    assert page.read_text(encoding="utf-8").rstrip() == expected.rstrip(), (
        "run `srgan config schema --markdown > docs/configuration.md`"
    )


def test_the_reference_names_every_key():
    text = render_reference(RADIOMETRIES.values())
    for *section, name in all_keys():
        assert f"`{name}`" in text or f"## {'.'.join([*section, name])}" in text
    assert "| `sen2_stretch_10k` | 1/3000 | 0 | 10000 |" in text
    assert "Undefined" not in text


_WORDS = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=12)
_RATES = st.floats(1e-9, 1, exclude_max=True)
_CONFIGS = st.builds(
    lambda data, training, losses, ema, generator, discriminator, optimizers, wandb: {
        "Data": data,
        "Training": {**training, "Losses": losses, "EMA": ema},
        "Generator": generator,
        "Discriminator": discriminator,
        "Optimizers": optimizers,
        "Logging": {"wandb": wandb},
    },
    st.fixed_dictionaries(
        {"hr": st.lists(_WORDS, min_size=1, max_size=3)},
        optional={
            "root_dir": _WORDS,
            "nodata": st.floats(allow_nan=False, allow_infinity=False),
            "band_names": st.lists(_WORDS, min_size=4, max_size=4),
            "normalization": st.sampled_from(options(("Data", "normalization")))
            | st.fixed_dictionaries({"scale": _RATES, "offset": st.floats(-9, 9)})
            | st.fixed_dictionaries(
                {"name": st.sampled_from(FITTED)},
                optional={
                    "percentiles": st.just([1, 99]),
                    "scale": st.lists(_RATES, min_size=4, max_size=4),
                },
            ),
            "degradation": st.fixed_dictionaries(
                {"kind": st.sampled_from(["bicubic", "gaussian"]), "noise_std": _RATES},
                optional={
                    "mtf_nyquist": st.just([0.2, 0.35]),
                    "mtf_bands": st.sampled_from(["sentinel2", [0.2, 0.3, 0.3, 0.2]]),
                    "noise_signal": _RATES | st.just([0, 1e-4]),
                    "order": st.just(["noise", "blur"]),
                },
            ),
            "num_workers": st.integers(0, 3),
        },
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "max_steps": st.integers(1, 10**9),
            "val_check_interval": st.integers(1, 9) | st.sampled_from([1.0, 2.0, 0.25]),
            "gpus": st.lists(st.integers(0, 7), max_size=2, unique=True),
            "g_pretrain_steps": st.integers(-1, 10**6),
            "pretrain_g_only": st.booleans(),
        },
    ),
    st.fixed_dictionaries({}, optional={"l1_weight": _RATES, "fixed_idx": st.just([2, 1, 0])}),
    st.fixed_dictionaries({}, optional={"decay": _RATES, "enabled": st.booleans()}),
    st.fixed_dictionaries(
        {},
        optional={
            "model_type": st.sampled_from(options(("Generator", "model_type"))),
            "block_type": st.sampled_from(options(("Generator", "block_type"))),
            "growth_channels": st.integers(1, 64),
        },
    ),
    st.fixed_dictionaries(
        {},
        optional={
            "model_type": st.sampled_from(options(("Discriminator", "model_type"))),
            "linear_size": st.integers(1, 2048),
        },
    ),
    st.fixed_dictionaries({}, optional={"optim_g_lr": _RATES, "betas": st.tuples(_RATES, _RATES)}),
    st.fixed_dictionaries({}, optional={"project": _WORDS, "entity": _WORDS}),
)


@settings(max_examples=40, deadline=None)
@given(_CONFIGS)
def test_what_is_written_comes_back_equal(values):
    config = RunConfig.model_validate(values)
    loaded = load(dump_config(config))
    assert loaded.config == config
    again = load(dump_config(loaded.config))
    assert again == loaded
    # Nothing is complained about but what the values themselves deserve.
    given_keys = {w.key for w in load(json.dumps(values, ensure_ascii=False)).warnings}
    assert {warning.key for warning in loaded.warnings} <= given_keys
