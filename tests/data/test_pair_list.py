import csv
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srgan_cli.config.data import DataConfig
from srgan_cli.data.pair_list import Row, read_pair_list
from srgan_cli.data.sources import find_sources
from srgan_cli.errors import RefusedError


def write(tmp_path, text, name="pairs.csv"):
    path = tmp_path / name
    path.write_text(text)
    return str(path)


NAMES = st.text(
    st.characters(whitelist_categories=("L", "N"), whitelist_characters=" ,;#\"'-_."), min_size=1
).filter(lambda name: name.strip() == name and not name.startswith(("#", "/", "~")))


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.tuples(NAMES, NAMES, st.sampled_from(["train", "val", "test"])), min_size=1),
    st.sampled_from(",;\t"),
    st.permutations(["hr", "lr", "split"]),
)
def test_a_list_gives_back_what_was_written(tmp_path_factory, rows, delimiter, columns):
    path = tmp_path_factory.mktemp("list") / "pairs.csv"
    rows = [("first", "first", "train"), *rows]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerow(columns)
        for hr, lr, split in rows:
            writer.writerow([{"hr": hr, "lr": lr, "split": split}[column] for column in columns])
    base = str(path.parent)
    expected = [Row(str(Path(base, hr)), str(Path(base, lr)), split) for hr, lr, split in rows]
    assert read_pair_list(str(path), base) == expected


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("hr,lr,split\nh/a.tif,l/a.tif,val\nh/b.tif, l/b.tif ,\n", [("a", "val"), ("b", "train")]),
        ("h/a.tif,l/a.tif\nh/b.tif,l/b.tif,test\n", [("a", "train"), ("b", "test")]),
        ("\ufeffLR;HR\n\n# old ones\nl/a.tif;h/a.tif\n", [("a", "train")]),
        ("h/a.tif   l/a.tif   train\nh/b.tif l/b.tif val\n", [("a", "train"), ("b", "val")]),
        (
            "name,split,hr,lr\nx,VAL,h/a.tif,l/a.tif\ny,train,h/b.tif,l/b.tif",
            [("a", "val"), ("b", "train")],
        ),
        ("hr\tlr\nh/a.tif\tl/a.tif\r\n", [("a", "train")]),
    ],
)
def test_the_ways_to_write_a_list(tmp_path, text, rows):
    read = read_pair_list(write(tmp_path, text), None)
    assert read == [
        Row(str(tmp_path / f"h/{name}.tif"), str(tmp_path / f"l/{name}.tif"), split)
        for name, split in rows
    ]


def test_lr_may_be_left_out_and_addresses_stay(tmp_path):
    path = write(tmp_path, "hr\ns3://bucket/a.tif\n/vsizip/set.zip/b.tif\n/data/c.tif\n")
    assert read_pair_list(path, "base") == [
        Row("s3://bucket/a.tif", None, "train"),
        Row("/vsizip/set.zip/b.tif", None, "train"),
        Row("/data/c.tif", None, "train"),
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "lists nothing"),
        ("# nothing\n\n", "lists nothing"),
        ("hr,lr\n,l/a.tif\n", "pairs.csv:2: no HR file"),
        (
            "hr,lr,split\na,b,training\n",
            "pairs.csv:2: split is 'training', not one of train, val, test",
        ),
        ("hr,lr\na,b\n\n# c\nc,\n", "gives LR for 1 of 2 lines"),
        ("hr,lr,split\na,b,val\n", "has no line for training"),
        ('hr,lr\n"a,b\n', "pairs.csv:2: "),
    ],
)
def test_lists_that_are_wrong_name_the_line(tmp_path, text, message):
    with pytest.raises(RefusedError, match=r"Data.pairs: ") as caught:
        read_pair_list(write(tmp_path, text), None)
    assert message in caught.value.message
    assert caught.value.hint


def test_lists_that_cannot_be_read(tmp_path):
    with pytest.raises(RefusedError, match="cannot read .*: No such file"):
        read_pair_list(str(tmp_path / "none.csv"), None)
    (tmp_path / "image.tif").write_bytes(b"II*\0\xff\xfe\x80")
    with pytest.raises(RefusedError, match="it is no UTF-8 text"):
        read_pair_list(str(tmp_path / "image.tif"), None)


def test_a_list_as_source(tmp_path):
    for name in ("h/a", "h/b", "l/a", "l/b"):
        (tmp_path / f"{name}.tif").parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.tif").touch()
    path = write(tmp_path, "hr,lr,split\nh/a.tif,l/a.tif,train\nh/b.tif,l/b.tif,val\n")
    sources = find_sources(DataConfig(pairs=path))
    assert [(pair.hr, pair.lr) for pair in sources.train] == [
        (str(tmp_path / "h/a.tif"), str(tmp_path / "l/a.tif"))
    ]
    assert [pair.hr for pair in sources.val] == [str(tmp_path / "h/b.tif")]
    assert sources.train[0].hr_key == "Data.pairs"
    (tmp_path / "l/b.tif").unlink()
    with pytest.raises(RefusedError, match=r"1 of the 4 files in .* do not exist: .*l/b.tif"):
        find_sources(DataConfig(pairs=path))


@settings(deadline=None, max_examples=300)
@given(st.one_of(st.binary(max_size=80), st.text(max_size=80).map(lambda text: text.encode())))
def test_no_text_ends_in_a_traceback(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("list") / "pairs.csv"
    path.write_bytes(content)
    rows, message = [], str(path)
    try:
        rows = read_pair_list(str(path), None)
    except RefusedError as err:
        message = err.message
    assert str(path) in message
    assert all(row.hr for row in rows)
