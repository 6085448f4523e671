"""Warnings: risky combinations, and keys that change nothing."""

import pytest

from srgan_cli.config import RunConfig, load_config
from srgan_cli.config.effects import idle_keys
from srgan_cli.config.lint import risks
from srgan_cli.config.names import all_keys

HR = {"Data": {"hr": ["a"]}}


def warned(sections):
    return risks(RunConfig.model_validate({**HR, **sections}))


def training(**values):
    return {"Training": values}


def test_the_defaults_are_not_risky():
    assert warned({}) == []


@pytest.mark.parametrize(
    ("sections", "key", "words"),
    [
        ({"Data": {}}, "Data.hr", "no imagery"),
        ({"Optimizers": {"optim_d_lr": 1e-4}}, "Optimizers.optim_d_lr", "use 5e-05 or less"),
        ({"Generator": {"use_icnr": False}}, "Generator.use_icnr", "checkerboard"),
        (
            training(Losses={"perceptual_weight": 0.1}),
            "Training.Losses.fixed_idx",
            "the first three for R, G, B",
        ),
        (training(g_pretrain_steps=-1), "Training.g_pretrain_steps", "the GAN never starts"),
        (training(max_steps=5000), "Training.g_pretrain_steps", "the GAN never starts"),
        (
            training(max_steps=7000),
            "Training.adv_loss_ramp_steps",
            "step 7500, after the run (7000)",
        ),
        (training(pretrain_g_only=False), "Training.pretrain_g_only", "pretraining is off"),
        (training(g_pretrain_steps=0), "Training.g_pretrain_steps", "pretraining is off"),
        (
            {"Optimizers": {"optim_g_lr": 1e-3}, "Schedulers": {"g_warmup_steps": 0}},
            "Schedulers.g_warmup_steps",
            "gradients explode",
        ),
        (
            {"Optimizers": {"gradient_clip_val": 0}},
            "Optimizers.gradient_clip_val",
            "0.5 to 1.0 work well",
        ),
        ({"Optimizers": {"betas": [0.9, 0.99]}}, "Optimizers.betas", "first beta 0.9"),
        (
            training(Losses={"adv_loss_beta": 0}),
            "Training.Losses.adv_loss_beta",
            "never hears of it",
        ),
        (
            training(label_smoothing=False, Losses={"adv_loss_type": "wasserstein"}),
            "Training.Losses.adv_loss_type",
            "nothing bounds the discriminator",
        ),
        (
            training(EMA={"update_after_step": 10000}, max_steps=10000),
            "Training.EMA.update_after_step",
            "never starts",
        ),
        (
            training(EMA={"decay": 0.9999, "use_num_updates": False}, max_steps=10000),
            "Training.EMA.decay",
            "forgets half in 6931 steps, but only 10000 are averaged",
        ),
        (
            training(val_check_interval=20000, max_steps=10000),
            "Training.val_check_interval",
            "20000 steps, but the run has 10000",
        ),
        (
            training(val_check_interval=20.0, max_epochs=10),
            "Training.val_check_interval",
            "20 passes, but the run has 10",
        ),
        (
            training(early_stop_patience=10),
            "Training.early_stop_patience",
            "10 is not above Schedulers.patience_g 10",
        ),
        (
            {**training(max_steps=10000), "Schedulers": {"g_warmup_steps": 10000}},
            "Schedulers.g_warmup_steps",
            "never reaches its full value",
        ),
        (
            {"Schedulers": {"min_lr_g": 1e-4}},
            "Schedulers.min_lr_g",
            "a plateau never cuts the rate",
        ),
        (
            {"Schedulers": {"min_lr_d": 5e-5}},
            "Schedulers.min_lr_d",
            "a plateau never cuts the rate",
        ),
    ],
)
def test_each_risk_alone(sections, key, words):
    ((where, text),) = warned(sections)
    assert where == key
    assert words in text


@pytest.mark.parametrize(
    "sections",
    [
        {"Optimizers": {"optim_g_lr": 3e-4, "optim_d_lr": 1.5e-4}},
        {"Optimizers": {"optim_g_lr": 1e-3}},
        {"Optimizers": {"betas": [0.5, 0.99], "betas_g": [0.9, 0.99]}},
        {"Generator": {"use_icnr": False, "model_type": "esrgan", "scaling_factor": 1}},
        training(Losses={"perceptual_weight": 0.1, "fixed_idx": [2, 1, 0]}),
        {**training(Losses={"perceptual_weight": 0.1}), "Model": {"in_bands": 3}},
        training(max_steps=7500),
        training(early_stop_patience=11),
        {**training(pretrain_g_only=False), "Model": {"load_checkpoint": "a.safetensors"}},
        training(EMA={"decay": 0.9999}, max_steps=10000),
        training(EMA={"decay": 0.9997, "use_num_updates": False}, max_steps=10000),
        training(EMA={"decay": 0.0, "use_num_updates": False}, max_steps=10000),
        training(EMA={"enabled": False, "update_after_step": 20000}, max_steps=10000),
        training(val_check_interval=10000, max_steps=10000),
        training(gpus=[3]),
        training(gpus=[0, 1], device="cpu"),
        {
            **training(label_smoothing=False, Losses={"adv_loss_type": "wasserstein"}),
            "Discriminator": {"model_type": "standard"},
        },
        training(label_smoothing=False, Losses={"adv_loss_type": "wasserstein", "r1_gamma": 10}),
    ],
)
def test_what_is_not_risky(sections):
    assert warned(sections) == []


