"""What people write: read as it is meant, or refused; never anything else."""

from __future__ import annotations

import json
import math
import string
import tempfile
from pathlib import Path
from typing import Any

import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st

from srgan_cli.errors import RefusedError
from srgan_cli.infer.area import _read_geojson
from srgan_cli.infer.options import InferOptions
from srgan_cli.infer.parsing import (
    parse_bbox,
    parse_bidx,
    parse_halo,
    parse_window,
    with_scene_options,
)
from srgan_cli.infer.scene_list import read_scenes
from srgan_cli.infer.shards import find_shard

INTEGERS = st.integers(-(10**6), 10**6)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(st.tuples(INTEGERS, INTEGERS, INTEGERS, INTEGERS), st.sampled_from([",", " ", ", "]))
def test_windows(window: tuple[int, int, int, int], separator: str) -> None:
    assert parse_window(separator.join(map(str, window))) == window


@given(st.tuples(NUMBERS, NUMBERS, NUMBERS, NUMBERS))
def test_boxes(bbox: tuple[float, float, float, float]) -> None:
    assert parse_bbox(",".join(map(repr, bbox))) == bbox


@given(st.text(string.printable, max_size=20))
@pytest.mark.parametrize("parse", [parse_window, parse_bbox, parse_halo, lambda t: parse_bidx([t])])
def test_any_other_text_is_refused(parse: Any, text: str) -> None:
    try:
        parse(text)
    except RefusedError as err:
        hint = err.hint
    else:
        hint = "read"
    assert hint


def test_a_scene_replaces_the_kind_of_area() -> None:
    common = InferOptions(bbox=(0, 0, 1, 1), aoi_box=True)
    assert with_scene_options(common, {"window": "1,2,3,4"}).bbox is None
    assert with_scene_options(common, {"window": ""}) == common
    assert with_scene_options(common, {"aoi_box": "no"}).aoi_box is False


@given(st.integers(0, 500), st.integers(1, 300), st.integers(1, 7), st.data())
def test_slurm_arrays_from_any_number_and_with_any_step(
    first: int, count: int, step: int, data: st.DataObject
) -> None:
    index = data.draw(st.integers(0, count - 1))
    environ = {
        "SLURM_ARRAY_TASK_ID": str(first + index * step),
        "SLURM_ARRAY_TASK_MIN": str(first),
        "SLURM_ARRAY_TASK_MAX": str(first + (count - 1) * step),
        "SLURM_ARRAY_TASK_COUNT": str(count),
    }
    assert str(find_shard(None, environ)) == f"{index}/{count}"


LINES = st.lists(
    st.sampled_from(
        ["input", "output", "window", "a.tif", "b.tif", '"0,0,1,1"', '"', "#", "x", ""]
    ),
    max_size=4,
).map(",".join)


@given(st.lists(LINES, max_size=5))
@settings(max_examples=60)
def test_any_list_is_read_or_refused(lines: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scenes.csv"
        path.write_text("\n".join(lines))
        try:
            scenes = read_scenes(str(path), Path("sr"), InferOptions())
        except RefusedError as err:
            assert err.hint  # noqa: PT017  # either outcome is right
        else:
            outputs = [scene.output for scene in scenes]
            assert len(set(outputs)) == len(outputs) > 0


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.sampled_from(["Polygon", "Feature", "x"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["type", "coordinates", "geometry", "features", "crs", "properties"]),
            inner,
        )
    ),
    max_leaves=12,
)


@given(JSON)
@settings(max_examples=80)
def test_any_json_is_polygons_or_refused(document: Any) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "aoi.geojson"
        path.write_text(json.dumps(document))
        with pytest.raises(RefusedError, match="--aoi|CRS"):
            _read_geojson(str(path))


@given(NUMBERS.filter(lambda v: abs(v) < 1e6), st.integers(1, 8))
def test_snapping_keeps_pixel_edges(origin: float, col: int) -> None:
    """Bounds that are computed from the transform lie on the pixels they were computed from."""
    transform = Affine(10, 0, origin, 0, -10, 0)
    x = transform.a * col + transform.c
    found = (~transform).a * x + (~transform).c
    assert math.floor(found + 1e-6) == math.ceil(found - 1e-6) == col
