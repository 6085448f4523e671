"""Threads beside the network leave the cores to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch

from srgan_cli.infer import InferOptions, Model
from srgan_cli.infer import engine as engine_module
from srgan_cli.infer.network import Network
from srgan_cli.infer.quality import Quality
from srgan_cli.infer.threads import side_thread


@pytest.fixture(autouse=True)
def _three_threads() -> Iterator[None]:
    """A number that nobody chooses by accident."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


def test_a_side_thread_has_one_and_nobody_else_is_told() -> None:
    with ThreadPoolExecutor(1) as other:
        other.submit(torch.get_num_threads).result()
        with side_thread() as beside:
            assert beside.submit(torch.get_num_threads).result() == 1
            # Not even after operations, with which a thread takes over the number of the process.
            beside.submit(lambda: torch.ones(2**20).sum()).result()
            assert beside.submit(torch.get_num_threads).result() == 1
        assert torch.get_num_threads() == 3
        assert other.submit(torch.get_num_threads).result() == 3
    with ThreadPoolExecutor(1) as later:
        assert later.submit(torch.get_num_threads).result() == 3


def test_only_the_network_uses_all_cores(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: dict[str, set[tuple[int, int]]] = {"network": set(), "look": set(), "store": set()}

    def note(what: str) -> None:
        seen[what].add((threading.get_ident(), torch.get_num_threads()))

    run, look, store = Network.start, Quality.look, Quality.note

    def start(self: Network, *args: Any) -> Any:
        note("network")
        return run(self, *args)

    def looking(self: Quality, *args: Any) -> Any:
        note("look")
        return look(self, *args)

    def storing(self: Quality, *args: Any) -> None:
        note("store")
        store(self, *args)

    monkeypatch.setattr(Network, "start", start)
    monkeypatch.setattr(Quality, "look", looking)
    monkeypatch.setattr(Quality, "note", storing)
    model, source = make_model(), make_raster(height=100, width=100)
    model.infer_file(source, tmp_path / "out.tif", InferOptions(tile_px=32))
    assert seen["network"] == seen["look"] == {(threading.get_ident(), 3)}
    ((there, threads),) = seen["store"]
    assert there != threading.get_ident()
    assert threads == 1


@pytest.mark.parametrize(("seconds", "times"), [(-1.0, 4), (60.0, 0)])
def test_unused_memory_is_returned_between_strips(
    make_model: Callable[..., Model],
    make_raster: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    seconds: float,
    times: int,
) -> None:
    calls = []
    monkeypatch.setattr(engine_module, "_REST_SECONDS", seconds)
    monkeypatch.setattr(engine_module, "return_free_pages", lambda: calls.append(1))
    source = make_raster(height=128, width=64)
    make_model().infer_file(source, tmp_path / "out.tif", InferOptions(tile_px=32))
    assert len(calls) == times
