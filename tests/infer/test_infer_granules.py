"""One granule of a Sentinel-2 product of several as INPUT."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
import typer
from typer.testing import CliRunner

from srgan_cli.cli.infer import infer
from srgan_cli.errors import RefusedError, SrganError
from srgan_cli.infer import InferOptions, Model

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))
from old_products import ORIGINS, granule_name, make_old_product
from products import zip_product

RGBN = ("B04", "B03", "B02", "B08")

app = typer.Typer()
app.command()(infer)


@pytest.fixture
def model(make_model: Callable[..., Model]) -> Model:
    """SR is bicubic LR alone, so that the output tells which values went in."""
    model = make_model(4, names=RGBN, global_skip="bicubic")
    for parameter in model.generator.last_layer().parameters():
        parameter.zero_()
    return model


@pytest.mark.parametrize("level", ["L1C", "L2A"])
@pytest.mark.parametrize("zipped", [False, True])
def test_each_granule_becomes_its_own_ground(
    model: Model,
    save_model: Callable[[Model], Path],
    tmp_path: Path,
    level: str,
    zipped: bool,
) -> None:
    root, numbers = make_old_product(tmp_path, level)
    place, weights = (zip_product(root) if zipped else root), save_model(model)
    for tile, (x, y) in ORIGINS.items():
        source, out = f"{place}/GRANULE/{granule_name(tile, level)}", tmp_path / f"{tile}.tif"
        done = CliRunner().invoke(app, [source, str(out), "-w", str(weights)])
        assert done.exit_code == 0, done.exception
        with rasterio.open(out) as written:
            sr = written.read()
            assert tuple(written.transform)[:6] == (5, 0, x, 0, -5, y)
            assert written.descriptions == RGBN
            assert (written.nodata, written.offsets) == (0, (0,) * 4)
            assert written.tags()["PROCESSING_BASELINE"] == "02.02"
            assert "PRODUCT_URI" not in written.tags()
        means = sr.reshape(4, 96, 2, 96, 2).mean(axis=(2, 4))[:, 2:, 2:]
        for band, name in enumerate(RGBN):
            lr = numbers[tile][name][2:, 2:]
            assert np.corrcoef(means[band].ravel(), lr.ravel())[0, 1] > 0.8
            assert abs(means[band].mean() - lr.mean()) < 30


def test_other_names_of_a_granule(model: Model, tmp_path: Path) -> None:
    root, _ = make_old_product(tmp_path)
    archive, name = zip_product(root), granule_name("T32TQM")
    metadata = f"GRANULE/{name}/{name.removesuffix('_N02.02').replace('_MSI_', '_MTD_')}.xml"
    expected = None
    for source in (
        f"{root}/GRANULE/{name}",
        f"{root}/{metadata}",
        f"/vsizip/{archive}/{root.name}/GRANULE/{name}",
        f"/vsizip/{{{archive}}}/{root.name}/{metadata}",
    ):
        model.infer_file(source, tmp_path / "out.tif", InferOptions(overwrite=True))
        with rasterio.open(tmp_path / "out.tif") as written:
            values = written.read()
        expected = values if expected is None else expected
        np.testing.assert_array_equal(values, expected)


def test_a_product_without_a_granule_is_refused_with_their_names(
    model: Model, tmp_path: Path
) -> None:
    root, _ = make_old_product(tmp_path)
    (metadata,) = root.glob("*_MTD_SAFL1C_*.xml")
    archive = zip_product(root)
    for source, place in (
        (root, root),
        (metadata, root),
        (f"SENTINEL2_L1C:{metadata}:10m:EPSG_32631", root),
        (archive, archive),
        (f"/vsizip/{archive}/{root.name}/{metadata.name}", archive),
    ):
        with pytest.raises(RefusedError, match="holds 2 granules.*T32TQM.*T32TQN") as caught:
            model.infer_file(source, tmp_path / "out.tif")
        assert f"choose one of them: {place}/GRANULE/{granule_name('T32TQM')}" in caught.value.hint
        # What the hint says works.
        model.infer_file(caught.value.hint.split(": ")[1], tmp_path / "out.tif")
        (tmp_path / "out.tif").unlink()
    with pytest.raises(RefusedError, match=r"none\.SAFE/GRANULE/a: no such file"):
        model.infer_file(tmp_path / "none.SAFE/GRANULE/a", tmp_path / "out.tif")


def test_the_archive_of_a_granule_is_neither_replaced_nor_changed_meanwhile(
    model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = make_old_product(tmp_path)
    archive, name = zip_product(root), granule_name("T32TQM")
    content = archive.read_bytes()
    sources = f"{archive}/GRANULE/{name}", f"/vsizip/{archive}/{root.name}/GRANULE/{name}"
    for source in sources:
        with pytest.raises(RefusedError, match="the input itself"):
            model.infer_file(source, archive, InferOptions(overwrite=True))
    assert archive.read_bytes() == content
    monkeypatch.setattr("srgan_cli.infer.making.make_parts", lambda *_: os.utime(archive, (1, 1)))
    for source in sources:
        os.utime(archive, (2, 2))
        with pytest.raises(SrganError, match=r"changed while it was read; it was .*\.zip"):
            model.infer_file(source, tmp_path / "out.tif")
