"""The figures that tell how well SR agrees with LR."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from srgan_cli import metrics
from srgan_cli.data.radiometry import RADIOMETRIES
from srgan_cli.errors import RefusedError
from srgan_cli.infer import InferOptions, Model
from srgan_cli.infer import layout as layout_module
from srgan_cli.infer import quality as quality_module
from srgan_cli.infer.geometry import Grid
from srgan_cli.infer.quality import Quality
from srgan_cli.infer.quantise import Quantiser

TEN_K = RADIOMETRIES["normalise_10k"]


def images(bands: int, height: int, width: int, scale: int, seed: int = 0) -> tuple:
    """LR and SR in network units, and valid pixels."""
    rng = np.random.default_rng(seed)
    lr = rng.uniform(0.05, 0.4, (bands, height, width)).astype(np.float32)
    sr = lr.repeat(scale, axis=1).repeat(scale, axis=2)
    sr = sr + rng.normal(0.002, 0.01, sr.shape).astype(np.float32)
    return lr, sr.astype(np.float32), rng.uniform(size=(height, width)) > 0.2


def parts_of(grid: Grid, lr: np.ndarray, sr: np.ndarray, valid: np.ndarray, scale: int) -> list:
    parts = []
    for index in range(grid.num_strips):
        for segment in grid.strip(index):
            for tile in segment.tiles:
                rows, cols = tile.core.within(type(tile.core)(0, 0, grid.height, grid.width))
                fine_rows = slice(rows.start * scale, rows.stop * scale)
                fine_cols = slice(cols.start * scale, cols.stop * scale)
                core = np.ascontiguousarray(sr[:, fine_rows, fine_cols])
                parts.append((tile, lr[:, rows, cols], core, valid[rows, cols]))
    return parts


def fresh(
    scale: int = 2, bands: int = 3, size: tuple[int, int] = (50, 60), **changes: object
) -> Quality:
    quantiser = Quantiser(
        **{"dtype": "uint16", "radiometry": TEN_K, "scale": scale, "nodata": 0, **changes}
    )
    return Quality(quantiser, [f"b{i}" for i in range(bands)], True, size)


@pytest.mark.parametrize("chunk", [1, 40, 2**17])
@pytest.mark.parametrize("margin", [0, 3])
def test_pooling_by_rows_is_pooling_of_the_whole(
    chunk: int, margin: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quality_module, "_CHUNK_NUMBERS", chunk)
    _, sr, _ = images(3, 7, 11, 4)
    cut = np.pad(sr, ((0, 0), (margin, margin), (margin, margin)))
    cut = cut[:, margin : margin + 28, margin : margin + 44]
    expected = torch.nn.functional.avg_pool2d(torch.from_numpy(sr), 4).numpy()
    assert np.array_equal(quality_module._pooled(cut, 4), expected)


def test_predictions_beyond_all_stored_values_are_counted_without_a_warning() -> None:
    lr, sr, _ = images(3, 8, 8, 2)
    sr[1, 5, 5] = 3e38
    quality = fresh(size=(8, 8))
    valid = np.ones((8, 8), dtype=bool)
    quality.note(quality.look(*parts_of(Grid(8, 8, 16, 0), lr, sr, valid, 2)[0]))
    report = quality.report()
    assert report.bands[1].out_of_range == pytest.approx(1 / 256)
    assert report.bands[0].out_of_range == 0
    assert np.isfinite([report.bands[1].bias, report.bands[1].rmse, report.bands[0].rmse]).all()


def test_figures_are_those_of_the_whole_image() -> None:
    lr, sr, valid = images(3, 50, 60, 2)
    quality = fresh()
    for part in parts_of(Grid(50, 60, 16, 0), lr, sr, valid, 2):
        quality.note(quality.look(*part))
    report = quality.report()
    means = sr.reshape(3, 50, 2, 60, 2).mean(axis=(2, 4))
    differences = (means - lr)[:, valid] * 10_000
    for band, found in enumerate(report.bands):
        assert found.bias == pytest.approx(differences[band].mean(), abs=1e-3)
        assert found.rmse == pytest.approx(np.sqrt((differences[band] ** 2).mean()), rel=1e-5)
        exact = np.quantile(abs(differences[band]), 0.99, method="inverted_cdf")
        assert exact <= found.p99 <= exact * 1.01
        assert found.out_of_range == 0
        assert found.range == (0, 65535)
    assert report.pixels == valid.sum()
    left, right = (torch.from_numpy(image)[None] for image in (means, lr))
    mask = torch.from_numpy(valid)[None, None].float()
    assert report.sam == pytest.approx(np.degrees(float(metrics.sam(left, right, mask))), abs=1e-3)


@settings(max_examples=25)
@given(st.randoms(use_true_random=False), st.integers(3, 20), st.integers(1, 4))
def test_merging_is_exact_and_does_not_depend_on_the_order(random, core: int, cut: int) -> None:
    lr, sr, valid = images(2, 31, 23, 2, core)
    parts = parts_of(Grid(31, 23, core, 0), lr, sr, valid, 2)
    whole = fresh(bands=2, size=(31, 23))
    for part in parts:
        whole.note(whole.look(*part))
    random.shuffle(parts)
    groups = [parts[i::cut] for i in range(cut)]
    states = []
    for group in groups:
        quality = fresh(bands=2, size=(31, 23))
        for part in group:
            quality.note(quality.look(*part))
        states.append(json.loads(json.dumps(quality.as_dict())))
    merged = fresh(bands=2, size=(31, 23))
    for state in states:
        merged.merge(state)
    assert merged.as_dict() == whole.as_dict()
    assert merged.report() == whole.report()


def test_values_beyond_the_range_are_counted_where_they_are_valid() -> None:
    lr, sr, valid = images(2, 10, 10, 2)
    valid[:] = True
    valid[0, 0] = False
    sr[0, :2, :4] = -0.01
    sr[1, 5, 5] = 7.0
    sr[1, 6, 6] = -0.4 / 10_000
    for dtype, shares in (("uint16", (4 / 396, 1 / 396)), ("float32", (4 / 396, 2 / 396))):
        quality = fresh(bands=2, size=(10, 10), dtype=dtype)
        quality.note(quality.look(*parts_of(Grid(10, 10, 16, 0), lr, sr, valid, 2)[0]))
        found = quality.report().bands
        assert [band.out_of_range for band in found] == pytest.approx(shares)
    unlimited = fresh(bands=2, size=(10, 10), dtype="float32", radiometry=RADIOMETRIES["identity"])
    unlimited.note(unlimited.look(*parts_of(Grid(10, 10, 16, 0), lr, sr, valid, 2)[0]))
    assert unlimited.report().bands[0].range is None
    assert unlimited.report().bands[0].out_of_range == 0


@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_seam_index_is_1_without_seams_and_rises_with_them(scale: int) -> None:
    rng = np.random.default_rng(5)
    size = (160, 200)
    lr = rng.uniform(0.1, 0.2, (2, *size)).astype(np.float32)
    sr = lr.repeat(scale, axis=1).repeat(scale, axis=2)
    valid = np.ones(size, dtype=bool)
    valid[30:50, 30:90] = False
    grid = Grid(*size, 40, 0)
    plain = fresh(scale, 2, size)
    seamed = fresh(scale, 2, size)
    for number, (tile, low, high, seen) in enumerate(parts_of(grid, lr, sr, valid, scale)):
        plain.note(plain.look(tile, low, high, seen))
        seamed.note(seamed.look(tile, low, high + np.float32(0.1 * (number % 2)), seen))
    assert plain.report().seam_index == pytest.approx(1, abs=0.05)
    assert seamed.report().seam_index > 2
    alone = fresh(scale, 2, size)
    alone.note(alone.look(*parts_of(Grid(*size, 400, 0), lr, sr, valid, scale)[0]))
    assert alone.report().seam_index is None


def test_the_block_edges_of_jpeg_are_no_seams() -> None:
    size = (160, 160)
    step = np.arange(160) // 8 % 2 * 0.1
    lr = (0.2 + step[None, :, None] + step[None, None, :]).repeat(2, axis=0).astype(np.float32)
    sr = lr.repeat(2, axis=1).repeat(2, axis=2)
    quality = fresh(2, 2, size)
    for part in parts_of(Grid(*size, 32, 0), lr, sr, np.ones(size, dtype=bool), 2):
        quality.note(quality.look(*part))
    assert quality.report().seam_index == pytest.approx(1)


def test_nothing_valid_and_other_bands_give_no_figures() -> None:
    lr, sr, valid = images(2, 10, 10, 2)
    empty = fresh(bands=2, size=(10, 10))
    empty.note(empty.look(*parts_of(Grid(10, 10, 16, 0), lr, sr, np.zeros_like(valid), 2)[0]))
    assert empty.report().bands == ()
    assert empty.report().tags() == {}
    quantiser = Quantiser("uint16", TEN_K, 2, 0)
    other = Quality(quantiser, ["", ""], False, (10, 10))
    other.note(other.look(*parts_of(Grid(10, 10, 16, 0), lr[:1], sr, valid, 2)[0]))
    assert (other.report().bands, other.report().sam) == ((), None)
    assert other.report().pixels == valid.sum()


def test_an_inference_reports_and_tags_its_quality(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(layout_module, "BLOCK_PX", 32)
    model, source, out = make_model(), make_raster(height=90, width=100), tmp_path / "out.tif"
    found = model.infer_file(source, out, InferOptions(tile_px=16)).qa
    whole = model.infer_file(source, tmp_path / "whole.tif").qa
    assert found is not None
    assert whole is not None
    assert 0.8 < found.seam_index < 1.2
    assert whole.seam_index is None
    assert found.sam == pytest.approx(whole.sam)
    with rasterio.open(source) as lr, rasterio.open(out) as sr:
        means = sr.read().astype(float).reshape(2, 90, 2, 100, 2).mean(axis=(2, 4))
        clipped = found.bands[0].out_of_range > 0 or found.bands[1].out_of_range > 0
        # What was clipped and rounded on its way to the file is not bias of the network.
        tolerance = None if clipped else 0.5
        for band, left in enumerate(found.bands):
            assert left.bias == pytest.approx(whole.bands[band].bias)
            assert left.p99 == whole.bands[band].p99
            if tolerance:
                assert left.bias == pytest.approx((means - lr.read())[band].mean(), abs=tolerance)
        tags = sr.tags()
    assert tags["SRGAN_QA_BIAS"] == " ".join(f"{band.bias:.6g}" for band in found.bands)
    assert float(tags["SRGAN_QA_SEAM_INDEX"]) == pytest.approx(found.seam_index, rel=1e-4)
    result = model.infer_file(source, tmp_path / "none.tif", InferOptions(qa=False))
    assert result.qa is None
    with rasterio.open(tmp_path / "none.tif") as sr:
        assert not any(name.startswith("SRGAN_QA") for name in sr.tags())


def test_too_much_bias_is_a_problem_of_a_whole_output(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    model, source, out = make_model(), make_raster(), tmp_path / "out.tif"
    result = model.infer_file(source, out, InferOptions(qa_max_bias=1.0))
    assert "SR differs from LR by" in result.problems[0]
    assert "more than --qa-max-bias 1" in result.problems[0]
    assert result.problems[0].startswith("band ")
    assert out.exists()
    loose = InferOptions(qa_max_bias=1e9, overwrite=True)
    assert model.infer_file(source, out, loose).problems == ()
    with pytest.raises(RefusedError, match="leave|without the QA"):
        model.infer_file(source, out, InferOptions(qa=False, qa_max_bias=1, overwrite=True))
    three = make_model(bands=4, out_bands=3, model_type="rrdbnet", n_blocks=1)
    four = make_raster("four.tif", bands=4)
    with pytest.raises(RefusedError, match="makes 3 bands of 4"):
        three.infer_file(four, tmp_path / "x.tif", InferOptions(qa_max_bias=1))
