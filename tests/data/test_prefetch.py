import contextlib

import pytest
import torch

from srgan_cli.data.batch import Batch
from srgan_cli.data.prefetch import on_device


class Source:
    """Batches that know how many of them were taken, and whether they were closed."""

    def __init__(self, count):
        self.taken = 0
        self.closed = False
        self.batches = [Batch(*(torch.full((2, 1, 4, 4), float(i)),) * 3) for i in range(count)]

    def __call__(self):
        try:
            for batch in self.batches:
                self.taken += 1
                yield batch
        finally:
            self.closed = True


def test_on_the_cpu_the_same_objects_come_and_none_is_taken_ahead():
    source = Source(3)
    batches = on_device(source(), torch.device("cpu"))
    for number, batch in enumerate(batches, start=1):
        assert batch is source.batches[number - 1]
        assert source.taken == number
    assert source.closed


def test_closing_closes_the_loader():
    source = Source(3)
    batches = on_device(source(), torch.device("cpu"))
    next(batches)
    batches.close()
    assert source.closed
    assert source.taken == 1


def test_other_devices_get_copies():
    batches = list(on_device(Source(2)(), torch.device("meta")))
    assert [part.device.type for batch in batches for part in batch] == ["meta"] * 6


class Recorded:
    """A tensor and a stream that only note what is asked of them."""

    def __init__(self, name, log, pinned=False):
        self.name, self.log, self.pinned = name, log, pinned

    def is_pinned(self):
        return self.pinned

    def pin_memory(self):
        self.log.append(f"pin {self.name}")
        return Recorded(self.name, self.log, pinned=True)

    def to(self, device, non_blocking):
        assert non_blocking
        assert self.pinned
        self.log.append(f"copy {self.name}")
        return Recorded(self.name, self.log)

    def record_stream(self, stream):
        self.log.append(f"{stream.name} uses {self.name}")

    def wait_stream(self, stream):
        self.log.append(f"{self.name} waits for {stream.name}")


def test_the_order_of_copies_and_waits_on_cuda(monkeypatch):
    log = []
    monkeypatch.setattr(torch.cuda, "Stream", lambda device: Recorded("copies", log))
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Recorded("steps", log))
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: contextlib.nullcontext())

    def source():
        for name in "ABC":
            log.append(f"read {name}")
            yield Batch(*(Recorded(name, log, pinned=name != "A"),) * 3)

    batches = on_device(source(), torch.device("cuda"))
    for name in "ABC":
        assert next(batches).lr.name == name
        log.append(f"step {name}")
    assert next(batches, None) is None
    short = [line for index, line in enumerate(log) if line not in log[:index]]
    assert short == [
        "read A",
        "pin A",
        "copy A",
        "steps waits for copies",
        "steps uses A",
        "read B",
        "copy B",
        "step A",
        "steps uses B",
        "read C",
        "copy C",
        "step B",
        "steps uses C",
        "step C",
    ]
    assert log.count("steps waits for copies") == 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_cuda_one_batch_is_ahead_and_values_arrive():
    source = Source(4)
    batches = on_device(source(), torch.device("cuda"))
    for number in range(4):
        batch = next(batches)
        assert source.taken == min(number + 2, 4)
        for part, expected in zip(batch, source.batches[number], strict=True):
            assert part.is_cuda
            assert torch.equal(part.cpu(), expected)
    with pytest.raises(StopIteration):
        next(batches)
