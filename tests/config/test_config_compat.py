"""OpenSR-SRGAN's spellings: read as ours, with their lines kept."""

import pytest

from srgan_cli.config import load_config, load_default
from srgan_cli.config.compat import MOVED, VALUES
from srgan_cli.config.names import all_keys, options
from srgan_cli.errors import ConfigError


@pytest.fixture
def load(tmp_path):
    def load(text, *overrides):
        path = tmp_path / "cfg.yaml"
        path.write_text(text)
        return load_config(path, overrides)

    return load


def test_every_rule_leads_to_a_key_of_the_schema():
    keys = {".".join(key) for key in all_keys()}
    assert {new for targets in MOVED.values() for new in targets} <= keys
    assert not keys & set(MOVED)
    for key, names in VALUES.items():
        known = options(tuple(key.split("."))) or ["cuda", "auto"]
        assert set(names.values()) <= set(known)


@pytest.mark.parametrize(
    ("old", "value", "read"),
    [
        (
            "Data.batch_size",
            3,
            lambda c: (c.data.train_batch_size, c.data.val_batch_size) == (3, 3),
        ),
        ("Data.dataset_root", "x", lambda c: c.data.root_dir == "x"),
        ("Training.g_warmup_steps", 7, lambda c: c.schedulers.g_warmup_steps == 7),
        (
            "Training.perceptual_loss_weight",
            0.2,
            lambda c: c.training.losses.perceptual_weight == 0.2,
        ),
        (
            "Schedulers.metric",
            "val_metrics/sam",
            lambda c: c.schedulers.metric_g == c.schedulers.metric_d == "val_metrics/sam",
        ),
        (
            "Schedulers.cooldown",
            2,
            lambda c: (c.schedulers.cooldown_g, c.schedulers.cooldown_d) == (2, 2),
        ),
        (
            "Schedulers.min_lr",
            1e-6,
            lambda c: (c.schedulers.min_lr_g, c.schedulers.min_lr_d) == (1e-6, 1e-6),
        ),
        ("Schedulers.gradient_clip_val", 0.5, lambda c: c.optimizers.gradient_clip_val == 0.5),
    ],
)
def test_moved_keys(load, old, value, read):
    section, key = old.split(".")
    text = f"{section}:\n  {key}: {value}\n"
    assert read(load(text).config)
    assert read(load_default([f"{old}={value}"]).config)
    new = MOVED[old][0]
    other = f"{new}={value}"
    assert read(load(text, other).config), "an override in the other spelling wins"
    with pytest.raises(ConfigError) as caught:
        load(_both(old, new, value))
    (problem,) = caught.value.problems
    assert problem.key == old
    assert f"another spelling of {new}, which line" in problem.text


def _both(old, new, value):
    """A file with the key in both spellings."""
    tree = {}
    for dotted in (old, new):
        node = tree
        *sections, name = dotted.split(".")
        for section in sections:
            node = node.setdefault(section, {})
        node[name] = value
    import json

    return json.dumps(tree)


def test_both_lines_are_named(load):
    with pytest.raises(ConfigError) as caught:
        load("Schedulers:\n  g_warmup_steps: 3\nTraining:\n  g_warmup_steps: 4\n")
    (problem,) = caught.value.problems
    assert problem.line == 4
    assert "which line 2 gives too" in problem.text


def test_a_wrong_value_is_reported_as_it_was_written(load):
    with pytest.raises(ConfigError) as caught:
        load("Schedulers:\n  cooldown: -3\n")
    (problem,) = caught.value.problems
    assert (problem.line, problem.key) == (2, "Schedulers.cooldown")


def test_moved_keys_are_silent_but_what_the_peer_calls_old(load):
    assert not [w for w in load("Training: {g_warmup_steps: 5}\n").warnings if "spelling" in w.text]
    warnings = load("Training:\n  perceptual_loss_weight: 0\n").warnings
    assert "old spelling of Training.Losses.perceptual_weight" in str(warnings)


def test_rrdbnet_in_a_file_of_opensr_is_pointed_out(load):
    """There it names another network."""
    plain = load("Generator:\n  model_type: rrdbnet\n").warnings
    assert "BasicSR" not in str(plain)
    found = str(load("Generator:\n  model_type: rrdbnet\n  block_type: rrdb\n").warnings)
    assert "read as the RRDBNet of BasicSR and Real-ESRGAN" in found
    assert "write esrgan" in found


@pytest.mark.parametrize(
    ("written", "model", "block"),
    [
        ("SRResNet", "SRResNet", "res"),
        (" sr-resnet ", "SRResNet", "res"),
        ("SR ResNet", "SRResNet", "res"),
        ("ESRGAN", "esrgan", "res"),
        ("RRDBNet", "rrdbnet", "res"),
        ("rrdb_net", "esrgan", "res"),
        ("Stochastic-GAN", "stochastic_gan", "res"),
        ("cGAN", "stochastic_gan", "res"),
        ("conditional-gan", "stochastic_gan", "res"),
        ("rcab", "SRResNet", "rcab"),
        ("RRDB", "SRResNet", "rrdb"),
        ("large-kernel", "SRResNet", "lka"),
        ("Channel Attention", "SRResNet", "rcab"),
        ("vanilla", "SRResNet", "standard"),
    ],
)
def test_generator_names(load, written, model, block):
    generator = load(f"Generator: {{model_type: '{written}'}}\n").config.generator
    assert (generator.model_type, generator.block_type) == (model, block)


def test_an_explicit_block_wins_in_the_file_and_an_override_over_it(load):
    text = "Generator: {model_type: rcab, block_type: Residual}\n"
    assert load(text).config.generator.block_type == "res"
    assert load(text, "Generator.model_type=lka").config.generator.block_type == "lka"


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("normalize_10k", "normalise_10k"),
        ("Normalise-10K", "normalise_10k"),
        ("reflectance", "normalise_10k"),
        ("S2", "normalise_10k"),
        ("sentinel2_signed", "normalise_10k_signed"),
        ("normalize_s2", "normalise_s2"),
        ("minusone_one", "zero_one_signed"),
        ("none", "identity"),
        ("{name: normalize_10k}", "normalise_10k"),
        ("{method: S2}", "normalise_10k"),
    ],
)
def test_normalization_names(load, written, name):
    assert load(f"Data: {{normalization: {written}}}\n").config.data.normalization == name


def test_functions_named_in_yaml_are_never_run(load):
    with pytest.raises(ConfigError, match=r"never run; use \{name: linear"):
        load("Data: {normalization: {name: custom, normalize: 'os:system'}}\n")


@pytest.mark.parametrize(
    ("written", "gpus"), [("2", (0, 1)), ("-1", ()), ("0", ()), ("[1]", (1,)), ("~", ())]
)
def test_gpus(load, written, gpus):
    assert load(f"Training: {{gpus: {written}}}\n").config.training.gpus == gpus


def test_all_gpus_are_to_be_named(load):
    warnings = load("Training: {gpus: -1}\n").warnings
    (warning,) = (each for each in warnings if each.key == "Training.gpus")
    assert warning.line == 1
    assert "-1 is read as one device; name all that shall train" in warning.text


def test_the_batch_of_each_gpu_in_a_file_of_the_peer_is_pointed_out(load):
    text = "Training: {gpus: [0, 1, 2, 3], find_unused_parameters: true}\nData: {train_batch_size: 8}\n"
    texts = [warning.text for warning in load(text).warnings if warning.key == "Training.gpus"]
    assert len(texts) == 1
    assert "4 devices share the crops of Data.train_batch_size" in texts[0]
    assert "multiply it by 4" in texts[0]
    ours = load("Training: {gpus: [0, 1, 2, 3]}\n").warnings
    assert "Training.gpus" not in [warning.key for warning in ours]


@pytest.mark.parametrize(
    ("written", "device"), [("GPU", "cuda"), ("''", "auto"), ("CUDA:1", "cuda:1"), ("Cpu", "cpu")]
)
def test_devices(load, written, device):
    assert load(f"Training: {{device: {written}}}\n").config.training.device == device


