"""YAML -> plain values with places; what is refused, and how fast."""

import json
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srgan_cli.config.reader import MAX_DEPTH, MAX_VALUES, parse, parse_value
from srgan_cli.errors import ConfigError


def refusal(text):
    with pytest.raises(ConfigError) as caught:
        parse(text, "cfg.yaml")
    return str(caught.value)


def test_values_and_places():
    document = parse("A:\n  rate: 1e-4\n  list: [1, two]\n", "cfg.yaml")
    assert document.values == {"A": {"rate": 1e-4, "list": [1, "two"]}}
    places = {path: (mark.line, mark.column) for path, mark in document.marks.items()}
    assert places == {
        ("A",): (1, 1),
        ("A", "rate"): (2, 3),
        ("A", "list"): (3, 3),
        ("A", "list", 0): (3, 10),
        ("A", "list", 1): (3, 13),
    }


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("1e-4", 1e-4),
        ("1e5", 100000.0),
        ("1.0e-7", 1e-7),
        ("012", 12),
        ("1_000", 1000),
        ("0x10", 16),
        ("yes", "yes"),
        ("true", True),
        ("~", None),
        ("", None),
        ("2024-01-31", "2024-01-31"),
        ("2024-13-45", "2024-13-45"),
        ("12:30:45", "12:30:45"),
        ("'3'", "3"),
        ("!!str 3", "3"),
        ("cuda:0", "cuda:0"),
        (".5", 0.5),
    ],
)
def test_scalars_are_yaml_1_2(written, value):
    read = parse(f"key: {written}\n", "cfg.yaml").values["key"]
    assert read == value
    assert type(read) is type(value)


def test_crlf_and_lf_give_the_same_places():
    text = "A:\n  b: 1\n  c: [2,\n    3]\n"
    unix, dos = parse(text, "x"), parse(text.replace("\n", "\r\n"), "x")
    assert unix == dos


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("", "cfg.yaml:", "the file is empty"),
        ("# only a comment\n", "cfg.yaml:", "the file is empty"),
        ("---\n...\n", "cfg.yaml:", "the file is empty"),
        ("- 1\n", "cfg.yaml:1:1", "a list at the top"),
        ("hello\n", "cfg.yaml:1:1", "a single value at the top"),
        ("a:\n\tb: 1\n", "cfg.yaml:2:1", "a tab; YAML is indented with spaces"),
        ("a: b: c\n", "cfg.yaml:1:5", "a colon where none can be"),
        ("a: *.tif\n", "cfg.yaml:1:4", "text that starts with * needs quotes"),
        ("a: @x\n", "cfg.yaml:1:4", "text that starts with @ needs quotes"),
        ("a: [1,\nb: 2\n", "cfg.yaml:3:1", "flow sequence that starts in line 1"),
        ("a: 'x\nb: 2\n", "cfg.yaml:3:1", "quoted scalar that starts in line 1"),
        ("a: 1\n---\nb: 2\n", "cfg.yaml:2:1", "one file holds one configuration"),
        ("a: \x07\n", "cfg.yaml:1:4", "control character"),
    ],
)
def test_what_is_no_configuration(text, place, words):
    message = refusal(text)
    assert message.startswith(place)
    assert words in message


def test_several_findings_at_once():
    text = "a: 1\na: 2\nb: !!python/object:os.system x\n1: 2\n? [1]\n: 2\nc: !foo {k: 1}\na: 3\n"
    document = parse(text, "cfg.yaml")
    assert [(problem.line, problem.text) for problem in document.problems] == [
        (2, "given a second time; the first is in line 1"),
        (3, "the tag !!python/object:os.system is not used here; write plain values"),
        (4, "`1` cannot be a key; keys are words"),
        (5, "a list or mapping cannot be a key; keys are words"),
        (7, "the tag !foo is not used here; write plain values"),
        (8, "given a second time; the first is in line 1"),
    ]
    document.drop_unreadable()
    assert document.values == {"a": 1}


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system", "!!set", "!!binary", "!x"])
def test_tags_construct_nothing(tag):
    document = parse(f"a: {tag} [echo]\n" if "python" in tag else f"a: {tag} {{b}}\n", "c")
    assert document.values == {"a": None}
    assert "is not used here" in document.problems[0].text


