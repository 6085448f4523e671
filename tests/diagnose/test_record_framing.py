"""The binary framing of W&B's and TensorBoard's files: whole, cut, damaged, and fed in any pieces."""

from __future__ import annotations

import struct
import zlib
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import masked_crc32c

from srgan_cli.diagnose.readers.record_files import (
    FIRST,
    FULL,
    LAST,
    MIDDLE,
    WANDB_BLOCK,
    WANDB_HEADER,
    WANDB_RECORD,
    NotThisFormatError,
    TensorBoardRecords,
    WandbRecords,
)

HEADER = WANDB_HEADER.pack(b":W&B", 0xBEE1, 0)


def wandb_file(records: list[bytes]) -> bytes:
    """A `.wandb` file, written as LevelDB describes its log format."""
    out = bytearray(HEADER)
    for record in records:
        rest, begun = record, False
        while True:
            left = WANDB_BLOCK - len(out) % WANDB_BLOCK
            if left < WANDB_RECORD.size:
                out += bytes(left)
                left = WANDB_BLOCK
            piece = rest[: left - WANDB_RECORD.size]
            rest = rest[len(piece) :]
            kind = (MIDDLE if rest else LAST) if begun else (FIRST if rest else FULL)
            crc = zlib.crc32(piece, zlib.crc32(bytes([kind])))
            out += WANDB_RECORD.pack(crc, len(piece), kind) + piece
            begun = True
            if not rest:
                break
    return bytes(out)


def tf_file(records: list[bytes]) -> bytes:
    out = b""
    for record in records:
        length = struct.pack("<Q", len(record))
        out += length + struct.pack("<I", masked_crc32c(length))
        out += record + struct.pack("<I", masked_crc32c(record))
    return out


def read_wandb(data: bytes, cuts: list[int] | None = None) -> tuple[list[bytes], int]:
    reader, found = WandbRecords(), []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts or ()), len(data)]
    for start, stop in pairwise(edges):
        found += reader.feed(data[start:stop])
    return found, reader.num_damaged


def read_tf(data: bytes, cuts: list[int] | None = None) -> tuple[list[bytes], bool]:
    reader, found = TensorBoardRecords(masked_crc32c), []
    edges = [0, *sorted(cut % (len(data) + 1) for cut in cuts or ()), len(data)]
    for start, stop in pairwise(edges):
        found += reader.feed(data[start:stop])
    return found, reader.damaged


# Short ones, ones that end within a header's length of a block's end, and ones over several blocks.
sizes = st.one_of(
    st.integers(0, 60),
    st.integers(WANDB_BLOCK - 40, WANDB_BLOCK + 20),
    st.integers(2 * WANDB_BLOCK, 3 * WANDB_BLOCK),
)
contents = st.lists(
    st.tuples(sizes, st.integers(0, 255)).map(lambda pair: bytes([pair[1]]) * pair[0]), max_size=8
)
cuts = st.lists(st.integers(0, 1 << 20), max_size=6)


@settings(max_examples=80, deadline=None)
@given(records=contents, pieces=cuts)
def test_wandb_records_come_back_in_any_pieces(records: list[bytes], pieces: list[int]) -> None:
    assert read_wandb(wandb_file(records), pieces) == (records, 0)


@settings(max_examples=80, deadline=None)
@given(records=contents, place=st.integers(0, 1 << 20), pieces=cuts)
def test_a_cut_wandb_file_gives_its_whole_records(
    records: list[bytes], place: int, pieces: list[int]
) -> None:
    data = wandb_file(records)
    found, damaged = read_wandb(data[: place % (len(data) + 1)], pieces)
    assert found == records[: len(found)]
    assert damaged == 0, "a tail that is not there yet is no damage"
    whole = sum(
        len(wandb_file(records[: n + 1])) <= place % (len(data) + 1) for n in range(len(records))
    )
    assert len(found) == whole


def test_a_cut_file_goes_on_where_it_ended() -> None:
    records = [b"a" * 10, b"b" * 50_000, b"c" * 7]
    data = wandb_file(records)
    reader = WandbRecords()
    assert list(reader.feed(data[:40_000])) == records[:1]
    assert list(reader.feed(data[40_000:])) == records[1:]


@settings(max_examples=60, deadline=None)
@given(place=st.integers(len(HEADER), 1 << 20), bit=st.integers(0, 7))
def test_damage_costs_one_block_and_is_counted(place: int, bit: int) -> None:
    records = [bytes([n]) * 1000 for n in range(200)]
    data = bytearray(wandb_file(records))
    place = len(HEADER) + (place - len(HEADER)) % (len(data) - len(HEADER))
    data[place] ^= 1 << bit
    found, damaged = read_wandb(bytes(data))
    assert set(found) <= set(records), "a damaged record was taken for a whole one"
    # 33 records and the two that reach over its edges.
    assert len(found) >= len(records) - WANDB_BLOCK // 1000 - 2
    if len(found) < len(records) and place < len(data) - WANDB_BLOCK:
        assert damaged >= 1


def test_what_is_not_of_wandb_is_told_at_once() -> None:
    with pytest.raises(NotThisFormatError):
        list(WandbRecords().feed(b"PK\x03\x04 something"))
    assert list(WandbRecords().feed(b":W&")) == []


@settings(max_examples=60, deadline=None)
@given(
    records=st.lists(st.binary(max_size=300), max_size=8), place=st.integers(0, 5000), pieces=cuts
)
def test_event_records_come_back_whole_and_cut(
    records: list[bytes], place: int, pieces: list[int]
) -> None:
    data = tf_file(records)
    assert read_tf(data, pieces) == (records, False)
    found, damaged = read_tf(data[: place % (len(data) + 1)], pieces)
    assert (found, damaged) == (records[: len(found)], False)


def test_a_damaged_event_file_is_read_up_to_there() -> None:
    records = [bytes([n]) * 50 for n in range(10)]
    for place in range(66 * 3, 66 * 4):
        data = bytearray(tf_file(records))
        data[place] ^= 4
        assert read_tf(bytes(data)) == (records[:3], True)
    with pytest.raises(NotThisFormatError):
        list(TensorBoardRecords(masked_crc32c).feed(b"no event file at all"))
