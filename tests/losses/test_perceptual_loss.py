import pytest
import torch
from torchvision.models import vgg19

from srgan_cli.errors import RefusedError
from srgan_cli.losses.perceptual import VGGLoss


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory):
    """The first two stages in the format of torchvision's file."""
    torch.manual_seed(0)
    with torch.device("meta"):
        names = [name for name in vgg19().state_dict() if name.startswith("features.")][:8]
        shapes = {name: vgg19().state_dict()[name].shape for name in names}
    path = tmp_path_factory.mktemp("vgg") / "vgg19.pth"
    torch.save({name: 0.1 * torch.randn(shape) for name, shape in shapes.items()}, path)
    return path


def test_zero_for_equal_images_and_positive_with_gradient_for_others(vgg_file):
    loss = VGGLoss(2, 2, vgg_file, (0, 1, 2))
    hr, valid = torch.rand(1, 4, 16, 16), torch.ones(1, 1, 16, 16)
    sr = (hr + 0.1).requires_grad_()
    assert loss(hr, hr, valid).item() == 0
    found = loss(sr, hr, valid)
    found.backward()
    assert found.item() > 0
    assert sr.grad[:, :3].abs().sum() > 0
    assert sr.grad[:, 3].abs().sum() == 0
    assert all(p.grad is None for p in loss.parameters())


def test_matches_torchvision_with_imagenet_normalisation(vgg_file):
    loss = VGGLoss(2, 2, vgg_file, (2, 1, 0))
    with torch.device("meta"):
        whole = vgg19().features[:9]
    state = torch.load(vgg_file, weights_only=True)
    whole.load_state_dict({k.removeprefix("features."): v for k, v in state.items()}, assign=True)
    sr, hr = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)
    mean = torch.tensor([0.485, 0.456, 0.406]).view(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).view(1, 3, 1, 1)

    def features(image):
        return whole((image[:, [2, 1, 0]] - mean) / std)

    expected = (features(sr) - features(hr)).square().mean()
    found = loss(sr, hr, torch.ones(1, 1, 16, 16))
    assert found.item() == pytest.approx(expected.item(), rel=1e-4)


def test_each_band_has_its_own_black_and_white(vgg_file):
    shared = VGGLoss(2, 2, vgg_file, (2, 1, 0))
    black, span = [0.5, -1.0, 0.0], [2.0, 4.0, 0.5]
    each = VGGLoss(2, 2, vgg_file, (2, 1, 0), black, span)
    sr, hr = torch.rand(1, 3, 16, 16), torch.rand(1, 3, 16, 16)

    def stretched(image):
        # The loss sees the bands in the order 2, 1, 0, and so do its numbers.
        low, wide = (torch.tensor(values[::-1]).view(1, 3, 1, 1) for values in (black, span))
        return image * wide + low

    valid = torch.ones(1, 1, 16, 16)
    found = each(stretched(sr), stretched(hr), valid)
    assert found.item() == pytest.approx(shared(sr, hr, valid).item(), rel=1e-4)


def test_invalid_pixels_do_not_count(vgg_file):
    loss = VGGLoss(1, 1, vgg_file, (0, 0, 0))
    hr, valid = torch.rand(1, 2, 8, 8), torch.ones(1, 1, 8, 8)
    valid[..., 2:5] = 0
    sr = hr.clone()
    sr[..., 2:5] = 50
    assert loss(sr, hr, valid).item() == 0


def test_a_single_band_is_seen_as_grey(vgg_file):
    loss = VGGLoss(1, 1, vgg_file, (0, 0, 0))
    grey = torch.rand(1, 1, 8, 8)
    rgb = grey.expand(1, 3, 8, 8)
    three = VGGLoss(1, 1, vgg_file, (0, 1, 2))
    ones = torch.ones(1, 1, 8, 8)
    assert loss(grey, 0.5 * grey, ones) == three(rgb, 0.5 * rgb, ones)


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "does not exist"),
        (b"not a torch file", "cannot be read"),
        ({"features.0.weight": torch.zeros(3)}, "features.0.weight is missing or misshapen"),
    ],
)
def test_unusable_weights_are_refused_before_the_first_step(tmp_path, content, part):
    path = tmp_path / "vgg.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(RefusedError, match=part):
        VGGLoss(1, 1, path, (0, 1, 2))


def test_a_layer_that_vgg19_does_not_have(vgg_file):
    with pytest.raises(RefusedError, match="stage 2 of VGG19 has 2 convolutions"):
        VGGLoss(2, 3, vgg_file, (0, 1, 2))