def test_other_values(load):
    text = """\
Data: {dataset_type: sen2naip, degradation: Area}
Model: {continue_training: False, load_checkpoint: ''}
Training:
  limit_val_batches: 1.0
  Losses: {adv_loss_type: GAN, adv_loss_schedule: Cosine}
Discriminator: {model_type: PatchGAN}
Logging: {output_dir: False, wandb: {entity: ''}}
"""
    config = load(text).config
    assert config.data.dataset_type == "SEN2NAIP"
    assert config.data.degradation.kind == "area"
    assert config.model.continue_training is None
    assert config.model.load_checkpoint is None
    assert config.training.limit_val_batches is None
    assert config.training.losses.adv_loss_type == "bce"
    assert config.training.losses.adv_loss_schedule == "cosine"
    assert config.discriminator.model_type == "patchgan"
    assert config.logging.output_dir is None
    assert config.logging.wandb.entity is None


def test_datasets_without_a_reader(load):
    loaded = load("Data:\n  hr: a\n  dataset_type: S2_6b\n")
    assert loaded.config.data.dataset_type == "GeoTIFF"
    (warning,) = loaded.warnings
    assert warning.line == 3
    assert "'S2_6b' has no reader" in warning.text


PEER = """\
Data:
  train_batch_size: 6
  val_batch_size: 4
  num_workers: 6
  prefetch_factor: 2
  dataset_type: 'SEN2NAIP'
  normalization: 'normalise_10k'
Model:
  in_bands: 4
  continue_training: False
  load_checkpoint: False
Training:
  device: "cuda"
  gpus: [0,1]
  max_epochs: 9999
  val_check_interval: 1.
  limit_val_batches: 100
  pretrain_g_only: True
  g_pretrain_steps: 5000
  adv_loss_ramp_steps: 500
  label_smoothing: True
  find_unused_parameters: True
  EMA:
    enabled: False
    decay: 0.999
    update_after_step: 0
    use_num_updates: True
    device: null
  Losses:
    adv_loss_type: 'bce'
    relativistic_average_d: False
    adv_loss_beta: 0.001
    adv_loss_schedule: 'cosine'
    r1_gamma: 0.0
    l1_weight: 1.0
    sam_weight: 0.00
    perceptual_weight: 0.05
    perceptual_metric: 'vgg'
    fixed_idx: [0, 1, 2]
    tv_weight: 0.0
    max_val: 1.0
    ssim_win: 11
Generator:
  model_type: 'esrgan'
  block_type: 'rrdb'
  large_kernel_size: 9
  small_kernel_size: 3
  n_channels: 64
  n_blocks: 16
  scaling_factor: 4
  growth_channels: 32
  res_scale: 0.2
  use_icnr: True
Discriminator:
  model_type: 'esrgan'
  n_blocks: 8
  use_spectral_norm: False
  base_channels: 64
  linear_size: 1024
Optimizers:
  optim_g_lr: 1e-5
  optim_d_lr: 5e-5
  gradient_clip_val: 0
  betas: [0.0, 0.99]
  eps: 1.0e-7
  weight_decay_g: 0.0
  weight_decay_d: 0.0
Schedulers:
  g_warmup_steps: 0
  g_warmup_type: 'linear'
  metric_g: 'val_metrics/l1'
  metric_d: 'validation/DISC_adversarial_loss'
  patience_g: 10
  patience_d: 10
  factor_g: 0.5
  factor_d: 0.5
  verbose: True
Logging:
  num_val_images: 5
  wandb:
    enabled: True
    entity: "someone"
    project: "SRGAN"
"""


def test_a_whole_file_of_the_peer_loads_with_warnings_only(load):
    loaded = load(PEER)
    assert loaded.config.optimizers.optim_g_lr == 1e-5
    assert loaded.config.training.val_check_interval == 1.0
    assert [warning.key for warning in loaded.warnings] == [
        "Training.gpus",
        "Training.find_unused_parameters",
        "Generator.block_type",
        "Generator.large_kernel_size",
        "Generator.small_kernel_size",
        "Discriminator.n_blocks",
        "Discriminator.use_spectral_norm",
        "Optimizers.optim_d_lr",
        "Optimizers.gradient_clip_val",
        "Schedulers.g_warmup_type",
        "Schedulers.verbose",
    ]
    lines = PEER.splitlines()
    for warning in loaded.warnings:
        assert lines[warning.line - 1].strip().startswith(warning.key.rpartition(".")[2])
