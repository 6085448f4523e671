"""From a checkpoint to a weights file: strict, with a report, and nothing guessed in silence."""

from dataclasses import replace

import pytest
import torch

from srgan_cli.data.radiometry import RADIOMETRIES
from srgan_cli.errors import ConfigError, RefusedError, SrganError
from srgan_cli.export.importing import ImportOptions, import_checkpoint, read_checkpoint, report
from srgan_cli.models import GENERATORS, GeneratorSpec, build_generator
from srgan_cli.weights import WeightsInfo, load_generator

SPEC = GeneratorSpec("SRResNet", "rcab", 4, 4, 2, 16, 2, large_kernel_size=5)


def trained(spec=SPEC):
    torch.manual_seed(3)
    return build_generator(spec).eval()


@pytest.fixture
def make(tmp_path):
    def write(spec=SPEC, name="x.ckpt", key="state_dict", prefix="generator.", change=None, **more):
        state = trained(spec).state_dict()
        if change is not None:
            change(state)
        content = {key: {prefix + k: v for k, v in state.items()}, **more}
        torch.save(content, tmp_path / name)
        return tmp_path / name

    return write


@pytest.fixture
def config(tmp_path):
    def write(text, name="their.yaml"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def small(name):
    model_type, _, block_type = name.partition("/")
    values = {"stochastic_gan": {"noise_dim": 5}}.get(model_type, {})
    if model_type in ("esrgan", "rrdbnet"):
        values = {"growth_channels": 8}
    return GeneratorSpec(model_type, block_type or "res", 3, 3, 4, 16, 1, **values)


@pytest.mark.parametrize("name", GENERATORS)
def test_every_network_arrives_to_the_last_bit(make, tmp_path, name):
    output = tmp_path / "w.safetensors"
    imported = import_checkpoint(make(small(name)), output, ImportOptions())
    loaded, info = load_generator(output)
    expected = trained(small(name))
    assert info.spec == small(name)
    state = expected.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in loaded.state_dict().items())
    lr = torch.rand(1, 3, 9, 12)
    with torch.no_grad():
        assert torch.equal(loaded(lr), expected(lr))
    assert imported.num_parameters == sum(p.numel() for p in expected.parameters())


def test_half_precision_becomes_float32(make, tmp_path):
    def halve(state):
        for name in state:
            state[name] = state[name].half()

    import_checkpoint(make(change=halve), tmp_path / "w.safetensors", ImportOptions())
    assert load_generator(tmp_path / "w.safetensors")[0].head[0].weight.dtype == torch.float32


def test_what_nothing_says_is_named_as_assumed(make):
    found = read_checkpoint(make(), ImportOptions())
    assert found.info.radiometry == RADIOMETRIES["normalise_10k"]
    assert found.assumed == ("radiometry normalise_10k (--normalization sets another)",)
    assert found.info.train_lr_px is None
    assert found.info.band_names == ("band 1", "band 2", "band 3", "band 4")
    eight_bit = read_checkpoint(
        make(small("rrdbnet"), key="params_ema", prefix=""), ImportOptions()
    )
    assert eight_bit.info.radiometry == RADIOMETRIES["uint8"]
    assert eight_bit.info.ema


def test_what_is_said_is_not_assumed(make):
    options = ImportOptions(
        normalization="zero_one", band_names=("B04", "B03", "B02", "B08"), train_lr_px=32
    )
    found = read_checkpoint(make(), options)
    assert found.assumed == ()
    assert found.info.radiometry.name == "zero_one"
    assert found.info.band_names == ("B04", "B03", "B02", "B08")
    assert found.info.train_lr_px == 32


def test_the_configuration_tells_the_rest(make, config):
    spec = GeneratorSpec("esrgan", "res", 4, 4, 4, 16, 2, growth_channels=8, res_scale=0.3)
    theirs = config(
        """
        Data: {normalization: sen2_stretch, some_old_key: 3, dataset_type: 'nonsense'}
        Model: {in_bands: 4}
        Generator: {model_type: rrdbnet, n_channels: 16, n_blocks: 2, growth_channels: 8,
                    scaling_factor: 4, res_scale: 0.3}
        Optimizers: {optim_g_lr: banana}
        """
    )
    found = read_checkpoint(make(spec), ImportOptions(config=theirs))
    assert found.info.spec == spec
    assert found.info.radiometry.name == "sen2_stretch"
    assert found.assumed == ()


def test_a_configuration_without_the_values_leaves_them_assumed(make, config):
    spec = GeneratorSpec("esrgan", "res", 4, 4, 4, 16, 1, growth_channels=8)
    theirs = config("Generator: {model_type: esrgan}\n")
    found = read_checkpoint(make(spec), ImportOptions(config=theirs))
    assert found.assumed == (
        "res_scale 0.2",
        "radiometry normalise_10k (--normalization sets another)",
    )


def test_the_crop_of_our_own_configuration_is_the_window(make, config):
    theirs = config("Data: {hr_crop_px: 96}\n")
    assert read_checkpoint(make(), ImportOptions(config=theirs)).info.train_lr_px == 48


def test_other_bands_out_than_in(make, config):
    spec = GeneratorSpec("esrgan", "res", 6, 3, 2, 16, 1, growth_channels=8)
    theirs = config("Model: {in_bands: 6}\nGenerator: {model_type: esrgan, out_channels: 3}\n")
    assert read_checkpoint(make(spec), ImportOptions(config=theirs)).info.spec.out_bands == 3


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("Generator: {n_blocks: 7}\n", "Generator.n_blocks is 7, the checkpoint has 2"),
        ("Model: {in_bands: 6}\n", "Model.in_bands is 6, the checkpoint has 4"),
        ("Generator: {scaling_factor: 8}\n", "Generator.scaling_factor is 8"),
    ],
)
def test_a_configuration_of_another_network_is_refused(make, config, text, part):
    with pytest.raises(RefusedError, match=part) as caught:
        read_checkpoint(make(), ImportOptions(config=config(text)))
    assert "leave --config out" in caught.value.hint


