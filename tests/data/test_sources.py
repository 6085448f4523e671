from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srgan_cli.config.data import DataConfig
from srgan_cli.data.finding import find_files
from srgan_cli.data.sources import find_sources, pair_up
from srgan_cli.errors import RefusedError


def touch(folder, *names):
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def names(paths):
    return [Path(path).name for path in paths]


def data(**values):
    return DataConfig.model_validate(values)


def test_a_folder_gives_its_rasters_sorted_without_sidecars(tmp_path):
    touch(tmp_path, "b.TIF", "a.tiff", "c.vrt", "d.Jp2", "a.tif.aux.xml", "a.tif.msk", "a.tif.ovr")
    touch(tmp_path, ".d.12.tmp.tif", "._a.tif", "sub/e.tif")
    assert names(find_files(str(tmp_path), ["."], "Data.hr")) == [
        "a.tiff",
        "b.TIF",
        "c.vrt",
        "d.Jp2",
    ]


def test_subfolders_are_searched_where_a_folder_holds_none(tmp_path):
    touch(tmp_path, "x/2.tif", "y/z/1.tif", "readme.txt")
    assert names(find_files(str(tmp_path), ["."], "Data.hr")) == ["2.tif", "1.tif"]


def test_entries_keep_their_order_and_nothing_comes_twice(tmp_path):
    touch(tmp_path, "s/a.tif", "s/b.tif", "z.tif")
    found = find_files(str(tmp_path), ["z.tif", "s/*.tif", "s", str(tmp_path / "z.tif")], "Data.hr")
    assert names(found) == ["z.tif", "a.tif", "b.tif"]


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ("missing", "Data.hr: there is no "),
        ("no*.tif", "Data.hr: there is no "),
        ("empty", "holds no files"),
        ("pictures", "holds no raster that this version reads, only 2 .png, 1 .npy"),
        ("pictures/*", "matches no raster that this version reads, only 2 .png, 1 .npy"),
    ],
)
def test_an_entry_that_stands_for_nothing_is_refused(tmp_path, entry, text):
    touch(tmp_path, "pictures/a.png", "pictures/b.png", "pictures/c.npy")
    (tmp_path / "empty").mkdir()
    with pytest.raises(RefusedError) as caught:
        find_files(str(tmp_path), [entry], "Data.hr")
    assert text in caught.value.message
    assert caught.value.hint


@settings(deadline=None)
@given(st.sets(st.text("abc0", min_size=1, max_size=4), min_size=1, max_size=8), st.randoms())
def test_equal_stems_pair_up_in_whatever_order(stems, random):
    hr = [f"HR/{stem}.tif" for stem in stems]
    lr = [f"LR/{stem}.TIFF" for stem in stems]
    random.shuffle(hr)
    random.shuffle(lr)
    pairs, warnings = pair_up(hr, lr, "Data.lr")
    assert [pair.hr for pair in pairs] == hr
    assert all(pair.lr and Path(pair.hr).stem == Path(pair.lr).stem for pair in pairs)
    assert not warnings


def test_without_a_common_name_order_decides_and_says_so():
    pairs, warnings = pair_up(["h1.tif", "h2.tif"], ["l1.tif", "l2.tif"], "Data.lr")
    assert [(pair.hr, pair.lr) for pair in pairs] == [("h1.tif", "l1.tif"), ("h2.tif", "l2.tif")]
    assert "paired by order, h1.tif with l1.tif" in warnings[0]


@pytest.mark.parametrize(
    ("hr", "lr", "text"),
    [
        (
            ["a", "b"],
            ["a", "c"],
            "1 of them paired by name; 1 HR without partner: b.tif; 1 LR without partner: c.tif",
        ),
        (["a", "b"], ["a"], "without partner: b.tif"),
        (["a"], ["a", "b", "c", "d", "e"], "without partner: b.tif, c.tif, d.tif and 1 more"),
        (["x/a", "y/a"], ["a"], "files of the same name in several folders"),
        (["a", "b"], ["c"], "2 HR files but 1 LR files"),
    ],
)
def test_what_does_not_pair_up_is_refused(hr, lr, text):
    with pytest.raises(RefusedError) as caught:
        pair_up([f"{n}.tif" for n in hr], [f"{n}.tif" for n in lr], "Data.lr")
    assert text in caught.value.message
    assert caught.value.message.startswith("Data.lr: ")


def test_no_imagery_is_refused():
    with pytest.raises(RefusedError, match=r"Data.hr: no imagery given"):
        find_sources(data())


def test_validation_without_lr_beside_training_with_lr_is_refused(tmp_path):
    touch(tmp_path, "h/a.tif", "l/a.tif", "v/b.tif")
    with pytest.raises(RefusedError, match=r"Data.val_lr: not given"):
        find_sources(data(root_dir=str(tmp_path), hr="h", lr="l", val_hr="v"))


def test_files_in_both_roles_are_warned_about(tmp_path):
    touch(tmp_path, "a.tif", "b.tif")
    sources = find_sources(data(root_dir=str(tmp_path), hr=["a.tif", "b.tif"], val_hr="b.tif"))
    assert "b.tif serves both training and validation" in sources.warnings[0]


def test_folders_of_pairs(tmp_path):
    for split, name in (("train", "a"), ("train", "b"), ("val", "c")):
        touch(
            tmp_path,
            f"{split}/HR/{name}.tif",
            f"{split}/LR/{name}.tif",
            f"{split}/LR/{name}.tif.aux.xml",
        )
    sources = find_sources(data(dataset_type="LRHRFolderDataset", root_dir=str(tmp_path)))
    assert [names((pair.hr, pair.lr)) for pair in sources.train] == [["a.tif"] * 2, ["b.tif"] * 2]
    assert [names((pair.hr, pair.lr)) for pair in sources.val] == [["c.tif"] * 2]
    assert all("LR" in Path(pair.lr or "").parts for pair in (*sources.train, *sources.val))
    assert sources.train[0].lr_key == "Data.root_dir"


def test_folders_of_pairs_need_their_folders(tmp_path):
    with pytest.raises(RefusedError, match=r"Data.root_dir: LRHRFolderDataset needs"):
        find_sources(data(dataset_type="LRHRFolderDataset"))
    touch(tmp_path, "train/HR/a.tif")
    with pytest.raises(RefusedError, match=r"there is no folder .*LR"):
        find_sources(data(dataset_type="LRHRFolderDataset", root_dir=str(tmp_path)))
    touch(tmp_path, "train/LR/a.png", "train/LR/b.mat")
    with pytest.raises(RefusedError, match=r"only 1 \.png, 1 \.mat"):
        find_sources(data(dataset_type="LRHRFolderDataset", root_dir=str(tmp_path)))


def test_folders_of_pairs_without_val_take_val_hr_or_hold_back(tmp_path):
    touch(tmp_path, "train/HR/a.tif", "train/LR/a.tif", "vh/c.tif", "vl/c.tif")
    base = {"dataset_type": "LRHRFolderDataset", "root_dir": str(tmp_path)}
    assert find_sources(data(**base)).val == ()
    sources = find_sources(data(**base, val_hr="vh", val_lr="vl"))
    assert names([sources.val[0].hr, sources.val[0].lr]) == ["c.tif", "c.tif"]
