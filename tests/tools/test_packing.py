"""The generator of the packaged data, on a made-up version."""

from __future__ import annotations

import json
import zlib
from pathlib import Path
from typing import Any

import pytest
from tools.reference import packing, schemas

META = "apimachinery/pkg/apis/meta/v1"
TYPES = {
    f"{META}.TypeMeta": [["kind", "e", "string", 1], ["apiVersion", "e", "string", 2]],
    f"{META}.ObjectMeta": [["name", "e", "string", 1]],
    "api/core/v1.Thing": [
        ["", "i", f"{META}.TypeMeta", 0],
        ["metadata", "e", f"{META}.ObjectMeta", 1],
        ["ports", "e", "[]api/core/v1.Port", 2],
        ["mode", "", "string", 3],
    ],
    "api/core/v1.Port": [["port", "", "int32", 1], ["next", "e", "*api/core/v1.Port", 2]],
    "api/old/v1.Gone": [["a", "", "string", 1]],
}
DEFINITIONS = {
    "io.k8s.api.core.v1.Thing": {
        "description": "A thing.",
        "required": ["mode"],
        "properties": {
            "mode": {"description": "Its mode.", "type": "string"},
            "ports": {
                "type": ["array", "null"],
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["port"],
                "x-kubernetes-patch-merge-key": "port",
                "x-kubernetes-patch-strategy": "merge,retainKeys",
            },
        },
    },
    "io.k8s.api.core.v1.Port": {"x-kubernetes-map-type": "atomic", "properties": {"port": {}}},
}


def record(folder: Path) -> None:
    resource = {"resource": "things", "responseKind": {"kind": "Thing"}, "scope": "Cluster", "verbs": ["get"]}
    core = {"metadata": {}, "versions": [{"version": "v1", "resources": [resource]}]}
    files: dict[str, Any] = {
        "types": {
            "kinds": {"v1/Thing": "api/core/v1.Thing", "old/v1/Gone": "api/old/v1.Gone"},
            "types": TYPES,
        },
        "discovery": {"/api": [core], "/apis": []},
        "version": {"version": {"gitVersion": "v1.99.0"}, "openapi_v3_paths": [], "readyz": ["[+]ping ok", "", "x"]},
        "printer-columns": {},
        "field-selectors": {},
        "storage-version-hashes": {},
        "bootstrap-objects": [
            {"kind": "Lease", "metadata": {"name": "own"}},
            {"kind": "ConfigMap", "metadata": {"name": "kept"}, "data": {"ca": "<omitted>", "other": "x"}},
        ],
    }
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))


@pytest.fixture
def lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    record(tmp_path)
    monkeypatch.setattr(schemas, "definitions", lambda _: DEFINITIONS)
    packing.pack("1.99", tmp_path, tmp_path)
    return zlib.decompress((tmp_path / "1.99.zz").read_bytes()).decode().split("\n")


def test_facts(lines: list[str]) -> None:
    facts = json.loads(lines[0])
    assert facts["kinds"] == {"v1/Thing": "api/core/v1.Thing"}
    assert facts["readyz"] == ["[+]ping ok"]


def test_bootstrap_objects_lose_what_is_the_servers_own(lines: list[str]) -> None:
    assert json.loads(lines[2]) == [{"kind": "ConfigMap", "metadata": {"name": "kept"}, "data": {"other": "x"}}]


def test_types(lines: list[str]) -> None:
    types = dict(line.split("\t") for line in lines[3:])
    assert json.loads(types["api/core/v1.Thing"]) == [
        {},
        [
            ["kind", "e", "string", 0],
            ["apiVersion", "e", "string", 0],
            ["metadata", "e", f"{META}.ObjectMeta", 1],
            [
                "ports",
                "e",
                "[]api/core/v1.Port",
                2,
                {"l": "map", "k": ["port"], "m": "port", "s": ["merge", "retainKeys"]},
            ],
            ["mode", "", "string", 3, {"r": 1}],
        ],
    ]
    assert json.loads(types["api/core/v1.Port"])[0] == {"a": 1}
    assert "api/old/v1.Gone" not in types


def test_descriptions(lines: list[str], tmp_path: Path) -> None:
    text = zlib.decompress((tmp_path / "1.99.descriptions.zz").read_bytes()).decode()
    texts = dict(line.split("\t") for line in text.split("\n"))
    assert json.loads(texts["api/core/v1.Thing"]) == ["A thing.", {"mode": "Its mode."}]


def test_output_is_the_same_every_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record(tmp_path)
    monkeypatch.setattr(schemas, "definitions", lambda _: DEFINITIONS)
    packing.pack("1.99", tmp_path, tmp_path)
    first = (tmp_path / "1.99.zz").read_bytes()
    packing.pack("1.99", tmp_path, tmp_path)
    assert (tmp_path / "1.99.zz").read_bytes() == first