def test_a_bad_item_takes_its_list_with_it():
    document = parse("a: [1, !x 2, 3]\nb: 1\n", "c")
    document.drop_unreadable()
    assert document.values == {"b": 1}
    assert document.problems[0].key == "a.1"


def test_aliases_and_merge_keys():
    text = (
        "base: &b {x: 1, y: 2}\nother: *b\nmerged:\n  <<: *b\n  y: 3\nmany:\n  <<: [*b, {z: 4}]\n"
    )
    document = parse(text, "c")
    assert document.values["other"] == {"x": 1, "y": 2}
    assert document.values["merged"] == {"x": 1, "y": 3}
    assert document.values["many"] == {"x": 1, "y": 2, "z": 4}
    assert document.marks["merged", "x"].line == 1
    assert document.marks["merged", "y"].line == 5
    assert "merges mappings only" in str(parse("<<: 3\n", "c").problems[0])


@pytest.mark.parametrize("text", ["a: &a\n  b: *a\n", "a: &a [*a]\n", "a: &a {<<: *a}\n"])
def test_an_alias_inside_itself(text):
    assert "contains itself" in parse(text, "c").problems[0].text


def _alias_bomb():
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    for old, new in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (_alias_bomb(), "aliases that expand to more than"),
        ("".join(f"k{i}: 1\n" for i in range(MAX_VALUES)), f"more than {MAX_VALUES} values"),
        ("a: " + "[" * 50_000, f"nested more than {MAX_DEPTH} deep"),
        ("a: " + "{a: " * 20_000, f"nested more than {MAX_DEPTH} deep"),
        ("- " * 50_000, f"nested more than {MAX_DEPTH} deep"),
    ],
)
def test_bombs_are_refused_quickly(text, words):
    start = time.process_time()
    assert words in refusal(text)
    assert time.process_time() - start < 5


def test_a_huge_number_is_a_problem_not_a_crash():
    assert "cannot be read as a value" in parse("a: " + "9" * 5000, "c").problems[0].text


def test_half_a_character_is_refused():
    document = parse('a: "\\ud800"\n"\\ud801": 1\n', "c")
    assert document.values == {"a": None}
    assert len(document.problems) == 2
    str(document.problems).encode()


def test_override_values():
    document = parse_value("{kind: area}", ("Data", "degradation"), "--set")
    assert document.values == {"Data": {"degradation": {"kind": "area"}}}
    assert document.marks["Data", "degradation"].line == 0
    assert str(document.problem(("Data", "degradation", "kind"), "x")) == (
        "--set: Data.degradation.kind: x"
    )
    with pytest.raises(ConfigError, match=r"`\*\.tif` is not YAML.*needs quotes") as caught:
        parse_value("*.tif", ("Data", "hr"), "--set")
    assert "quote the value" in caught.value.hint


_ODD = list("ab:-[]{}&*!|>'\"%@`#,?\n\t <~.019\r=\u2028\\")


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from(_ODD), max_size=60))
def test_any_text_gives_values_or_located_problems(text):
    try:
        problems = parse(text, "cfg.yaml").problems
    except ConfigError as err:
        problems = err.problems
        assert problems
    assert all(str(problem).startswith("cfg.yaml") for problem in problems)


_SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**9), 10**9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), max_size=8)
)
_KEYS = st.text(st.sampled_from("aZ_-.9?: "), min_size=1, max_size=5)
_TREES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(_KEYS, _TREES, min_size=1, max_size=4))
def test_json_is_yaml(tree):
    document = parse(json.dumps(tree, ensure_ascii=False), "cfg.yaml")
    assert document.values == tree
    assert not document.problems
