"""Keys that contradict each other are errors, each with the key to change."""

import pytest
from pydantic import ValidationError

from srgan_cli.config import RunConfig
from srgan_cli.config.agree import disagreements
from srgan_cli.config.names import all_keys


def found(**sections):
    """(key, text) of the disagreements of a configuration."""
    with pytest.raises(ValidationError) as caught:
        RunConfig.model_validate(sections)
    error = caught.value.errors()[0]["ctx"]["error"]
    return [(problem.key, problem.text) for problem in error.problems]


def losses(**values):
    return {"Losses": values}


@pytest.mark.parametrize(
    ("sections", "key", "words"),
    [
        ({"Data": {"hr_crop_px": 130}}, "Data.hr_crop_px", "use 128"),
        ({"Data": {"val_crop_px": 66}}, "Data.val_crop_px", "not a multiple"),
        ({"Data": {"val_crop_px": 8}}, "Data.val_crop_px", "smaller than the window of SSIM"),
        (
            {"Data": {"train_batch_size": 12}, "Training": {"accumulate_steps": 8}},
            "Training.accumulate_steps",
            "does not divide Data.train_batch_size 12; use 6",
        ),
        (
            {"Data": {"train_batch_size": 2}, "Training": {"accumulate_steps": 4}},
            "Training.accumulate_steps",
            "use 2",
        ),
        (
            {"Data": {"train_batch_size": 8}, "Training": {"gpus": [0, 1, 2]}},
            "Data.train_batch_size",
            "8 crops cannot be shared equally by 3 processes; use 6 or 9",
        ),
        (
            {"Data": {"train_batch_size": 2}, "Training": {"num_processes": 4, "device": "cpu"}},
            "Data.train_batch_size",
            "4 processes; use 4",
        ),
        (
            {
                "Data": {"train_batch_size": 8},
                "Training": {"gpus": [0, 1], "accumulate_steps": 8},
            },
            "Training.accumulate_steps",
            "8 does not divide 4, the share of each of 2 processes in Data.train_batch_size 8; use 4",
        ),
        ({"Training": {"gpus": [1, 0, 1, 2]}}, "Training.gpus", "device 1 is named twice"),
        (
            {"Training": {"gpus": [0, 1], "num_processes": 4}},
            "Training.num_processes",
            "4, but Training.gpus names 2",
        ),
        (
            {"Training": {"device": "cuda:1", "num_processes": 2}},
            "Training.device",
            "cuda:1 is one device, but Training.num_processes is 2",
        ),
        ({"Data": {"bands": [1, 2]}}, "Data.bands", "2 entries, but Model.in_bands is 4"),
        ({"Data": {"band_names": ["a"]}}, "Data.band_names", "1 entries"),
        ({"Data": {"val_lr": ["a"]}}, "Data.val_lr", "given without Data.val_hr"),
        ({"Data": {"lr": ["a"]}}, "Data.lr", "given without Data.hr"),
        ({"Data": {"pairs": "a", "hr": ["b"]}}, "Data.hr", "beside Data.pairs, which names all"),
        ({"Data": {"pairs": "a", "val_hr": ["b"]}}, "Data.val_hr", "beside Data.pairs"),
        (
            {"Data": {"pairs": "a", "dataset_type": "ExampleDataset"}},
            "Data.pairs",
            "with dataset_type GeoTIFF only, not ExampleDataset",
        ),
        (
            {"Model": {"continue_training": "a", "load_checkpoint": "b"}},
            "Model.load_checkpoint",
            "together with Model.continue_training",
        ),
        ({"Generator": {"large_kernel_size": 8}}, "Generator.large_kernel_size", "8 is even"),
        (
            {"Generator": {"scaling_factor": 1}},
            "Generator.scaling_factor",
            "rrdbnet or esrgan only",
        ),
        (
            {"Generator": {"model_type": "esrgan", "out_channels": 3}},
            "Generator.out_channels",
            "Model.in_bands is 4",
        ),
        (
            {"Generator": {"block_type": "rcab", "n_channels": 8}},
            "Generator.n_channels",
            "use 16 or more",
        ),
        ({"Discriminator": {"n_blocks": 6}}, "Discriminator.n_blocks", "hr_crop_px 192 or more"),
        ({"Discriminator": {"n_blocks": 10**22}}, "Discriminator.n_blocks", "px; use fewer"),
        ({"Training": losses(ssim_win=10)}, "Training.Losses.ssim_win", "10 is even"),
        (
            {"Training": losses(adv_loss_type="hinge", relativistic_average_d=True)},
            "Training.Losses.relativistic_average_d",
            "bce only, not hinge",
        ),
        (
            {"Training": losses(l1_weight=0, sam_weight=0)},
            "Training.Losses.l1_weight",
            "nothing ties SR to HR",
        ),
        (
            {"Training": losses(fixed_idx=[0, 1, 2, 3])},
            "Training.Losses.fixed_idx",
            "4 bands; give three",
        ),
        ({"Training": losses(fixed_idx=[])}, "Training.Losses.fixed_idx", "0 bands"),
        ({"Training": losses(fixed_idx=[0, 1, 4])}, "Training.Losses.fixed_idx", "band 4 does not"),
        (
            {"Training": losses(perceptual_weight=1), "Data": {"hr_crop_px": 12}}
            | {"Generator": {"scaling_factor": 2}, "Discriminator": {"model_type": "standard"}},
            "Data.hr_crop_px",
            "too small for the perceptual loss, which needs 16",
        ),
        (
            {"Schedulers": {"metric_d": "val_metrics/perceptual"}},
            "Schedulers.metric_d",
            "only measured with Training.Losses.perceptual_weight above 0",
        ),
    ],
)
def test_each_contradiction_alone(sections, key, words):
    ((where, text),) = found(**sections)
    assert where == key
    assert words in text


