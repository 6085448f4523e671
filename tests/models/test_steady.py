"""To the last bit, a value must not depend on the size of the tensor around it."""

import pytest
import torch
from torch import nn

from srgan_cli.models.steady import Conv2d, Sigmoid, Tanh


@pytest.mark.parametrize("kind", [Sigmoid, Tanh])
def test_every_element_is_computed_alike(kind):
    layer, x = kind().eval(), 4 * torch.randn(5003)
    whole = layer(x)
    for start, length in [(0, 1), (3, 7), (17, 33), (1000, 2001)]:
        assert torch.equal(layer(x[start : start + length]), whole[start : start + length])
    torch.testing.assert_close(whole, (torch.sigmoid if kind is Sigmoid else torch.tanh)(x))


@pytest.mark.parametrize(("narrow", "wide", "kernel"), [(8, 8, 3), (2, 32, 3), (64, 64, 1)])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_small_and_large_images_go_through_the_same_convolution(narrow, wide, kernel, layout):
    torch.manual_seed(0)
    conv = Conv2d(narrow, wide, kernel, padding=kernel // 2).eval().to(memory_format=layout)
    image = torch.rand(1, narrow, 200, 200).contiguous(memory_format=layout)
    with torch.no_grad():
        whole = conv(image)
        for size in (8, 17, 60):
            part = image[..., 5 : 5 + size, 7 : 7 + size].contiguous(memory_format=layout)
            inner, margin = size - 2, 1
            expected = whole[..., 6 : 6 + inner, 8 : 8 + inner]
            found = conv(part)[..., margin : margin + inner, margin : margin + inner]
            assert torch.equal(found, expected)


@pytest.mark.parametrize("kernel", [5, 7, 9, 11, 13, 17])
@pytest.mark.parametrize(("num_in", "num_out"), [(1, 1), (1, 24), (12, 8), (16, 3), (40, 40)])
@pytest.mark.parametrize("even", [False, True])
def test_large_kernels_have_one_order_wherever_they_are_cut(kernel, num_in, num_out, even):
    torch.manual_seed(kernel)
    conv = Conv2d(num_in, num_out, kernel, padding=kernel // 2).eval()
    conv.on_even_grid = even
    reach = kernel // 2 + kernel // 2 % 2
    for height, width in ((50, 96), (54, 62)):
        image = torch.rand(1, num_in, height, width)
        with torch.no_grad():
            whole = conv(image)
            assert whole.is_contiguous()
            for at in (2, 6, 10):
                part = conv(image[..., at : at + 38, at : at + 44].contiguous())
                inside = whole[..., at + reach : at + 38 - reach, at + reach : at + 44 - reach]
                assert torch.equal(part[..., reach:-reach, reach:-reach], inside)
            wanted = nn.functional.conv2d(image, conv.weight, conv.bias, padding=kernel // 2)
        torch.testing.assert_close(whole, wanted)


@pytest.mark.parametrize("kernel", [7, 9])
@pytest.mark.parametrize(("num_in", "num_out"), [(1, 1), (6, 4), (12, 8)])
@pytest.mark.parametrize("width", [1, 2, 3])
def test_images_narrower_than_the_kernel_reaches_have_no_order_of_their_own(
    kernel, num_in, num_out, width
):
    torch.manual_seed(0)
    conv = Conv2d(num_in, num_out, kernel, padding=kernel // 2).eval()
    reach = kernel // 2
    tall = torch.rand(1, num_in, 160, width)
    for image, dim in ((tall, 2), (tall.mT.contiguous(), 3)):
        with torch.no_grad():
            whole = conv(image)
            part = conv(image.narrow(dim, 41, 60).contiguous())
            wanted = nn.functional.conv2d(image, conv.weight, conv.bias, padding=reach)
        inside = 60 - 2 * reach
        expected = whole.narrow(dim, 41 + reach, inside)
        assert torch.equal(part.narrow(dim, reach, inside), expected)
        torch.testing.assert_close(whole, wanted)


def test_the_keys_and_the_gradients_are_those_of_plain_layers():
    assert isinstance(Conv2d(1, 1, 1), nn.Conv2d)
    assert list(nn.Sequential(Sigmoid(), Tanh()).state_dict()) == []
    x = torch.zeros(3, requires_grad=True)
    Sigmoid()(x).sum().backward()
    torch.testing.assert_close(x.grad, torch.full((3,), 0.25))
