"""The promise: the output does not depend on how the scene was cut."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch

from srgan_cli.errors import RefusedError
from srgan_cli.infer import InferOptions, InferResult, Model, load
from srgan_cli.infer import cut as cut_module
from srgan_cli.infer import layout as layout_module

NETWORKS = {
    "res": {},
    "res_bicubic": {"global_skip": "bicubic"},
    "large": {"n_channels": 16, "n_blocks": 1, "large_kernel_size": 9, "small_kernel_size": 5},
    "rrdb": {"block_type": "rrdb", "n_blocks": 1},
    "rcab": {"block_type": "rcab", "n_channels": 16, "n_blocks": 1, "window": 9},
    "standard": {"block_type": "standard"},
    "lka": {"block_type": "lka", "n_blocks": 1},
    "rrdbnet": {"model_type": "rrdbnet", "n_blocks": 1},
    "rrdbnet_bicubic": {"model_type": "rrdbnet", "n_blocks": 1, "global_skip": "bicubic"},
    "esrgan": {"model_type": "esrgan", "n_blocks": 1},
    "stochastic": {"model_type": "stochastic_gan"},
}
CASES = [(name, scale) for name in NETWORKS for scale in (2, 4, 8)]
CASES += [("esrgan", 1), ("rrdbnet", 1)]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of 32 HR pixels, so that small scenes have many tiles."""
    monkeypatch.setattr(layout_module, "BLOCK_PX", 32)


def run(
    model: Model, source: Path, options: InferOptions, name: str = "out.tif"
) -> tuple[InferResult, np.ndarray]:
    out = source.with_name(name)
    out.unlink(missing_ok=True)
    result = model.infer_file(source, out, options)
    with rasterio.open(out) as written:
        return result, written.read()


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(("network", "scale"), CASES)
def test_tiled_equals_whole_bit_for_bit(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], network: str, scale: int
) -> None:
    fold = max(4 // scale, 1) if network.startswith("rrdbnet") else 1
    model = make_model(scale=scale, fold=fold, **NETWORKS[network])
    field = model.receptive_field()
    assert field is not None
    height, width = 2 * field + 99, 2 * field + 49
    source = make_raster(height=height, width=width, dtype="float32")
    _, whole = run(model, source, InferOptions(tile_px=400))
    with rasterio.open(source) as opened, torch.inference_mode():
        lr = torch.from_numpy(model.info.radiometry.to_network(opened.read()))[None]
        plain = model.generator(lr)[0].numpy()
    bare = model.info.radiometry.to_stored(plain)
    np.testing.assert_allclose(whole, bare, rtol=0, atol=np.abs(bare).max() * 3e-6)
    results = [run(model, source, InferOptions(tile_px=tile, halo="exact")) for tile in (16, 48)]
    assert results[0][0].num_tiles > results[1][0].num_tiles > 1
    for result, tiled in results:
        assert result.halo_mode == "exact"
        np.testing.assert_array_equal(tiled, whole)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("shape", [(1, 131), (131, 1), (1, 1), (97, 89), (33, 200)])
@pytest.mark.parametrize("network", ["res", "rrdbnet"])
def test_odd_shapes_have_the_same_bytes_for_every_tile_size(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    shape: tuple[int, int],
    network: str,
) -> None:
    model = make_model(fold=2 if network == "rrdbnet" else 1, **NETWORKS[network])
    source = make_raster(height=shape[0], width=shape[1])
    _, whole = run(model, source, InferOptions(tile_px=300))
    assert whole.shape == (2, 2 * shape[0], 2 * shape[1])
    for tile in (16, 48):
        np.testing.assert_array_equal(run(model, source, InferOptions(tile_px=tile))[1], whole)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("network", ["res", "rcab", "lka", "stochastic"])
def test_the_batch_size_changes_nothing(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], network: str
) -> None:
    model = make_model(**NETWORKS[network])
    source = make_raster(height=90, width=90)
    one = run(model, source, InferOptions(tile_px=16))[1]
    np.testing.assert_array_equal(run(model, source, InferOptions(tile_px=16, batch=4))[1], one)


@pytest.mark.usefixtures("small_blocks")
def test_a_halo_one_pixel_short_is_seen(
    make_model: Callable[..., Model], make_raster: Callable[..., Path]
) -> None:
    model = make_model()
    source = make_raster(height=83, width=61, dtype="float32")
    field = model.receptive_field()
    assert field is not None
    _, whole = run(model, source, InferOptions(tile_px=200))
    short, tiled = run(model, source, InferOptions(tile_px=16, halo=field - 1))
    assert short.halo_mode == "given"
    assert short.residual is None
    assert not np.array_equal(tiled, whole)


@pytest.mark.usefixtures("small_blocks")
def test_the_fill_of_invalid_pixels_does_not_depend_on_tiles(
    make_model: Callable[..., Model], make_raster: Callable[..., Path], ground: Callable
) -> None:
    model = make_model()
    data = ground(2, 80, 90).astype("uint16")
    rows, cols = np.mgrid[:80, :90]
    data[:, (rows + 2 * cols) % 97 < 60] = 0
    source = make_raster(data=data, nodata=0)
    _, whole = run(model, source, InferOptions(tile_px=300))
    _, tiled = run(model, source, InferOptions(tile_px=16))
    np.testing.assert_array_equal(tiled, whole)


