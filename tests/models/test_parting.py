"""The SR of a part is that of the whole, to the last bit."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from srgan_cli.models import GENERATORS, GeneratorSpec, build_generator
from srgan_cli.models.generator import Generator
from srgan_cli.models.parting import (
    Parting,
    enlarging_reach_px,
    forward_part,
    parting,
    round_up,
)

CASES = [(name, scale, "none") for name in GENERATORS for scale in (2, 4)]
CASES += [("esrgan", 1, "none"), ("rrdbnet", 1, "bicubic"), ("rrdbnet", 2, "bicubic")]
CASES += [("SRResNet/res", 4, "bicubic"), ("SRResNet/res", 8, "none")]


def make(name: str, scale: int, skip: str = "none") -> Generator:
    model_type, _, block_type = name.partition("/")
    torch.manual_seed(0)
    spec = GeneratorSpec(
        model_type=model_type,
        block_type=block_type or "res",
        in_bands=3,
        out_bands=3,
        scale=scale,
        n_channels=16,
        n_blocks=1,
        large_kernel_size=9,
        small_kernel_size=3,
        growth_channels=8,
        global_skip=skip,
        fold=max(4 // scale, 1) if name == "rrdbnet" else 1,
    )
    generator = build_generator(spec).eval().requires_grad_(False)
    for parameter in generator.parameters():
        if parameter.ndim > 1:
            torch.nn.init.kaiming_normal_(parameter, a=0.5)
    return generator.to(memory_format=torch.channels_last)


@pytest.mark.parametrize(("name", "scale", "skip"), CASES)
def test_a_part_is_cut_out_of_the_whole(name: str, scale: int, skip: str) -> None:
    generator = make(name, scale, skip)
    lr = torch.rand(3, 3, 61, 58).contiguous(memory_format=torch.channels_last)
    whole = generator(lr)
    core = 12
    parts = parting(generator, (61, 58), (core, core))
    assert parts.height < 61
    cores = [(0, 0), (24, 20), (48, 44)]
    starts = [
        (parts.start(row, parts.height, 61), parts.start(col, parts.width, 58))
        for row, col in cores
    ]
    found = forward_part(generator, lr, parts, starts)
    for image, target, (row, col), (top, left) in zip(found, whole, cores, starts, strict=True):
        rows = min(core, 61 - row) * scale
        cols = min(core, 58 - col) * scale
        above, before = (row - top) * scale, (col - left) * scale
        kept = image[:, above : above + rows, before : before + cols]
        wanted = target[:, row * scale : row * scale + rows, col * scale : col * scale + cols]
        assert torch.equal(kept, wanted)
    assert torch.equal(generator(lr), whole), "nothing of it stays"


@pytest.mark.parametrize(("name", "scale", "skip"), CASES)
def test_blocks_change_no_bit(name: str, scale: int, skip: str) -> None:
    generator = make(name, scale, skip)
    lr = torch.rand(2, 3, 61, 58).contiguous(memory_format=torch.channels_last)
    parts = parting(generator, (61, 58), (40, 30))
    starts = [(0, 0), (parts.start(20, parts.height, 61), parts.start(24, parts.width, 58))]
    wanted = forward_part(generator, lr, parts, starts)
    most = 2 * parts.margin_px + 8
    for most_px, least in (((most, 99), 3), ((99, most), 3), ((most, most), 9)):
        blocked = parts.in_blocks(most_px)
        assert len(list(blocked.blocks())) >= least
        found = forward_part(generator, lr, blocked, starts)
        assert torch.equal(found, wanted)
        assert found.is_contiguous()
        given = torch.full_like(wanted, torch.nan)
        assert forward_part(generator, lr, blocked, starts, given) is given
        assert torch.equal(given, wanted)


@given(
    sides=st.tuples(st.integers(1, 200), st.integers(1, 200)),
    margin=st.integers(0, 12),
    multiple=st.sampled_from([1, 2, 4]),
    most=st.tuples(st.integers(1, 250), st.integers(1, 250)),
)
def test_blocks_hold_every_pixel_once(
    sides: tuple[int, int], margin: int, multiple: int, most: tuple[int, int]
) -> None:
    height, width = (round_up(side, multiple) for side in sides)
    margin *= multiple
    parts = Parting(height, width, margin, multiple).in_blocks(most)
    kept = torch.zeros(height, width, dtype=torch.int64)
    sizes = set()
    for spans in parts.blocks():
        for (first, seen, start, count), side, limit in zip(
            spans, (height, width), most, strict=True
        ):
            assert first % multiple == seen % multiple == 0
            assert first >= 0
            assert first + seen <= side
            assert first == 0 or start - first >= margin
            assert first + seen == side or first + seen - start - count >= margin
            assert seen <= max(limit, multiple + 2 * margin)
        down, across = spans
        sizes.add((down.seen, across.seen))
        kept[down.start : down.start + down.kept, across.start : across.start + across.kept] += 1
    assert len(sizes) == 1
    assert bool((kept == 1).all())


@pytest.mark.parametrize("start", [(25, 21), (11, 47), (50, 3)])
def test_cores_between_the_multiples_of_a_folding_network(start: tuple[int, int]) -> None:
    generator = make("rrdbnet", 1)
    assert generator.size_multiple == 4
    lr = torch.rand(1, 3, 64, 61).contiguous(memory_format=torch.channels_last)
    core, (row, col) = 8, start
    parts = parting(generator, (64, 61), (core + row % 4, core + col % 4))
    top, left = parts.start(row, parts.height, 64), parts.start(col, parts.width, 61)
    assert top % 4 == left % 4 == 0
    found = forward_part(generator, lr, parts, [(top, left)])
    kept = found[..., row - top : row - top + core, col - left : col - left + core]
    assert torch.equal(kept, generator(lr)[..., row : row + core, col : col + core])


@pytest.mark.parametrize("name", ["SRResNet/res", "rrdbnet", "esrgan"])
def test_the_margin_is_needed(name: str) -> None:
    generator = make(name, 4)
    lr = torch.rand(1, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    parts = parting(generator, (64, 64), (16, 16))
    assert parts.margin_px == enlarging_reach_px(generator) >= 2
    short = type(parts)(parts.height - 2, parts.width - 2, parts.margin_px - 1, 1)
    found = forward_part(generator, lr, short, [(short.start(24, short.height, 64),) * 2])
    edge = short.margin_px * 4
    core = found[..., edge : edge + 64, edge : edge + 64]
    assert not torch.equal(core, generator(lr)[..., 96:160, 96:160])


def test_the_whole_input_is_its_own_part() -> None:
    generator = make("SRResNet/res", 2)
    lr = torch.rand(1, 3, 9, 7).contiguous(memory_format=torch.channels_last)
    parts = parting(generator, (9, 7), (9, 7))
    assert (parts.height, parts.width, parts.start(0, 9, 9)) == (9, 7, 0)
    assert torch.equal(forward_part(generator, lr, parts, [(0, 0)]), generator(lr))
