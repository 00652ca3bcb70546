"""What a real server answered is decoded and written again byte for byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from kloster.apimachinery.schema import decode, encode
from kloster.apimachinery.schema.model import StructType
from kloster.kinds.catalog import catalog

_ANSWERS = Path(__file__).parents[2] / "golden" / "objects"


def answers() -> list[Any]:
    return [
        pytest.param(
            path.stem, line, id=f"{path.stem}-{item['kind']}-{item['apiVersion']}-{item['metadata'].get('name', '')}"
        )
        for path in sorted(_ANSWERS.glob("*.json"))
        for line in path.read_bytes().splitlines()
        for item in [json.loads(line)]
    ]


def type_of(minor: str, item: dict[str, Any]) -> StructType:
    group, _, version = item["apiVersion"].rpartition("/")
    found = catalog(minor).by_kind(group, version, item["kind"])
    assert found is not None
    return found.type


def backwards(value: Any) -> Any:
    """The same value with its keys in another order."""
    if isinstance(value, dict):
        return {key: backwards(value[key]) for key in sorted(value, reverse=True)}
    return [backwards(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("minor", "answer"), answers())
def test_answer_round_trips(minor: str, answer: bytes) -> None:
    item = json.loads(answer)
    type = type_of(minor, item)
    decoded = decode.decode(type, item)
    assert decoded.unknown == []
    assert encode.dumps(type, decoded.object) == answer
    assert decode.decode(type, decoded.object).object == decoded.object


# Raw contents (RawExtension, JSON) keep their order, so these cannot be turned around.
_RAW = ("ControllerRevision", "CustomResourceDefinition", "ResourceClaim")


@pytest.mark.parametrize(
    ("minor", "answer"),
    [case for case in answers() if json.loads(case.values[1])["kind"] not in _RAW],
)
def test_order_of_input_does_not_matter(minor: str, answer: bytes) -> None:
    item = json.loads(answer)
    type = type_of(minor, item)
    turned = backwards(item)
    turned["metadata"]["managedFields"] = item["metadata"].get("managedFields")
    assert encode.dumps(type, decode.decode(type, turned).object) == answer


@pytest.mark.parametrize(("minor", "answer"), answers())
def test_split_is_the_answer_around_its_version(minor: str, answer: bytes) -> None:
    item = json.loads(answer)
    item["metadata"]["resourceVersion"] = "@"
    type = type_of(minor, item)
    whole = encode.dumps(type, item)
    start = f'{{"kind":"{item["kind"]}","apiVersion":"{item["apiVersion"]}",'.encode()
    head, tail = encode.split(type, item)
    assert start + head + b"@" + tail == whole


def inputs() -> list[Any]:
    documents = yaml.safe_load_all((_ANSWERS / "inputs.yaml").read_text())
    return [pytest.param(item, id=f"{item['kind']}-{item.get('metadata', {}).get('name', '')}") for item in documents]


@pytest.mark.parametrize("item", inputs())
def test_input_is_known_whole_and_decoding_is_stable(item: dict[str, Any]) -> None:
    type = type_of("1.34", item)
    decoded = decode.decode(type, item)
    assert decoded.unknown == []
    again = decode.decode(type, decoded.object)
    assert again.object == decoded.object
    assert encode.dumps(type, again.object) == encode.dumps(type, item | decoded.object)