@pytest.mark.usefixtures("small_blocks")
def test_wide_scenes_are_read_in_segments(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_model()
    source = make_raster(height=30, width=200)
    whole = run(model, source, InferOptions(tile_px=16))[1]
    monkeypatch.setattr("srgan_cli.infer.feed.SEGMENT_BYTES", 1)
    np.testing.assert_array_equal(run(model, source, InferOptions(tile_px=16))[1], whole)


@pytest.mark.usefixtures("small_blocks")
def test_channel_attention_needs_a_window_or_one_tile(
    make_model: Callable[..., Model], make_raster: Callable[..., Path]
) -> None:
    model = make_model(block_type="rcab", n_channels=16, n_blocks=1)
    source = make_raster(height=60, width=60)
    result, _ = run(model, source, InferOptions())
    assert (result.num_tiles, result.halo_mode) == (1, "whole")
    with pytest.raises(RefusedError, match="averages over its whole input") as caught:
        run(model, source, InferOptions(tile_px=16))
    assert "--tile 60" in caught.value.hint
    assert "--attention-window" in caught.value.hint


@pytest.mark.usefixtures("small_blocks")
def test_the_window_of_the_weights_file_makes_tiles_agree(
    make_model: Callable[..., Model],
    save_model: Callable[[Model], Path],
    make_raster: Callable[..., Path],
) -> None:
    weights = save_model(make_model(block_type="rcab", n_channels=16, n_blocks=1))
    source = make_raster(height=180, width=190)
    trained = load(weights)
    assert trained.generator.window_px == trained.info.train_lr_px == 32
    exact = {"halo": "exact"}
    result, tiled = run(trained, source, InferOptions(tile_px=64, **exact))
    _, whole = run(trained, source, InferOptions(tile_px=400, **exact))
    assert result.num_tiles > 1
    np.testing.assert_array_equal(tiled, whole)
    with rasterio.open(source.with_name("out.tif")) as out:
        assert out.tags()["SRGAN_ATTENTION_WINDOW"] == "32"
    full = load(weights, attention_window="full")
    _, pooled = run(full, source, InferOptions(tile_px=400))
    assert not np.array_equal(pooled, whole)
    with rasterio.open(source.with_name("out.tif")) as out:
        assert out.tags()["SRGAN_ATTENTION_WINDOW"] == "full"
    assert load(weights, attention_window=16).generator.window_px == 16


@pytest.mark.usefixtures("small_blocks")
def test_a_far_looking_network_gets_a_measured_halo(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_model(n_blocks=8)
    source = make_raster(height=150, width=150)
    monkeypatch.setattr(cut_module, "AFFORDABLE_PX", 8)
    field = model.receptive_field()
    assert field is not None
    assert field > 16
    result, _ = run(model, source, InferOptions(tile_px=16, tolerance=1e6))
    assert (result.halo_px, result.halo_mode) == (16, "measured")
    assert result.residual is not None
    assert result.residual > 0
    with rasterio.open(result.output) as out:
        assert out.tags()["SRGAN_HALO"] == "16 measured"
        assert float(out.tags()["SRGAN_RESIDUAL"]) == pytest.approx(result.residual, rel=1e-5)
    exact, _ = run(model, source, InferOptions(tile_px=16, halo="exact"))
    assert (exact.halo_px, exact.halo_mode) == (field, "exact")


@pytest.mark.usefixtures("small_blocks", "native_bf16")
def test_bf16_stays_close_to_fp32(
    make_model: Callable[..., Model], make_raster: Callable[..., Path]
) -> None:
    model = make_model()
    source = make_raster(height=60, width=60, dtype="float32")
    _, full = run(model, source, InferOptions())
    result, half = run(model, source, InferOptions(precision="bf16"))
    assert result.precision == "bf16"
    error = np.abs(full - half)
    assert 0 < np.quantile(error, 0.999) < 0.005 * (full.max() - full.min())
    # bf16 itself has 256 steps per octave; the last layer in float32 has many more.
    assert len(np.unique(half)) > 0.5 * half.size


def test_bf16_reads_and_writes_in_float32(make_model: Callable[..., Model]) -> None:
    model = make_model()
    seen = []
    ends = (model.generator.get_submodule("head.0"), model.generator.last_layer())
    hooks = [
        layer.register_forward_hook(lambda _layer, inputs, out: seen.append(out.dtype))
        for layer in (*ends, model.generator.get_submodule("body_tail"))
    ]
    lr = torch.rand(1, 2, 40, 40)
    before = model.network(InferOptions())(lr)
    seen.clear()
    model.network(InferOptions(precision="bf16"))(lr)
    assert seen == [torch.float32, torch.bfloat16, torch.float32]
    for hook in hooks:
        hook.remove()
    assert model.network(InferOptions())(lr).equal(before), "nothing of it stays"
