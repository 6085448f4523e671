"""Threads beside the one that runs the network."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import torch

_ONE_AT_A_TIME = threading.Lock()


def side_thread() -> ThreadPoolExecutor:
    """One thread that leaves the cores to the network: PyTorch's operations in it use no other.

    Every thread that runs operations in parallel gets a team of threads of its own. As soon as all
    teams together are more than the cores, OpenMP's threads no longer wait awake for the next
    operation, and waking them for each of a network's hundreds costs it a tenth of its time.
    """
    executor = ThreadPoolExecutor(1)
    with _ONE_AT_A_TIME:
        threads = torch.get_num_threads()
        executor.submit(_use_no_other).result()
        # That was told to all threads that have not begun yet, too.
        torch.set_num_threads(threads)
    return executor


def _use_no_other() -> None:
    # A thread takes over the number of the process with its first operation, or question.
    torch.get_num_threads()
    torch.set_num_threads(1)
