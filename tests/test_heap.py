"""Freed memory is kept for the next array, unless the user has other wishes."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

FAULTS = """
import resource
import numpy as np
from srgan_cli.heap import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        np.ones(20_000_000)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

plain = faults()
kept = keep_freed_memory()
faults()
print(kept, plain, faults())
"""


def faults(**env: str) -> tuple[bool, int, int]:
    """Whether memory is kept, and page faults of five arrays without and with it."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("MALLOC_")}
    clean.pop("GLIBC_TUNABLES", None)
    out = subprocess.run(
        [sys.executable, "-c", FAULTS], env={**clean, **env}, stdout=subprocess.PIPE, check=True
    ).stdout.split()
    return out[0] == b"True", int(out[1]), int(out[2])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc")
def test_arrays_cost_no_page_faults_any_more() -> None:
    kept, plain, after = faults()
    if not kept:
        pytest.skip("another C library")
    # Huge pages make one fault of 512.
    assert plain > 100
    assert after < plain / 20


def test_the_users_own_settings_count() -> None:
    assert faults(MALLOC_TRIM_THRESHOLD_="131072")[0] is False
