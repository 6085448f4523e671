"""Inferences that end before their time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from srgan_cli.errors import SrganError
from srgan_cli.infer.network import Network


@contextmanager
def after(monkeypatch: pytest.MonkeyPatch, runs: int, act: Callable[[], Any]) -> Iterator[None]:
    """Let the network run so many times, then do something in its place."""
    start, count = Network.start, 0

    def limited(network: Network, *args: Any, **kwargs: Any) -> Any:
        nonlocal count
        count += 1
        if count > runs:
            act()
        return start(network, *args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(Network, "start", limited)
        yield


def fail() -> None:
    raise SrganError("played failure", "none")
