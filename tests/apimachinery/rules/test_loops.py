"""How the time that rules take grows with an object: what decides whether requests are worked on beside the loop."""

from __future__ import annotations

from typing import Any

import pytest

from kloster.apimachinery.rules.definitions import loops

_TEXT = {"type": "string"}


def _schema(*rules: str, within: str = "") -> dict[str, Any]:
    ruled: dict[str, Any] = {"type": "object", "x-kubernetes-validations": [{"rule": rule} for rule in rules]}
    if within == "list":
        ruled = {"type": "array", "items": ruled}
    elif within == "map":
        ruled = {"type": "object", "additionalProperties": ruled}
    return {"type": "object", "properties": {"spec": ruled, "other": _TEXT}}


@pytest.mark.parametrize(
    ("schema", "degree"),
    [
        pytest.param({"type": "object"}, 0, id="no rules"),
        pytest.param(_schema("self.a > 1", "self.b.size() < 3"), 0, id="fields only"),
        pytest.param(_schema("self.a.all(x, x > 1)"), 1, id="each item"),
        pytest.param(_schema("self.a > 1", within="list"), 1, id="in a list"),
        pytest.param(_schema("self.a > 1", within="map"), 1, id="in a map"),
        pytest.param(_schema("self.a.all(x, self.a.exists_one(y, x == y))"), 2, id="pairs"),
        pytest.param(_schema("self.a.exists(x, x > 1)", within="list"), 2, id="items in items"),
        pytest.param(_schema(*(["self.a.map(x, x).size() > 0"] * 21)), 2, id="very many"),
    ],
)
def test_loops(schema: dict[str, Any], degree: int) -> None:
    assert loops(schema) == degree
