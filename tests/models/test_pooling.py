import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from srgan_cli.models import GeneratorSpec, build_generator
from srgan_cli.models.pooling import WindowMean, window_sum


@given(st.integers(1, 40), st.integers(0, 30), st.sampled_from([2, 3]))
def test_window_sums_are_sums(size, more, dim):
    x = torch.rand(1, 2, size + more, size + more, dtype=torch.float64)
    torch.testing.assert_close(window_sum(x, size, dim), x.unfold(dim, size, 1).sum(-1))


def test_a_window_has_a_pixel():
    with pytest.raises(ValueError, match="one pixel at least"):
        window_sum(torch.rand(1, 1, 4, 4), 0, 2)


def brute(x, window):
    """Each pixel's mean over a window around it, shifted inside at the border."""
    height, width = x.shape[-2:]
    out = torch.empty_like(x)
    for row in range(height):
        for col in range(width):
            top = min(max(row - (window - 1) // 2, 0), max(height - window, 0))
            left = min(max(col - (window - 1) // 2, 0), max(width - window, 0))
            part = x[..., top : top + window, left : left + window]
            out[..., row, col] = part.mean(dim=(-2, -1))
    return out


@pytest.mark.parametrize("window", [1, 2, 3, 7, 8, 12])
def test_a_window_is_centred_and_stays_inside(window):
    pool, x = WindowMean(), torch.rand(2, 3, 10, 9)
    pool.window_px = window
    torch.testing.assert_close(pool(x).expand_as(x), brute(x, window))


@pytest.mark.parametrize("window", [None, 12, 40])
def test_up_to_the_window_it_is_the_plain_mean_to_the_last_bit(window):
    pool, x = WindowMean(), torch.rand(2, 3, 12, 9)
    pool.window_px = window
    assert torch.equal(pool(x), x.mean(dim=(2, 3), keepdim=True))


def test_a_crop_of_the_training_size_does_not_notice_the_window():
    torch.manual_seed(0)
    net = build_generator(GeneratorSpec("SRResNet", "rcab", 2, 2, 2, 16, 2)).eval()
    crop, scene = torch.rand(1, 2, 16, 16), torch.rand(1, 2, 40, 40)
    with torch.no_grad():
        before, before_scene = net(crop), net(scene)
        net.pool_locally_(16)
        assert net.pools_globally
        assert net.window_px == 16
        assert torch.equal(net(crop), before)
        assert not torch.equal(net(scene), before_scene)
        net.pool_locally_(None)
        assert torch.equal(net(scene), before_scene)


def test_networks_without_such_layers_do_not_care():
    net = build_generator(GeneratorSpec("SRResNet", "res", 2, 2, 2, 8, 1))
    net.pool_locally_(16)
    assert not net.pools_globally
    assert net.window_px is None
