"""Keeping the memory that large arrays leave behind for the next ones.

glibc hands every array above some MiB back to the kernel when it is freed, and the next one costs a
page fault for every 4 KiB: half the time of a small network on the CPU.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _MMAP_MAX = -1, -3, -4
_MOST = 2**31 - 1
"""`mallopt` takes an int."""


@cache
def keep_freed_memory() -> bool:
    """Let this process keep what it frees, up to 2 GiB beyond what it holds; whether it does.

    Meant for a process whose large arrays come and go in its main thread: other threads keep their
    arenas, where arrays above 64 MiB find no place, but what they keep for long does not come to
    lie between the large ones. Other C libraries than glibc do as they do, and a user who has set
    glibc's own variables (`MALLOC_...`, `GLIBC_TUNABLES`) is not overruled.
    """
    if "GLIBC_TUNABLES" in os.environ or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    mallopt = _mallopt()
    if mallopt is None:
        return False
    # Up to 2.34 glibc takes no threshold above 32 MiB; no array of its own at all comes to the same.
    kept = mallopt(_MMAP_THRESHOLD, _MOST) or mallopt(_MMAP_MAX, 0)
    return bool(kept and mallopt(_TRIM_THRESHOLD, _MOST))


def return_free_pages() -> None:
    """Give the kernel the memory that lies free between what is in use; it comes back when needed.

    Takes some milliseconds. Without it gaps that no array fits into any more, of which a long run
    gets ever more, stay part of the process. Only where `keep_freed_memory` is at work.
    """
    if keep_freed_memory():
        ctypes.CDLL(None).malloc_trim(0)


def _mallopt() -> ctypes._NamedFuncPointer | None:
    try:
        libc = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    return libc.mallopt if hasattr(libc, "gnu_get_libc_version") else None
