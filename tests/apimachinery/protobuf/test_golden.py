"""The messages that a real server sent are read and written again byte for byte."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from kloster.apimachinery.protobuf import decode, encode, envelope
from kloster.apimachinery.schema import decode as json_decode
from kloster.kinds.catalog import catalog

_FOLDER = Path(__file__).parents[2] / "golden" / "objects"
# Upstream remembers that caBundle was there and empty, which its JSON does not tell.
_EMPTY_BYTES = "golden-mutating"


def recorded() -> list[Any]:
    return [
        pytest.param(path.stem, item, base64.b64decode(data), id=f"{item['kind']}-{item['metadata'].get('name', '')}")
        for path in sorted(_FOLDER.glob("*.protobuf"))
        for line, data in zip(
            path.with_suffix(".json").read_bytes().splitlines(), path.read_bytes().splitlines(), strict=True
        )
        for item in [json.loads(line)]
    ]


@pytest.mark.parametrize(("minor", "item", "data"), recorded())
def test_equals_upstreams_bytes(minor: str, item: dict[str, Any], data: bytes) -> None:
    group, _, version = item["apiVersion"].rpartition("/")
    type = catalog(minor).type(group, version, item["kind"])
    assert type is not None
    found = envelope.open(data)
    assert (found.api_version, found.kind) == (item["apiVersion"], item["kind"])
    expected = json_decode.decode(type, item).object
    for claim in expected.get("spec", {}).get("volumeClaimTemplates", ()):  # nested objects lose what they are
        del claim["kind"], claim["apiVersion"]
    assert json.dumps({"kind": found.kind, "apiVersion": found.api_version, **decode.decode(type, found.raw)}) == (
        json.dumps(expected)
    )
    if item["metadata"].get("name") != _EMPTY_BYTES:
        assert envelope.seal(item["apiVersion"], item["kind"], encode.encode(type, item)) == data
