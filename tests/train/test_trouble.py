"""Memory that is too small: what to lower, and by how much."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from running import train

from srgan_cli.errors import SrganError
from srgan_cli.train.footprint import Activations, lasting_bytes
from srgan_cli.train.networks import build_networks
from srgan_cli.train.trouble import SPARE, halved, what_fits

GB = 1e9


def step_of(fixed, per_pixel, side, capacity):
    """A step that needs a fixed part and a part for each pixel; None where that is too much."""

    def measure(crops, divisor):
        needed = fixed + per_pixel * crops * (side / divisor) ** 2
        return needed if needed <= capacity else None

    return measure


def test_it_names_the_largest_batch_that_fits():
    measure = step_of(2 * GB, 1 * GB / 128**2, 128, 24 * GB)
    advice = what_fits(measure, 24 * GB, 32, 128, 4)
    # 90 % of 24 GB less 2 GB fixed leaves room for 19 crops of 1 GB.
    assert advice == (
        "a step needs about 2.00 GB and 1.00 GB for each crop, 34.0 GB in all: "
        "set Data.train_batch_size to 19"
    )


def test_where_a_single_crop_is_too_large_it_names_its_size():
    measure = step_of(1 * GB, 40 * GB / 512**2, 512, 8 * GB)
    advice = what_fits(measure, 8 * GB, 4, 512, 4)
    # sqrt((7.2 - 1) / 40) of 512 is 201.6, of which 200 is a multiple of 4.
    assert advice.endswith("set Data.train_batch_size to 1 and Data.hr_crop_px to 200")


def test_where_the_network_alone_is_too_large_it_says_so():
    measure = step_of(7.5 * GB, 0.1 * GB / 64**2, 64, 8 * GB)
    assert "use a smaller Generator" in what_fits(measure, 8 * GB, 4, 64, 4)


def test_where_nothing_can_be_measured_it_halves():
    assert what_fits(lambda crops, divisor: None, 8 * GB, 8, 128, 4) == halved(8, 128, 4)
    assert "Data.train_batch_size to 4" in halved(8, 128, 4)
    assert "Data.hr_crop_px to 64" in halved(1, 128, 4)


@given(
    st.floats(0.01, 10), st.floats(0.01, 5), st.integers(2, 128), st.sampled_from([64, 128, 256])
)
def test_what_it_names_fits(fixed, per_crop, size, side):
    capacity = 0.99 * (fixed + per_crop * size) * GB
    measure = step_of(fixed * GB, per_crop * GB / side**2, side, capacity)
    advice = what_fits(measure, capacity, size, side, 4)
    words = advice.split()
    if advice == halved(size, side, 4):  # not even the smallest step could be measured
        assert measure(2, 4) is None
    elif "Data.hr_crop_px" in words:
        crop = int(words[-1])
        assert crop % 4 == 0
        assert fixed + per_crop * (crop / side) ** 2 <= capacity / GB * (1 - SPARE) + 1e-6
    elif "Data.train_batch_size" in words:
        fits = int(words[-1])
        assert 1 <= fits < size
        assert fixed + per_crop * fits <= capacity / GB * (1 - SPARE) + 1e-6


def test_out_of_memory_on_a_gpu_is_measured(tiny, tmp_path, monkeypatch):
    """The whole way, on a machine whose GPU is played."""

    from srgan_cli.train import trouble
    from srgan_cli.train.step import GanStep

    class Device:
        type = "cuda"

    step, used = GanStep.__call__, []

    def hungry(self, batch, plan, measure=False):
        crops, _, side, _ = batch.hr.shape
        if crops > 5:
            used.append(6.5 * GB)
            raise torch.OutOfMemoryError("CUDA out of memory")
        used.append((1 + crops * (side / 32) ** 2) * GB)
        return step(self, batch, plan, measure)

    monkeypatch.setattr(GanStep, "__call__", hungry)
    cuda = trouble.torch.cuda
    monkeypatch.setattr(cuda, "max_memory_allocated", lambda device: used[-1])
    monkeypatch.setattr(cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(cuda, "memory_reserved", lambda device: 6 * GB)
    monkeypatch.setattr(cuda, "mem_get_info", lambda device: (1 * GB, 8 * GB))
    monkeypatch.setattr(cuda, "empty_cache", lambda: None)
    before = trouble._out_of_memory

    def on_a_gpu(config, trainer, message):
        monkeypatch.setattr(trainer.validator, "device", Device())
        return before(config, trainer, message)

    monkeypatch.setattr(trouble, "_out_of_memory", on_a_gpu)
    with pytest.raises(SrganError, match="ran out of memory with 9 crops of 32 px") as caught:
        train(tiny(Data={**tiny().data.model_dump(), "train_batch_size": 9}), tmp_path / "run")
    assert "6.5 GB in use at the peak, 7.0 GB to be had" in caught.value.message
    assert "about 1.00 GB and 1.00 GB for each crop" in caught.value.hint
    assert "Data.train_batch_size to 5" in caught.value.hint
    assert used == [6.5 * GB, 2 * GB, 3 * GB]


def test_out_of_memory_in_a_validation_names_its_keys(tiny, tmp_path, monkeypatch):
    def hungry(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("srgan_cli.train.validation.Validator._image_metrics", hungry)
    data = {**tiny().data.model_dump(), "val_batch_size": 6}
    with pytest.raises(SrganError, match="memory with 6 validation crops of 32 px") as caught:
        train(tiny(Data=data), tmp_path / "run")
    assert "Data.val_batch_size to 3" in caught.value.hint


def test_advice_for_a_share_of_a_batch_speaks_of_the_batch():
    assert "Data.train_batch_size to 8," in halved(4, 128, 4, processes=4)
    assert "Data.hr_crop_px to 64" in halved(1, 128, 4, processes=4)


def test_out_of_memory_on_the_cpu_is_explained_too(tiny, tmp_path, monkeypatch):
    def hungry(*args, **kwargs):
        torch.empty(2**62, dtype=torch.uint8)

    monkeypatch.setattr("srgan_cli.train.step.GanStep.__call__", hungry)
    with pytest.raises(SrganError, match="ran out of memory with 2 crops.*tried to allocate"):
        train(tiny(), tmp_path / "run")


def test_another_runtime_error_stays_what_it_is(tiny, tmp_path, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("shapes cannot be multiplied")

    monkeypatch.setattr("srgan_cli.train.step.GanStep.__call__", broken)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        train(tiny(), tmp_path / "run")


@pytest.fixture
def networks(tiny):
    return build_networks(tiny(), torch.device("cpu"), (0.0,))


def test_the_lasting_part_counts_weights_gradients_moments_and_the_average(networks):
    gan = networks.step
    g, d = (
        sum(4 * p.numel() for p in network.parameters())
        for network in (gan.generator, gan.discriminator)
    )
    buffers = sum(b.numel() * b.element_size() for b in gan.discriminator.buffers())
    g_buffers = sum(b.numel() * b.element_size() for b in gan.generator.buffers())
    assert lasting_bytes(networks) == 4 * (g + g_buffers + d + buffers) + g + g_buffers


def test_activations_are_counted_once_each_and_at_their_peak(networks):
    x = torch.rand(1000, requires_grad=True)
    with Activations(networks) as kept:
        for _ in range(3):  # freed by each backward
            y = x.exp()  # keeps its result
            (y * y).sum().backward()  # keeps y again: the same memory
    assert kept.peak_bytes == 4000


def test_the_networks_own_weights_are_no_activations(networks):
    weight = next(networks.step.generator.parameters())
    with Activations(networks) as kept:
        (weight.abs() * weight).sum().backward()
    assert kept.peak_bytes == 4 * weight.numel()  # of weight.abs() alone
