import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torchmetrics.functional.image import (
    error_relative_global_dimensionless_synthesis,
    peak_signal_noise_ratio,
    spectral_angle_mapper,
)

from srgan_cli import metrics


@pytest.fixture
def pair():
    torch.manual_seed(0)
    hr = torch.rand(3, 4, 32, 40) + 0.2
    return hr + 0.1 * torch.randn_like(hr), hr, torch.ones(3, 1, 32, 40)


def test_psnr_against_torchmetrics(pair):
    sr, hr, valid = pair
    for index in range(3):
        one = slice(index, index + 1)
        expected = peak_signal_noise_ratio(sr[one], hr[one], data_range=1.5)
        found = metrics.psnr(sr, hr, valid, 1.5)[index]
        assert found.item() == pytest.approx(expected.item(), rel=1e-5)


def test_sam_and_ergas_against_torchmetrics(pair):
    sr, hr, valid = pair
    assert metrics.sam(sr, hr, valid).mean().item() == pytest.approx(
        spectral_angle_mapper(sr, hr).item(), rel=1e-4
    )
    assert metrics.ergas(sr, hr, valid, 4).mean().item() == pytest.approx(
        error_relative_global_dimensionless_synthesis(sr, hr, ratio=4).item(), rel=1e-4
    )


def test_ssim_against_scikit_image(pair):
    sr, hr, valid = pair
    scores = []
    for band in range(4):
        _, full = structural_similarity(
            sr[0, band].double().numpy(),
            hr[0, band].double().numpy(),
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=1.0,
            full=True,
        )
        scores.append(full[5:-5, 5:-5].mean())
    found = metrics.ssim(sr, hr, valid, 1.0)[0].item()
    assert found == pytest.approx(np.mean(scores), abs=1e-4)


@pytest.mark.parametrize(
    "metric",
    [
        metrics.l1,
        metrics.psnr,
        metrics.ssim,
        metrics.sam,
        lambda sr, hr, valid: metrics.ergas(sr, hr, valid, 4),
    ],
)
def test_invalid_pixels_count_in_no_metric(pair, metric):
    sr, hr, valid = pair
    valid = valid.clone()
    valid[:, :, :6, 30:] = 0
    spoiled = sr.clone()
    spoiled[:, :, :6, 30:] = 99.0
    assert torch.allclose(metric(spoiled, hr, valid), metric(sr, hr, valid))
    nothing = metric(sr, hr, 0 * valid)
    assert torch.isnan(nothing).all()


def test_a_nan_pixel_is_never_a_good_score(pair):
    sr, hr, valid = pair
    sr = sr.clone()
    sr[1, 2, 3, 4] = torch.nan
    assert torch.isnan(metrics.l1(sr, hr, valid)).tolist() == [False, True, False]
    assert torch.isnan(metrics.psnr(sr, hr, valid)).tolist() == [False, True, False]


def test_high_frequency_ratio_tells_blur_from_noise(pair):
    _, hr, valid = pair
    smooth = torch.nn.functional.avg_pool2d(hr, 3, 1, 1)
    noisy = hr + 0.3 * torch.randn_like(hr)
    assert metrics.high_frequency_ratio(hr, hr, valid).tolist() == pytest.approx([1.0] * 3)
    assert metrics.high_frequency_ratio(smooth, hr, valid).max() < 0.25
    assert metrics.high_frequency_ratio(noisy, hr, valid).min() > 1.3
