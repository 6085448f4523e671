"""Weights whose radiometry has its own numbers for each band."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio

from srgan_cli.data.radiometry import Radiometry
from srgan_cli.errors import RefusedError
from srgan_cli.infer import InferOptions, Model
from srgan_cli.infer.evaluate import evaluate_file
from srgan_cli.weights import load_generator

SHARED = Radiometry("linear", 1 / 3000, -0.1, 4000.0)
EACH = replace(SHARED, scale=(1 / 3000, 10 / 3000), offset=(-0.1, -0.1), usual_max=(4000.0, 400.0))


def with_radiometry(model: Model, radiometry: Radiometry) -> Model:
    return Model(model.generator, replace(model.info, radiometry=radiometry), model.sha256)


def pixels(path: str) -> np.ndarray:
    with rasterio.open(path) as dataset:
        return dataset.read()


@pytest.mark.parametrize("options", [InferOptions(), InferOptions(tile_px=16, tolerance=1.0)])
def test_each_band_is_brought_to_the_network_and_back_by_its_own_numbers(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    ground: Callable,
    tmp_path: Path,
    options: InferOptions,
) -> None:
    # Many blocks: a field too large to be exact, so that the halo is measured.
    model = make_model(n_blocks=32, large_kernel_size=9)
    model.generator.last_layer().weight.mul_(0.1)
    data = ground(2, 90, 80).astype("float32")
    tenth = data * np.array([1, 0.1], dtype="float32")[:, None, None]
    shared = with_radiometry(model, SHARED).infer_file(
        make_raster("a.tif", data=data), tmp_path / "shared.tif", options
    )
    each = with_radiometry(model, EACH).infer_file(
        make_raster("b.tif", data=tenth), tmp_path / "each.tif", options
    )
    expected = pixels(shared.output) * np.array([1, 0.1])[:, None, None]
    found = pixels(each.output)
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=0.05)
    assert found[1].mean() < 0.2 * found[0].mean()
    if options.tile_px:
        assert shared.halo_mode == each.halo_mode == "measured"
        assert each.residual is not None
        assert 0 < each.residual <= 1.0


def test_evaluation_does_not_depend_on_how_a_radiometry_is_written(
    make_model: Callable[..., Model], make_raster: Callable[..., Path]
) -> None:
    model, source = make_model(), str(make_raster())
    twice = replace(SHARED, scale=(SHARED.scale,) * 2, offset=(-0.1,) * 2, usual_max=(4000.0,) * 2)
    shared = evaluate_file(with_radiometry(model, SHARED), source)
    each = evaluate_file(with_radiometry(model, twice), source)
    assert each.sr.psnr == pytest.approx(shared.sr.psnr, abs=1e-3)
    assert each.bicubic.sam == pytest.approx(shared.bicubic.sam, abs=1e-3)
    assert each.peak == shared.peak == 4000


def test_a_band_in_another_unit_is_named(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    ground: Callable,
    tmp_path: Path,
) -> None:
    model = with_radiometry(make_model(), EACH)
    data = ground(2, 40, 40)
    source = make_raster(data=data.astype("uint16"))
    with pytest.raises(RefusedError, match="in band 2 .* around 400"):
        model.infer_file(source, tmp_path / "out.tif")


def test_the_numbers_stand_in_the_weights_file(
    make_model: Callable[..., Model], save_model: Callable[[Model], Path]
) -> None:
    model = with_radiometry(make_model(), EACH)
    assert load_generator(save_model(model))[1].radiometry == EACH


def test_weights_of_measured_values_read_and_write_stored_ones(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    ground: Callable,
    tmp_path: Path,
) -> None:
    """Landsat's tags: reflectance = stored * 2.75e-5 - 0.2."""
    reflectance = Radiometry("zero_one", 1.0, 0.0, 1.0)
    plain = with_radiometry(make_model(global_skip="bicubic"), reflectance)
    plain.generator.last_layer().weight.mul_(0.05)
    model = Model(plain.generator, replace(plain.info, scale_offset=True), plain.sha256)
    stored = (ground(2, 40, 50) * 5 + 7300).astype("uint16")
    tagged = make_raster("tagged.tif", data=stored)
    with rasterio.open(tagged, "r+") as dataset:
        dataset.scales, dataset.offsets = (2.75e-5, 3e-5), (-0.2, -0.1)
    scales = np.array([2.75e-5, 3e-5])[:, None, None]
    offsets = np.array([-0.2, -0.1])[:, None, None]
    measured = make_raster("measured.tif", data=(stored * scales + offsets).astype("float32"))
    expected = pixels(plain.infer_file(measured, tmp_path / "expected.tif").output)
    result = model.infer_file(tagged, tmp_path / "found.tif")
    with rasterio.open(result.output) as out:
        assert (out.dtypes[0], out.scales, out.offsets) == ("uint16", (2.75e-5, 3e-5), (-0.2, -0.1))
        found = out.read() * scales + offsets
    inside = (expected > offsets) & (expected < 65535 * scales + offsets)
    np.testing.assert_allclose(found[inside], expected[inside], atol=0.6 * 3e-5)
    assert inside.mean() > 0.9
    # The same raster without tags holds measured values already, and these fit no reflectance.
    with pytest.raises(RefusedError, match="do not fit the weights"):
        model.infer_file(make_raster("bare.tif", data=stored), tmp_path / "no.tif")


def test_evaluation_speaks_stored_values_too(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], ground: Callable
) -> None:
    plain = with_radiometry(make_model(), Radiometry("zero_one", 1.0, 0.0, 1.0))
    model = Model(plain.generator, replace(plain.info, scale_offset=True), plain.sha256)
    stored = (ground(2, 64, 64) * 5 + 7300).astype("float32")
    tagged = make_raster("tagged.tif", data=stored)
    with rasterio.open(tagged, "r+") as dataset:
        dataset.scales, dataset.offsets = (2.75e-5, 2.75e-5), (-0.2, -0.2)
    measured = make_raster("measured.tif", data=(stored * 2.75e-5 - 0.2).astype("float32"))
    found, expected = evaluate_file(model, str(tagged)), evaluate_file(plain, str(measured))
    assert found.gain == pytest.approx(expected.gain, abs=1e-3)


def test_other_bands_out_need_one_radiometry_for_all(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], tmp_path: Path
) -> None:
    model = with_radiometry(make_model(out_bands=3, model_type="rrdbnet", n_blocks=1), EACH)
    with pytest.raises(RefusedError, match="make 3 bands of 2, each with a radiometry of its own"):
        model.infer_file(make_raster(), tmp_path / "out.tif")
