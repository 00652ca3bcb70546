"""Rows of tables are those that a real server printed for the same object (tests/golden/kinds/tables.*)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kloster.apimachinery import Object
from kloster.apimachinery.schema import decode
from kloster.kinds.catalog import catalog

ROWS = Path(__file__).parents[2] / "golden" / "kinds" / "tables.json"


def recorded() -> list[Any]:
    return [pytest.param(entry, id=entry["case"]) for entry in map(json.loads, ROWS.read_text().splitlines())]


@pytest.mark.parametrize("entry", recorded())
def test_row(entry: Object) -> None:
    item = entry["object"]
    kind = catalog("1.34").by_kind("", "v1", item["kind"])
    assert kind is not None
    decoded = decode.decode(kind.type, item).object
    row = kind.strategy.cells
    if row is None:  # the generic row: name and time of creation
        assert entry["cells"] == [item["metadata"]["name"], item["metadata"]["creationTimestamp"]]
        return
    before, after = entry["between"]
    rows = [row(decoded, now) for now in (before, after)]
    assert entry["cells"] in rows
    assert len(rows[0]) == len(kind.columns)


EMPTY = {"metadata": {"name": "a"}}


@pytest.mark.parametrize("minor", [f"1.{minor}" for minor in range(31, 38)])
def test_rows_have_as_many_cells_as_columns(minor: str) -> None:
    """Objects may be almost empty; whatever is missing must not stop a list."""
    for kind in catalog(minor).kinds.values():
        if kind.group in ("", "events.k8s.io"):
            row = kind.strategy.cells
            assert row is None or len(row(EMPTY, 0.0)) == len(kind.columns), kind.plural


@pytest.mark.parametrize("minor", [f"1.{minor}" for minor in range(31, 38)])
def test_every_supported_field_selector_has_a_value(minor: str) -> None:
    for kind in catalog(minor).kinds.values():
        if kind.group in ("", "events.k8s.io"):
            fields = kind.strategy.fields
            assert set(kind.selectable) <= {*fields, "metadata.name", "metadata.namespace"}, kind.plural
            assert all(isinstance(value(EMPTY), str) for value in fields.values()), kind.plural


def test_moved_columns() -> None:
    quota = {"metadata": {"name": "q"}, "status": {"hard": {"pods": "5", "limits.cpu": "1"}, "used": {"pods": "2"}}}
    rows = {}
    for minor in ("1.32", "1.33"):
        kind = catalog(minor).lookup("", "v1", "resourcequotas")
        assert kind is not None
        row = kind.strategy.cells
        assert row is not None
        rows[minor] = row(quota, 0.0)
    assert rows["1.32"] == ["q", "<unknown>", "pods: 2/5", "limits.cpu: 0/1"]
    assert rows["1.33"] == ["q", "pods: 2/5", "limits.cpu: 0/1", "<unknown>"]
