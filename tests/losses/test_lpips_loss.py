import sys
import warnings

import pytest
import torch
from torchvision.models import alexnet

from srgan_cli.errors import RefusedError
from srgan_cli.losses.imagenet import rgb_bands
from srgan_cli.losses.lpips import LPIPSLoss

pytest.importorskip("lpips")


@pytest.fixture(scope="module")
def alexnet_file(tmp_path_factory):
    """Random features in the format of torchvision's file."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("alexnet") / "alexnet.pth"
    torch.save({k: v for k, v in alexnet().state_dict().items() if "features" in k}, path)
    return path


def test_it_is_the_distance_of_the_package(alexnet_file):
    import lpips

    loss = LPIPSLoss(alexnet_file, (2, 1, 0), offset=-1.0, span=2.0)
    features = alexnet().features
    state = torch.load(alexnet_file, weights_only=True)
    features.load_state_dict({k.removeprefix("features."): v for k, v in state.items()})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        oracle = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    for part in oracle.net.children():
        for name, layer in part.named_children():
            if hasattr(layer, "weight"):
                layer.load_state_dict(features[int(name)].state_dict())
    sr, hr = 2 * torch.rand(2, 3, 64, 64) - 1, 2 * torch.rand(2, 3, 64, 64) - 1
    with torch.no_grad():
        expected = oracle.eval()(sr.flip(1), hr.flip(1)).mean()
        found = loss(sr, hr, torch.ones(2, 1, 64, 64))
    torch.testing.assert_close(found, expected)


def test_zero_for_equal_images_and_a_gradient_for_others(alexnet_file):
    loss = LPIPSLoss(alexnet_file, (0, 1, 2))
    hr, valid = torch.rand(1, 4, 40, 40), torch.ones(1, 1, 40, 40)
    sr = (hr + 0.1 * torch.rand_like(hr)).requires_grad_()
    assert loss(hr, hr, valid).item() == 0
    found = loss(sr, hr, valid)
    found.backward()
    assert found.item() > 0
    assert sr.grad[:, :3].abs().sum() > 0
    assert sr.grad[:, 3].abs().sum() == 0
    assert not any(p.requires_grad for p in loss.parameters())


def test_invalid_pixels_do_not_count(alexnet_file):
    loss = LPIPSLoss(alexnet_file, (0, 0, 0))
    hr, valid = torch.rand(1, 1, 40, 40), torch.ones(1, 1, 40, 40)
    valid[..., 5:20] = 0
    sr = torch.where(valid > 0, hr, 50 * torch.ones_like(hr))
    assert loss(sr, hr, valid).item() == 0


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (None, "Training.Losses.lpips_weights: .*does not exist"),
        (b"rubbish", "cannot be read"),
        ([1, 2], "holds no state dict"),
        ({"features.0.weight": torch.zeros(2)}, "not torchvision's AlexNet: features.0.weight"),
    ],
)
def test_unusable_weights_are_refused(tmp_path, content, part):
    path = tmp_path / "alexnet.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(RefusedError, match=part):
        LPIPSLoss(path, (0, 1, 2))


def test_a_failed_download_tells_where_the_file_belongs(monkeypatch):
    from torchvision.models import AlexNet_Weights

    def fail(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(AlexNet_Weights, "get_state_dict", fail)
    with pytest.raises(RefusedError, match="could not be downloaded") as caught:
        LPIPSLoss(None, (0, 1, 2))
    assert "alexnet-owt-7be5be79.pth" in caught.value.hint
    assert "lpips_weights" in caught.value.hint


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(RefusedError, match="lpips is not installed") as caught:
        LPIPSLoss(None, (0, 1, 2))
    assert "srgan-cli[lpips]" in caught.value.hint


@pytest.mark.parametrize(
    ("given", "in_bands", "expected"),
    [
        (None, 1, (0, 0, 0)),
        (None, 2, (0, 1, 1)),
        (None, 3, (0, 1, 2)),
        (None, 6, (0, 1, 2)),
        ([3], 6, (3, 3, 3)),
        ([3, 1], 6, (3, 1, 1)),
        ([3, 2, 1], 6, (3, 2, 1)),
    ],
)
def test_which_bands_are_seen_as_rgb(given, in_bands, expected):
    assert rgb_bands(given, in_bands) == expected
