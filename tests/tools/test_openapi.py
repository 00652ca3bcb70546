"""Facts about fields hold from a minor on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tools.reference import openapi

_KNOWN = {
    "elements": {"1.31": True, "1.37": False},
    "parameters": {"limit": {"1.31": "integer How many"}, "shard": {"1.36": "string Which"}},
    "types": {"T": {"a": {"1.31": {"o": ["X"]}, "1.33": {"o": ["X", "Y"]}, "1.35": {}}, "b": {"1.34": {"d": "TCP"}}}},
}


@pytest.mark.parametrize(
    ("minor", "elements", "parameters", "fields"),
    [
        pytest.param("1.31", True, {"limit"}, {"a": {"o": ["X"]}}, id="first"),
        pytest.param("1.34", True, {"limit"}, {"a": {"o": ["X", "Y"]}, "b": {"d": "TCP"}}, id="changed"),
        pytest.param("1.36", True, {"limit", "shard"}, {"b": {"d": "TCP"}}, id="gone"),
        pytest.param("1.40", False, {"limit", "shard"}, {"b": {"d": "TCP"}}, id="not recorded yet"),
    ],
)
def test_facts(
    minor: str,
    elements: bool,
    parameters: set[str],
    fields: openapi.Fields,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "facts.json"
    file.write_text(json.dumps(_KNOWN))
    monkeypatch.setattr(openapi, "_FILE", file)
    known = openapi.Facts(minor)
    assert known.elements is elements
    assert known.parameters.keys() == parameters
    assert known.type("T") == fields
    assert known.type("U") == {}


def test_texts_and_extras() -> None:
    assert openapi.text("Known.", {"x": " More."}) == "Known. More."
    assert openapi.text("Known.", {"t": "Other."}) == "Other."
    assert openapi.merged({"r": 1}, {"d": "", "o": ["X"], "x": "text"}) == {"r": 1, "d": "", "o": ["X"]}
