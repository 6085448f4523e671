import multiprocessing
import os
import signal
import time

import pytest
import torch

from srgan_cli.data.training import open_training_data
from srgan_cli.errors import RefusedError


@pytest.fixture
def paths(scene):
    return [str(scene(f"{name}.tif")) for name in "abc"]


def same(left, right):
    return len(left) == len(right) and all(
        torch.equal(a, b)
        for x, y in zip(left, right, strict=True)
        for a, b in zip(x, y, strict=True)
    )


def children():
    return len(multiprocessing.active_children())


@pytest.mark.parametrize("num_workers", [1, 3])
def test_crops_do_not_depend_on_the_number_of_workers(paths, config, num_workers):
    alone = list(open_training_data(config(hr=paths)).train_batches(0, 7))
    data = open_training_data(config(hr=paths, num_workers=num_workers))
    assert same(alone, list(data.train_batches(0, 7)))
    assert same(alone[4:], list(data.train_batches(4, 7)))
    assert children() == 0


def test_closing_stops_the_workers_in_the_middle(paths, config):
    data = open_training_data(config(hr=paths, num_workers=2))
    before = open_files()
    for _ in range(3):
        batches = data.train_batches(0, 1_000_000)
        next(batches)
        assert children() == 2
        batches.close()
        assert children() == 0
    assert open_files() <= before + 4


def open_files():
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def test_files_do_not_stay_open_in_this_process(paths, config):
    data = open_training_data(config(hr=paths))
    before = open_files()
    data.validation()
    batches = data.train_batches(0, 50)
    for _ in range(20):
        next(batches)
    batches.close()
    assert open_files() == before


def test_an_error_in_a_worker_arrives_as_it_was(paths, config, tmp_path):
    data = open_training_data(config(hr=paths, num_workers=2))
    for path in tmp_path.glob("*.tif"):
        path.unlink()
    with pytest.raises(RefusedError) as caught:
        list(data.train_batches(0, 10))
    assert "Traceback" not in caught.value.message
    assert "cannot open" in caught.value.message
    assert caught.value.hint
    assert children() == 0


def test_workers_outlive_the_signals_that_stop_a_training(paths, config):
    data = open_training_data(config(hr=paths, num_workers=1))
    batches = data.train_batches(0, 30)
    next(batches)
    for worker in multiprocessing.active_children():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
            os.kill(worker.pid, number)
    time.sleep(0.2)
    assert len(list(batches)) == 29


@pytest.mark.parametrize("num_workers", [0, 1])
def test_the_training_process_keeps_its_random_state_and_threads(paths, config, num_workers):
    data = open_training_data(config(hr=paths, num_workers=num_workers))
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    list(data.train_batches(0, 2))
    data.validation()
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads
