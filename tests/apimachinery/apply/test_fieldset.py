"""The algebra of field sets, against plain sets of paths."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kloster.apimachinery.apply import fieldset
from kloster.apimachinery.apply.fieldset import FieldSet

STEPS = st.sampled_from(["f:a", "f:b", "f:c", 'k:{"n":"x"}', 'k:{"n":"y"}', 'v:"s"'])
PATHS = st.sets(st.lists(STEPS, min_size=1, max_size=4).map(tuple), max_size=12)
Paths = set[tuple[str, ...]]


def tree(members: Paths) -> FieldSet:
    return fieldset.from_paths(*sorted(members))


def members(found: FieldSet) -> Paths:
    listed = list(fieldset.paths(found))
    assert len(listed) == len(set(listed))
    return set(listed)


def tidy(found: FieldSet) -> bool:
    """No subtree says nothing: members alone are ``{}``."""
    return all(list(below) != ["."] and (step == "." or tidy(below)) for step, below in found.items())


@given(PATHS)
def test_a_tree_holds_exactly_its_paths(paths: Paths) -> None:
    assert members(tree(paths)) == paths
    assert tidy(tree(paths))


@given(PATHS, PATHS)
def test_union(left: Paths, right: Paths) -> None:
    joined = fieldset.union(tree(left), tree(right))
    assert members(joined) == left | right
    assert tidy(joined)


@given(PATHS, PATHS)
def test_difference(left: Paths, right: Paths) -> None:
    rest = fieldset.difference(tree(left), tree(right))
    assert members(rest) == left - right
    assert tidy(rest)


@given(PATHS, PATHS)
def test_intersection(left: Paths, right: Paths) -> None:
    common = fieldset.intersection(tree(left), tree(right))
    assert members(common) == left & right
    assert tidy(common)


@given(PATHS, PATHS)
def test_recursive_difference(left: Paths, right: Paths) -> None:
    rest = fieldset.recursive_difference(tree(left), tree(right))
    expected = {path for path in left if not any(path[: length + 1] in right for length in range(len(path)))}
    assert members(rest) == expected
    assert tidy(rest)


@given(PATHS, PATHS)
def test_operations_leave_their_arguments_alone(left: Paths, right: Paths) -> None:
    one, two = tree(left), tree(right)
    before = json.dumps([one, two])
    for operation in (fieldset.union, fieldset.difference, fieldset.intersection, fieldset.recursive_difference):
        operation(one, two)
    assert json.dumps([one, two]) == before


@given(PATHS)
def test_unchanged_sets_are_the_same_object(paths: Paths) -> None:
    whole = tree(paths)
    assert fieldset.union(whole, tree(paths)) is whole
    assert fieldset.difference(whole, tree({("f:z",), ("f:a", "f:z")})) is whole


@given(PATHS)
def test_reading_gives_back_what_was_written(paths: Paths) -> None:
    assert json.dumps(fieldset.parse(tree(paths))) == json.dumps(fieldset.ordered(tree(paths)))


def test_include_keeps_what_is_below_a_pattern_and_members_on_the_way() -> None:
    have = fieldset.from_paths(
        ("f:spec",), ("f:spec", "f:list", "k:{}"), ("f:spec", "f:list", "k:{}", "f:a"), ("f:spec", "f:b"), ("f:c",)
    )
    pattern: FieldSet = {"f:spec": {"f:list": {"*": {"f:a": {}}}}}
    assert members(fieldset.include(have, pattern)) == {
        ("f:spec",),
        ("f:spec", "f:list", "k:{}"),
        ("f:spec", "f:list", "k:{}", "f:a"),
    }


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param(["f:b", "f:a", "f:B", "f:a-b", "f:a.b"], ["f:B", "f:a", "f:a-b", "f:a.b", "f:b"], id="names"),
        pytest.param(
            ["v:10", "v:9", 'v:"a"', "v:true", "v:1.5"], ["v:1.5", "v:9", "v:10", 'v:"a"', "v:true"], id="values"
        ),
        pytest.param(
            ['k:{"p":1000}', 'k:{"p":80,"q":"UDP"}', 'k:{"p":80}', 'k:{"p":80,"q":"TCP"}'],
            ['k:{"p":80}', 'k:{"p":80,"q":"TCP"}', 'k:{"p":80,"q":"UDP"}', 'k:{"p":1000}'],
            id="keys",
        ),
        pytest.param(["i:10", "i:9"], ["i:9", "i:10"], id="indices"),
        pytest.param(["k:{}", "f:a", "i:0", "v:1"], ["f:a", "k:{}", "v:1", "i:0"], id="sorts"),
    ],
)
def test_order(steps: list[str], expected: list[str]) -> None:
    below: FieldSet = {step: {} for step in steps}
    assert list(fieldset.ordered({"f:x": {**below, ".": {}}})["f:x"]) == [".", *expected]


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        (("f:spec", 'k:{"a":80,"b":"x\\"y"}', "f:z"), '.spec[a=80,b="x\\"y"].z'),
        (("f:l", 'v:"s"'), '.l[="s"]'),
        (("f:l", "v:true"), ".l[=true]"),
        (("f:l", "v:1.5"), ".l[=1.5]"),
        (("f:l", "i:3"), ".l[3]"),
    ],
)
def test_shown(path: tuple[str, ...], expected: str) -> None:
    assert fieldset.shown(path) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({'k:{"b": 1, "a":"<"}': {}}, {'k:{"a":"\\u003c","b":1}': {}}, id="keys-are-spelled-again"),
        pytest.param({"f:a": {".": {}}}, {"f:a": {}}, id="a-lone-dot"),
        pytest.param({"x:future": {"f:a": {}}, "f:b": {}}, {"f:b": {}}, id="unknown-sorts-are-dropped"),
        pytest.param({"v:1.0": {}}, {"v:1": {}}, id="whole-floats"),
        pytest.param({"f:": {}}, {"f:": {}}, id="empty-name"),
    ],
)
def test_foreign_fields_become_canonical(fields: FieldSet, expected: FieldSet) -> None:
    assert fieldset.parse(fields) == expected


@pytest.mark.parametrize(
    "fields", [[], {"f": {}}, {"fa": {}}, {"abc": {}}, {"k:[]": {}}, {"v:": {}}, {"i:x": {}}, {"f:a": 1}]
)
def test_what_cannot_be_read(fields: Any) -> None:
    with pytest.raises(ValueError):
        fieldset.parse(fields)


def test_text_is_quoted_as_go_does() -> None:
    assert fieldset.quoted('<a>&\u2028\n\x01"\\ü') == '"\\u003ca\\u003e\\u0026\\u2028\\n\\u0001\\"\\\\ü"'
