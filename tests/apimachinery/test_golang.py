"""Values as Go prints them."""

from __future__ import annotations

from typing import Any

import pytest

from kloster.apimachinery import golang


@pytest.mark.parametrize(
    ("value", "shown", "detailed", "kind"),
    [
        (None, "<nil>", "interface {}(nil)", "<nil>"),
        (True, "true", "true", "bool"),
        (3, "3", "3", "int64"),
        (2.5, "2.5", "2.5", "float64"),
        (2.0, "2", "2", "float64"),
        ("a b", "a b", '"a b"', "string"),
        (["a", 1, None], "[a 1 <nil>]", '[]interface {}{"a", 1, interface {}(nil)}', "[]interface {}"),
        (
            {"b": 1, "a": ["x"]},
            "map[a:[x] b:1]",
            'map[string]interface {}{"a":[]interface {}{"x"}, "b":1}',
            "map[string]interface {}",
        ),
    ],
)
def test_verbs(value: Any, shown: str, detailed: str, kind: str) -> None:
    assert (golang.shown(value), golang.detailed(value), golang.kind(value)) == (shown, detailed, kind)


@pytest.mark.parametrize(
    ("value", "sort"),
    [({}, "object"), ([], "array"), ("", "string"), (1, "number"), (1.5, "number"), (True, "bool"), (None, "null")],
)
def test_sorts_of_json_values(value: Any, sort: str) -> None:
    assert golang.json_sort(value) == sort