def test_a_configuration_with_a_wrong_value_that_matters(make, config):
    with pytest.raises(ConfigError, match="n_blocks"):
        read_checkpoint(make(), ImportOptions(config=config("Generator: {n_blocks: many}\n")))


def test_an_average_that_had_not_begun_is_not_taken(make, config):
    ema = {"num_updates": None, "shadow_params": trained().state_dict(), "shadow_buffers": {}}
    path = make(ema_state=ema, global_step=100)
    theirs = config("Training: {EMA: {enabled: true, update_after_step: 5000}}\n")
    found = read_checkpoint(path, ImportOptions(config=theirs))
    assert not found.info.ema
    assert "update_after_step was not reached" in found.checkpoint.notes[0]
    assert read_checkpoint(path, ImportOptions()).info.ema


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda s: s.pop("tail.bias"), "1 missing: tail.bias"),
        (lambda s: s.update(extra=torch.zeros(1)), "1 unexpected: extra"),
        (lambda s: s.update({"head.1.weight": torch.zeros(9)}), "1 wrong shape: head.1.weight"),
        (lambda s: s["tail.bias"].fill_(float("nan")), "1 not finite: tail.bias"),
    ],
)
def test_tensors_that_do_not_fit(make, change, part):
    with pytest.raises(RefusedError, match=part) as caught:
        read_checkpoint(make(change=change), ImportOptions())
    assert "variant of this network" in caught.value.hint


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"normalization": "toa"}, "--normalization toa: unknown"),
        ({"band_names": ("R", "G")}, "2 names, the network has 4 bands"),
    ],
)
def test_wrong_options(make, options, part):
    with pytest.raises(RefusedError, match=part):
        read_checkpoint(make(), ImportOptions(**options))


def own(tmp_path, **more):
    spec = GeneratorSpec("SRResNet", "res", 2, 2, 2, 8, 1, global_skip="bicubic")
    info = WeightsInfo(spec, RADIOMETRIES["uint8"], ("R", "G"), 16, 1.0, step=0, ema=False)
    state = trained(spec).state_dict()
    content = {
        "format_version": 1,
        "step": 12,
        "generator": state,
        "ema": {"num_updates": 3, "model": {k: v + 1 for k, v in state.items()}},
        "discriminator": {},
        "info": info.as_dict(),
        **more,
    }
    torch.save(content, tmp_path / "last.pt")
    return tmp_path / "last.pt", info


def test_a_checkpoint_of_a_run_brings_its_own_header(tmp_path):
    path, info = own(tmp_path)
    output = tmp_path / "w.safetensors"
    import_checkpoint(path, output, ImportOptions())
    assert load_generator(output)[1] == replace(info, step=12, ema=True)
    import_checkpoint(path, output, ImportOptions(raw=True))
    assert load_generator(output)[1] == replace(info, step=12, ema=False)


def test_what_a_run_says_is_not_to_be_said_again(tmp_path):
    with pytest.raises(RefusedError, match="--normalization: .*says so itself"):
        read_checkpoint(own(tmp_path)[0], ImportOptions(normalization="uint8"))


def test_a_damaged_header_of_a_run(tmp_path):
    with pytest.raises(RefusedError, match="damaged header"):
        read_checkpoint(own(tmp_path, info={"step": 3})[0], ImportOptions())


def test_a_missing_folder(make, tmp_path):
    with pytest.raises(RefusedError, match="there is no folder"):
        import_checkpoint(make(), tmp_path / "no" / "w.safetensors", ImportOptions())


def test_the_report_is_plain_values(make):
    found = report(read_checkpoint(make(epoch=3, optimizer_states=[{}]), ImportOptions()))
    assert found["kind"] == "state dict of a trainer"
    assert found["tensors"] == len(trained().state_dict())
    assert found["left_out"] == ["optimizers"]


def test_a_normalization_still_to_be_fitted_is_no_radiometry(make, config):
    theirs = config("Data: {normalization: percentile}\n")
    with pytest.raises(RefusedError, match="is to be fitted, and its numbers are not there"):
        read_checkpoint(make(), ImportOptions(config=theirs))


def test_a_radiometry_per_band_arrives(make, config):
    scales = "[0.1, 0.2, 0.3, 0.4]"
    theirs = config(f"Data: {{normalization: {{name: linear, scale: {scales}}}}}\n")
    found = read_checkpoint(make(), ImportOptions(config=theirs))
    assert found.info.radiometry.scale == (0.1, 0.2, 0.3, 0.4)


def test_an_output_that_cannot_be_written(make, tmp_path):
    (tmp_path / "w.safetensors").mkdir()
    with pytest.raises(SrganError, match="cannot write .*w.safetensors") as caught:
        import_checkpoint(make(), tmp_path / "w.safetensors", ImportOptions())
    assert caught.value.exit_code == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["w.safetensors", "x.ckpt"]


@pytest.mark.parametrize("read", [load_generator, lambda p: read_checkpoint(p, ImportOptions())])
def test_a_file_without_the_right_to_read_it(make, monkeypatch, read):
    path = make()

    def denied(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.open", denied)
    with pytest.raises(RefusedError, match="cannot be read .Permission denied"):
        read(path)
