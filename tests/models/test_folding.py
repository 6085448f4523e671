import pytest
import torch
from torch import nn

from srgan_cli.models.folding import folded_conv2d, folding_pays
from srgan_cli.models.steady import Conv2d


@pytest.mark.parametrize("kernel", [5, 9, 13])
@pytest.mark.parametrize("num_out", [1, 3, 4])
@pytest.mark.parametrize("bias", [True, False])
def test_a_folded_convolution_is_the_same_one(kernel, num_out, bias):
    torch.manual_seed(0)
    layer = nn.Conv2d(3, num_out, kernel, padding=kernel // 2, bias=bias).double()
    x = torch.rand(2, 3, 10, 16, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(2, num_out, 10, 16, dtype=torch.float64)
    inputs = [x, *layer.parameters()]
    plain, folded = layer(x), folded_conv2d(x, layer.weight, layer.bias)
    assert torch.allclose(plain, folded, rtol=1e-12, atol=1e-12)
    gradients = [torch.autograd.grad((out * weight).sum(), inputs) for out in (plain, folded)]
    for one, other in zip(*gradients, strict=True):
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-12)


def test_it_pays_for_few_bands_and_large_kernels_only():
    x = torch.rand(1, 8, 6, 6)
    assert folding_pays(Conv2d(8, 4, 9, padding=4), x)
    assert folding_pays(Conv2d(8, 4, 9, padding=4).eval(), x)
    assert not folding_pays(Conv2d(8, 4, 9, padding=4), x[..., 1:])
    assert not folding_pays(Conv2d(8, 5, 9, padding=4), x)
    assert not folding_pays(Conv2d(8, 4, 7, padding=3), x)
    assert not folding_pays(Conv2d(8, 4, 1), x)
    assert not folding_pays(Conv2d(8, 4, 9), x)
    assert not folding_pays(Conv2d(8, 4, 9, padding=4, groups=4), x)
    assert not folding_pays(Conv2d(8, 4, 9, padding=4), x.to("meta"))


def test_the_layer_folds_and_says_the_same():
    layer = Conv2d(8, 4, 9, padding=4)
    x = torch.rand(2, 8, 12, 12)
    in_training = layer(x)
    plain = layer.eval()(x)
    assert torch.allclose(in_training, plain, atol=1e-5)
    assert not torch.equal(in_training, plain), "unless it is told where tiles begin"
    layer.on_even_grid = True
    with torch.inference_mode():
        assert torch.equal(layer(x), in_training)


@pytest.mark.parametrize("kernel", [5, 9])
@pytest.mark.parametrize("channels", [8, 24, 64])
def test_a_tile_has_the_bits_of_the_whole(kernel, channels):
    torch.manual_seed(0)
    layer = Conv2d(channels, 4, kernel, padding=kernel // 2).eval()
    layer.on_even_grid = True
    whole = torch.rand(1, channels, 90, 82).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        wanted = layer(whole)
        for row, col, height, width in [(0, 0, 30, 40), (10, 20, 12, 14), (44, 2, 46, 80)]:
            tile = whole[..., row : row + height, col : col + width]
            found = layer(tile.contiguous(memory_format=torch.channels_last))
            above, left = (kernel // 2 if start else 0 for start in (row, col))
            below = height if row + height == 90 else height - kernel // 2
            right = width if col + width == 82 else width - kernel // 2
            assert torch.equal(
                found[..., above:below, left:right],
                wanted[..., row + above : row + below, col + left : col + right],
            )