@pytest.mark.parametrize(
    "sections",
    [
        {"Generator": {"scaling_factor": 1, "model_type": "esrgan"}},
        {"Generator": {"model_type": "esrgan", "out_channels": 4}},
        {"Generator": {"block_type": "rcab", "n_channels": 16}},
        {"Data": {"hr_crop_px": 24, "val_crop_px": 128}},
        {"Data": {"hr_crop_px": 16}, "Discriminator": {"n_blocks": 2}},
        {"Data": {"hr_crop_px": 16}, "Discriminator": {"model_type": "standard"}},
        {"Data": {"hr_crop_px": 16}, "Training": {"g_pretrain_steps": -1}},
        {"Training": losses(perceptual_weight=1, fixed_idx=[0]), "Model": {"in_bands": 1}},
        {"Training": losses(perceptual_weight=1), "Model": {"in_bands": 1}},
        {"Training": losses(perceptual_weight=1), "Model": {"in_bands": 2}},
        {
            "Training": losses(perceptual_weight=1),
            "Schedulers": {"metric_g": "val_metrics/perceptual"},
        },
    ],
)
def test_what_fits_together(sections):
    assert disagreements(RunConfig.model_validate(sections)) == []


def test_all_of_them_at_once_with_real_keys():
    problems = found(
        Data={"hr_crop_px": 130, "bands": [1]},
        Generator={"large_kernel_size": 8},
        Training=losses(fixed_idx=[9]),
    )
    keys = {".".join(key) for key in all_keys()}
    assert len(problems) == 4
    assert {key for key, _ in problems} <= keys


@pytest.mark.parametrize(
    ("training", "processes"),
    [
        ({}, 1),
        ({"gpus": [3]}, 1),
        ({"gpus": [0, 1]}, 2),
        ({"gpus": [0, 1], "device": "cpu"}, 1),
        ({"num_processes": 4, "device": "cpu"}, 4),
        ({"gpus": [0, 1], "num_processes": 2, "device": "cuda"}, 2),
    ],
)
def test_processes(training, processes):
    assert RunConfig.model_validate({"Training": training}).training.processes == processes
