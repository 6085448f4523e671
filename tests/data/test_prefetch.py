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