def test_without_a_gan_only_its_absence_is_warned_about():
    sections = training(g_pretrain_steps=-1, Losses={"adv_loss_beta": 0})
    sections["Optimizers"] = {"optim_d_lr": 1.0, "gradient_clip_val": 0, "betas": [0.9, 0.99]}
    assert [key for key, _ in warned(sections)] == ["Training.g_pretrain_steps"]


def idle(sections):
    return idle_keys(RunConfig.model_validate({**HR, **sections}))


@pytest.mark.parametrize(
    ("sections", "key", "words"),
    [
        ({"Generator": {"model_type": "esrgan"}}, "Generator.block_type", "model_type esrgan"),
        ({"Generator": {"model_type": "esrgan"}}, "Generator.large_kernel_size", "no effect with"),
        ({}, "Generator.growth_channels", "no effect with model_type SRResNet"),
        ({}, "Generator.res_scale", "no effect with model_type SRResNet"),
        ({"Generator": {"model_type": "stochastic_gan"}}, "Generator.block_type", "stochastic_gan"),
        ({}, "Discriminator.linear_size", "no effect with model_type patchgan"),
        ({}, "Discriminator.use_spectral_norm", "no effect with model_type patchgan"),
        ({"Discriminator": {"model_type": "esrgan"}}, "Discriminator.n_blocks", "esrgan"),
        ({}, "Training.EMA.device", "beside the generator"),
        ({}, "Training.Losses.randomize_bands", "choose bands with fixed_idx"),
        ({}, "Training.find_unused_parameters", "no such search"),
        ({}, "Schedulers.verbose", "logged"),
        ({}, "Data.sen2naip_phase", "SEN2NAIP only, not GeoTIFF"),
        ({}, "Data.degradation.mtf_nyquist", "gaussian only, not bicubic"),
        ({"Data": {"val_hr": ["b"]}}, "Data.val_fraction", "Data.val_hr names"),
        ({"Data": {"hr": ["b"], "lr": ["c"]}}, "Data.degradation", "Data.lr gives"),
        ({"Data": {"dataset_type": "LRHRFolderDataset"}}, "Data.hr", "names its own files"),
        ({"Data": {"dataset_type": "ExampleDataset"}}, "Data.val_hr", "names its own files"),
        ({"Data": {"dataset_type": "SEN2NAIP"}}, "Data.val_fraction", "names its own files"),
        ({"Data": {"dataset_type": "SEN2NAIP"}}, "Data.sen2naip_phase", "takes both parts"),
        ({"Data": {"num_workers": 0}}, "Data.prefetch_factor", "no loader processes"),
        ({}, "Training.Losses.fixed_idx", "perceptual_weight is 0"),
        ({}, "TruncatedVGG.i", "perceptual_weight is 0"),
        (
            training(Losses={"perceptual_weight": 1, "perceptual_metric": "lpips"}),
            "TruncatedVGG.j",
            "a network of its own",
        ),
        ({}, "Training.Losses.r1_interval", "r1_gamma is 0"),
        (training(adv_loss_ramp_steps=0), "Training.Losses.adv_loss_schedule", "there is no ramp"),
        (training(g_pretrain_steps=-1), "Training.early_stop_patience", "pretraining never ends"),
        (
            training(Losses={"adv_loss_type": "hinge"}),
            "Training.label_smoothing",
            "hinge has no labels to smooth",
        ),
        (training(pretrain_g_only=False), "Training.g_pretrain_steps", "pretrain_g_only is false"),
        (training(max_steps=1), "Training.max_epochs", "gives the length"),
        (training(device="cpu", gpus=[0]), "Training.gpus", "device cpu decides"),
        ({"Schedulers": {"g_warmup_steps": 0}}, "Schedulers.g_warmup_type", "there is no warm-up"),
    ],
)
def test_keys_without_effect(sections, key, words):
    assert words in idle(sections)[key]


@pytest.mark.parametrize("model", ["SRResNet", "esrgan", "stochastic_gan"])
@pytest.mark.parametrize("discriminator", ["standard", "patchgan", "esrgan"])
def test_idle_keys_are_keys(model, discriminator):
    sections = {"Generator": {"model_type": model}, "Discriminator": {"model_type": discriminator}}
    assert set(idle(sections)) <= {".".join(key) for key in all_keys()}


def test_only_written_keys_are_said_to_have_no_effect(tmp_path):
    path = tmp_path / "cfg.yaml"
    path.write_text(
        "Data: {hr: a}\nTraining:\n  EMA:\n    device:\nGenerator:\n  model_type: esrgan\n"
        "  block_type: rrdb\n  noise_dim:  ~\n"
    )
    text = path.read_text().replace("  noise_dim:  ~\n", "")
    path.write_text(text)
    loaded = load_config(path, ["Discriminator.linear_size=1024"])
    assert [str(warning).removeprefix(str(path)) for warning in loaded.warnings] == [
        ":7:3: Generator.block_type: no effect with model_type esrgan",
        "--set: Discriminator.linear_size: no effect with model_type patchgan",
    ]


def test_a_risk_of_a_key_that_is_not_written_stands_at_its_section(tmp_path):
    path = tmp_path / "cfg.yaml"
    path.write_text("Data: {hr: a}\nTraining:\n  Losses:\n    perceptual_weight: 0.1\n")
    (warning,) = load_config(path).warnings
    assert (warning.line, warning.key) == (3, "Training.Losses.fixed_idx")
    path.write_text("Model: {in_bands: 4}\n")
    (warning,) = load_config(path).warnings
    assert str(warning).startswith(f"{path}: Data.hr: empty")
