"""Facts about fields hold from a minor on."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tools.reference import openapi

from kloster.kinds import loading

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


@pytest.fixture
def facts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the facts of all minors, in use instead of them."""
    copied = tmp_path / "facts.json"
    shutil.copyfile(openapi._FILE, copied)
    monkeypatch.setattr(openapi, "_FILE", copied)
    return copied


def found_again(minor: str, facts: Path) -> openapi.Found:
    """What reading a minor anew finds if nothing has changed upstream."""
    known = openapi.Facts(minor)
    types = {name: known.type(name) for name in json.loads(facts.read_bytes())["types"]}
    return openapi.Found(types, known.parameters, known.elements)


@pytest.mark.parametrize("minor", loading.minors())
def test_what_was_known_changes_nothing(minor: str, facts: Path) -> None:
    before = facts.read_bytes()
    openapi.write(minor, found_again(minor, facts))
    assert facts.read_bytes() == before


def test_a_minor_changes_alone(facts: Path) -> None:
    found = found_again("1.34", facts)
    found.types["new/v1.Thing"] = {"mode": {"o": ["A"]}}
    found.parameters = {**found.parameters, "limit": "integer Other."}
    others = {minor: openapi.Facts(minor) for minor in ("1.33", "1.35")}
    openapi.write("1.34", found)
    changed = openapi.Facts("1.34")
    assert changed.type("new/v1.Thing") == {"mode": {"o": ["A"]}}
    assert changed.parameters["limit"] == "integer Other."
    assert openapi.Facts("1.33").type("new/v1.Thing") == {}
    for minor, before in others.items():
        assert openapi.Facts(minor).parameters == before.parameters


def test_a_new_minor_changes_no_older_one(facts: Path) -> None:
    before = {minor: found_again(minor, facts) for minor in loading.minors()}
    found = found_again("1.37", facts)
    name = next(name for name, fields in found.types.items() if fields)
    found.types[name] = {}
    found.elements = not found.elements
    openapi.write("1.99", found)
    assert openapi.Facts("1.99").type(name) == {}
    assert openapi.Facts("1.99").elements is found.elements
    assert {minor: found_again(minor, facts) for minor in loading.minors()} == before


def test_texts_and_extras() -> None:
    assert openapi.text("Known.", {"x": " More."}) == "Known. More."
    assert openapi.text("Known.", {"t": "Other."}) == "Other."
    assert openapi.merged({"r": 1}, {"d": "", "o": ["X"], "x": "text"}) == {"r": 1, "d": "", "o": ["X"]}
