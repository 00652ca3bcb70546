"""What no real server was asked about: comparisons, ratcheting, formats, patterns. The rest is replayed
(tests/apiserver/customresources)."""

from __future__ import annotations

from typing import Any

import pytest

from kloster.apimachinery.structural import formats, patterns
from kloster.apimachinery.structural.values import NEW, Checker, identical, validate

SCHEMA = {
    "type": "object",
    "properties": {
        "n": {"type": "integer", "maximum": 5},
        "atomic": {"type": "array", "items": {"type": "string", "maxLength": 1}},
        "map": {
            "type": "array",
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["k"],
            "items": {
                "type": "object",
                "properties": {"k": {"type": "string"}, "v": {"type": "integer", "maximum": 5}},
            },
        },
    },
}


def fields(value: Any, old: Any = NEW) -> list[str]:
    return [each.field for each in validate(Checker(SCHEMA, 34), value, old=old)]


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        pytest.param({"n": 9}, {"n": 9}, [], id="unchanged"),
        pytest.param({"n": 9}, {"n": 8}, ["n"], id="changed"),
        pytest.param({}, {"n": 9}, ["n"], id="added"),
        pytest.param({"n": 1}, {"n": True}, ["n"], id="one is not true"),
        pytest.param({"atomic": ["xx"]}, {"atomic": ["xx"]}, [], id="list unchanged"),
        pytest.param({"atomic": ["xx"]}, {"atomic": ["xx", "y"]}, ["atomic[0]"], id="items of a list have no past"),
        pytest.param(
            {"map": [{"k": "a", "v": 9}]}, {"map": [{"k": "b"}, {"k": "a", "v": 9}]}, [], id="item of a map moved"
        ),
        pytest.param(
            {"map": [{"k": "a", "v": 9}]}, {"map": [{"k": "b", "v": 9}]}, ["map[0].v"], id="another item of a map"
        ),
    ],
)
def test_ratcheting(old: Any, new: Any, found: list[str]) -> None:
    assert fields(new, old) == found
    assert fields(new) or not found


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [(1, True, False), (1, 1.0, False), ([1], [1], True), ({"a": [1]}, {"a": [True]}, False), (None, None, True)],
    ids=["true", "float", "list", "inside", "null"],
)
def test_identical(left: Any, right: Any, same: bool) -> None:
    assert identical(left, right) is same


@pytest.mark.parametrize(
    ("name", "value", "good"),
    [
        ("creditcard", "4111 1111 1111 1111", True),
        ("creditcard", "4111 1111 1111 1112", False),
        ("isbn", "978-0321751041", True),
        ("isbn", "0321751043", True),
        ("isbn13", "0321751043", False),
        ("hexcolor", "#fff", True),
        ("hexcolor", "#ffff", False),
        ("rgbcolor", "rgb(255, 0,1)", True),
        ("rgbcolor", "rgb(256,0,0)", False),
        ("ssn", "111-22-3333", True),
        ("ssn", "111223333", False),
        ("uuid4", "123e4567-e89b-42d3-a456-426614174000", True),
        ("uuid4", "123e4567-e89b-12d3-a456-426614174000", False),
        ("bsonobjectid", "507f1f77bcf86cd799439011", True),
        ("password", "", True),
        ("date-time", "2020-13-01T00:00:00Z", False),
    ],
)
def test_formats(name: str, value: str, good: bool) -> None:
    check = formats.known(name, 34)
    assert check is not None
    assert check(value) is good


def test_formats_of_newer_versions() -> None:
    assert formats.known("k8s-short-name", 34) is None
    check = formats.known("k8s-short-name", 35)
    assert check is not None
    assert check("a-b")
    assert not check("A")


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        ("(?!a)", "invalid or unsupported Perl syntax: `(?!`"),
        ("[a", "missing closing ]: `[a`"),
        ("(a", "missing closing ): `(a`"),
        ("a\\", "trailing backslash at end of expression: ``"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("\\8", "invalid escape sequence: `\\8`"),
    ],
)
def test_refused_patterns_in_gos_words(pattern: str, text: str) -> None:
    with pytest.raises(patterns.PatternError) as caught:
        patterns.compile(pattern)
    assert str(caught.value) == f"error parsing regexp: {text}"
