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


GAPS = """
import numpy as np
from srgan_cli.heap import keep_freed_memory, return_free_pages

def resident_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096 / 1e6

kept = keep_freed_memory()
arrays = [np.ones(500_000) for _ in range(100)]
# Every other one stays, so that what is between them is no end of the heap.
arrays[::2] = [None] * 50
before = resident_mb()
return_free_pages()
print(kept, before - resident_mb(), sum(float(each.sum()) for each in arrays[1::2]))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc")
@pytest.mark.parametrize("own", [{}, {"MALLOC_TRIM_THRESHOLD_": "2000000000"}])
def test_what_lies_free_between_arrays_is_returned(own: dict[str, str]) -> None:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("MALLOC_")}
    clean.pop("GLIBC_TUNABLES", None)
    kept, returned, total = subprocess.run(
        [sys.executable, "-c", GAPS], env={**clean, **own}, stdout=subprocess.PIPE, check=True
    ).stdout.split()
    assert float(total) == 50 * 500_000
    if own:
        assert abs(float(returned)) < 20, "the user's settings count"
    elif kept == b"True":
        assert float(returned) > 150, "of 200 MB"
