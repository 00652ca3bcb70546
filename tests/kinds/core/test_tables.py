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
    if kind.strategy.cells is None:  # the generic row: name and time of creation
        assert entry["cells"] == [item["metadata"]["name"], item["metadata"]["creationTimestamp"]]
        return
    before, after = entry["between"]
    rows = [kind.strategy.cells(decoded, now) for now in (before, after)]
    assert entry["cells"] in rows
    assert len(rows[0]) == len(kind.columns)
