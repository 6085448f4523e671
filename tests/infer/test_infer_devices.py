"""Too little memory, several devices, and rounding where the network runs."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given
from hypothesis import strategies as st

from srgan_cli.data.radiometry import RADIOMETRIES
from srgan_cli.errors import RefusedError, SrganError
from srgan_cli.infer import InferOptions, Model
from srgan_cli.infer import network as network_module
from srgan_cli.infer.network import Network, find_device, find_devices
from srgan_cli.infer.quantise import Quantiser
from srgan_cli.infer.rounding import carried, rounding
from srgan_cli.infer.workshop import folder_of

pytestmark = pytest.mark.usefixtures("small_blocks")


def pixels(path: Path) -> np.ndarray:
    with rasterio.open(path) as opened:
        return opened.read()


def short_of_memory(
    monkeypatch: pytest.MonkeyPatch, model: Model, fits: Callable[[tuple[int, ...]], bool], err: str
) -> list[tuple[int, ...]]:
    """The network raises for inputs that do not fit; the shapes that ran."""
    forward, ran = type(model.generator).features, []

    def limited(generator: Any, lr: torch.Tensor) -> torch.Tensor:
        shape = tuple(lr.shape)
        if not fits(shape):
            raise torch.OutOfMemoryError(err) if "CUDA" in err else RuntimeError(err)
        ran.append(shape)
        return forward(generator, lr)

    monkeypatch.setattr(type(model.generator), "features", limited)
    return ran


ERRORS = [
    "CUDA out of memory. Tried to allocate 2.00 GiB",
    "[enforce fail at alloc_cpu.cpp:118] DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes",
    "could not create a memory object",
]


@pytest.mark.parametrize("err", ERRORS)
def test_batch_and_tile_shrink_until_they_fit(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    err: str,
) -> None:
    model, source = make_model(), make_raster(height=150, width=140)
    model.infer_file(source, tmp_path / "a.tif", InferOptions(tile_px=64))
    field = model.receptive_field()
    assert field is not None
    largest = 16 + 2 * field

    def fits(shape: tuple[int, ...]) -> bool:
        return shape[0] == 1 and shape[-1] <= largest

    ran = short_of_memory(monkeypatch, model, fits, err)
    result = model.infer_file(source, tmp_path / "b.tif", InferOptions(tile_px=64, batch=4))
    assert {shape[-1] for shape in ran} == {largest}
    np.testing.assert_array_equal(pixels(tmp_path / "b.tif"), pixels(tmp_path / "a.tif"))
    steps = [text.rsplit("went on as with ")[1] for text in result.warnings]
    assert steps == [
        "--tile 64 --batch 2", "--tile 64 --batch 1", "--tile 32 --batch 1", "--tile 16 --batch 1"
    ]  # fmt: skip
    assert result.tile_px == 16
    assert "out of memory on cpu with an input of 4 x 2 x" in result.warnings[0]


def test_what_is_finished_when_the_memory_runs_out_stays(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, source = make_model(), make_raster(height=200, width=190)
    model.infer_file(source, tmp_path / "a.tif", InferOptions(tile_px=48))
    calls = 0

    def fits(shape: tuple[int, ...]) -> bool:
        nonlocal calls
        calls += 1
        return calls <= 7 or shape[-1] < 48

    ran = short_of_memory(monkeypatch, model, fits, ERRORS[1])
    result = model.infer_file(source, tmp_path / "b.tif", InferOptions(tile_px=48))
    assert len({shape[-1] for shape in ran[:7]}) == 1
    assert len(ran) == 7 + result.num_tiles - 7 * 4
    np.testing.assert_array_equal(pixels(tmp_path / "b.tif"), pixels(tmp_path / "a.tif"))


def test_a_whole_scene_that_does_not_fit_is_cut(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, source = make_model(), make_raster(height=100, width=120)
    assert model.infer_file(source, tmp_path / "a.tif").num_tiles == 1
    short_of_memory(monkeypatch, model, lambda shape: shape[-1] < 100, ERRORS[1])
    result = model.infer_file(source, tmp_path / "b.tif")
    assert result.num_tiles > 1
    assert result.halo_mode == "exact"
    np.testing.assert_array_equal(pixels(tmp_path / "b.tif"), pixels(tmp_path / "a.tif"))


def test_when_nothing_fits_the_message_says_so(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, out = make_model(), tmp_path / "out.tif"
    short_of_memory(monkeypatch, model, lambda _: False, ERRORS[1])
    with pytest.raises(SrganError, match="out of memory on cpu with an input of 1 x 2 x") as caught:
        model.infer_file(make_raster(height=100, width=120), out, InferOptions(tile_px=32))
    assert "--tile or --batch" in caught.value.hint
    assert caught.value.exit_code == 1
    assert not folder_of(out).exists()


def test_other_runtime_errors_are_not_taken_for_it(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = make_model()
    short_of_memory(monkeypatch, model, lambda _: False, "a bug")
    with pytest.raises(RuntimeError, match="a bug"):
        model.infer_file(make_raster(), tmp_path / "out.tif")


@pytest.mark.usefixtures("native_bf16")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_several_devices_share_the_strips(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    precision: str,
) -> None:
    model, source = make_model(), make_raster(height=200, width=100)
    one = InferOptions(tile_px=16, precision=precision)
    model.infer_file(source, tmp_path / "a.tif", one)
    start, used = Network.start, {}

    def noted(network: Network, *args: Any) -> Any:
        used.setdefault(id(network), threading.get_ident())
        return start(network, *args)

    monkeypatch.setattr(Network, "start", noted)
    three = InferOptions(tile_px=16, precision=precision, device="cpu,cpu,cpu")
    result = model.infer_file(source, tmp_path / "b.tif", three)
    assert len(set(used.values())) == len(used) == 3
    assert result.device == "cpu,cpu,cpu"
    assert (tmp_path / "b.tif").read_bytes() == (tmp_path / "a.tif").read_bytes()


def test_a_device_that_fails_stops_the_others(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model, source = make_model(), make_raster(height=400, width=100)
    start, calls = Network.start, 0

    def failing(network: Network, *args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 20:
            raise SrganError("played failure", "none")
        return start(network, *args)

    monkeypatch.setattr(Network, "start", failing)
    options = InferOptions(tile_px=16, device="cpu,cpu")
    with pytest.raises(SrganError, match="played failure"):
        model.infer_file(source, tmp_path / "out.tif", options)
    assert calls < 30
    assert model.infer_file(source, tmp_path / "out.tif", options).resumed_tiles > 10


def test_names_of_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, words in (
        ("tpu", "--device tpu: unknown"),
        ("cuda:", "unknown"),
        ("cuda:99", "this machine has 0 CUDA devices"),
        ("cuda:all", "this machine has 0 CUDA devices"),
        ("cpu,", "--device : unknown"),
    ):
        monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
        with pytest.raises(RefusedError, match=words):
            find_devices(name)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    assert [device.index for device in find_devices("cuda:all")] == [0, 1, 2, 3]
    assert [str(device) for device in find_devices("cuda:2, cuda:0")] == ["cuda:2", "cuda:0"]
    assert str(find_device("cuda:3")) == "cuda:3"
    with pytest.raises(RefusedError, match="a GPU is named twice"):
        find_devices("cuda,cuda:0")
    with pytest.raises(RefusedError, match="partly on a CPU"):
        find_devices("cpu,cuda:1")


def test_exact_arithmetic_lasts_until_the_last_thread_is_out() -> None:
    before = torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic
    first, second = network_module._exact_cudnn(), network_module._exact_cudnn()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic) == (False, True)
    second.__exit__(None, None, None)
    assert (torch.backends.cudnn.allow_tf32, torch.backends.cudnn.deterministic) == before


@pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int16", "float32"])
@given(values=st.lists(st.floats(-70000, 70000, width=32), min_size=4, max_size=4))
def test_rounding_on_the_device_is_that_of_the_host(dtype: str, values: list[float]) -> None:
    quantiser = Quantiser(dtype, RADIOMETRIES["identity"], 1, None)
    sr = torch.tensor(values).reshape(1, 1, 2, 2)
    finish = rounding(quantiser)
    assert finish is not None
    found = carried(finish(sr), quantiser)[0]
    assert found.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(found, quantiser.stored(sr[0].numpy(), np.ones((2, 2), bool)))


def test_wide_dtypes_are_rounded_on_the_host() -> None:
    assert rounding(Quantiser("uint32", RADIOMETRIES["identity"], 1, None)) is None


@pytest.mark.parametrize("qa", [False, True])
@pytest.mark.parametrize("nodata", [0, None])
def test_a_device_that_runs_ahead_makes_the_same_file(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ground: Callable,
    nodata: int | None,
    qa: bool,
) -> None:
    """The way of a GPU, but for its clock: answers are fetched later, and come rounded.

    Figures are taken before rounding: with them it happens here.
    """
    data = ground(2, 90, 80).astype("uint16")
    data[:, 10:40, 20:70] = 0
    model, source = make_model(), make_raster(data=data, nodata=nodata)
    options = InferOptions(tile_px=16, batch=3, qa=qa)
    expected = model.infer_file(source, tmp_path / "a.tif", options)
    begin, finishes = Network._begin, []

    def on_host(network: Network, asked: Any, precision: str) -> Any:
        finishes.append(asked.finish)
        with monkeypatch.context() as plain:
            plain.setattr(Network, "runs_ahead", False)
            return begin(network, asked, precision)

    monkeypatch.setattr(Network, "runs_ahead", True)
    monkeypatch.setattr(Network, "_begin", on_host)
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: tensor)
    result = model.infer_file(source, tmp_path / "b.tif", options)
    assert {finish is None for finish in finishes} == {qa}
    assert result.qa == expected.qa
    np.testing.assert_array_equal(pixels(tmp_path / "b.tif"), pixels(tmp_path / "a.tif"))


@pytest.mark.usefixtures("small_blocks")
def test_answers_that_do_not_fit_the_memory_make_tiles_smaller(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source = make_raster(height=60, width=70)
    empty = torch.empty

    def scarce(*size: Any, **options: Any) -> torch.Tensor:
        if size and isinstance(size[0], tuple) and math.prod(size[0]) > 20_000:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate")
        return empty(*size, **options)

    monkeypatch.setattr("srgan_cli.infer.engine.torch.empty", scarce)
    options = InferOptions(tile_px=48)
    result = make_model().infer_file(source, tmp_path / "sr.tif", options)
    assert result.tile_px < 48
    assert any("out of memory for answers of" in text for text in result.warnings)
