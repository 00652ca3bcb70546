from __future__ import annotations

from typing import Any

import pytest

from kloster.apimachinery import jsonpath

VALUE = {
    "spec": {"a": 1, "list": ["x", "y", "z"], "empty": None, "a-b": 2},
    "metadata": {"annotations": {"a.b/c": "note"}},
    "conditions": [{"type": "Other", "status": "False", "n": 1}, {"type": "Ready", "status": "True", "n": 2}],
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        pytest.param(".spec.a", [1], id="field"),
        pytest.param(".spec.a-b", [2], id="dash"),
        pytest.param("$.spec.a", [1], id="root"),
        pytest.param(".spec.missing.x", [], id="missing"),
        pytest.param(".spec.empty", [], id="null"),
        pytest.param(".spec['a']", [1], id="quoted"),
        pytest.param(r".metadata.annotations.a\.b/c", ["note"], id="escaped"),
        pytest.param(r".metadata.annotations['a\.b/c']", ["note"], id="escaped in quotes"),
        pytest.param(".spec.list[0]", ["x"], id="index"),
        pytest.param(".spec.list[-1]", ["z"], id="last"),
        pytest.param(".spec.list[7]", [], id="out of range"),
        pytest.param(".spec.list[1:]", ["y", "z"], id="from"),
        pytest.param(".spec.list[:2]", ["x", "y"], id="to"),
        pytest.param(".spec.list[::2]", ["x", "z"], id="step"),
        pytest.param(".spec.list[0,2]", ["x", "z"], id="union"),
        pytest.param(".spec.list[*]", ["x", "y", "z"], id="all"),
        pytest.param(".conditions[*].n", [1, 2], id="all then field"),
        pytest.param('.conditions[?(@.type=="Ready")].status', ["True"], id="filter"),
        pytest.param(".conditions[?(@.n>1)].type", ["Ready"], id="filter by number"),
        pytest.param(".conditions[?(@.missing)].type", [], id="filter by presence"),
        pytest.param("..status", ["False", "True"], id="recursive"),
        pytest.param(".spec.a.b", [], id="through a scalar"),
    ],
)
def test_find(path: str, found: list[Any]) -> None:
    assert list(jsonpath.parse(path).find(VALUE)) == found


@pytest.mark.parametrize("path", ["spec", ".spec.list[", ".spec.list[x]", ".a[?(@.b==)]", ".a['b", ".a b", ""])
def test_no_path(path: str) -> None:
    with pytest.raises(jsonpath.JSONPathError):
        jsonpath.parse(path)


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), (True, "true"), (5, "5"), (1.5, "1.5"), (1e21, "1e+21"), (["x", 1], '["x",1]'), ({"b": 1}, '{"b":1}')],
    ids=["text", "boolean", "integer", "float", "large", "list", "object"],
)
def test_shown(value: Any, text: str) -> None:
    assert jsonpath.shown(value) == text
