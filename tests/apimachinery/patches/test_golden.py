"""Replays what a real server made of patches (tests/golden/patches)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kloster.apimachinery import cloning
from kloster.apimachinery.errors import StatusError
from kloster.apimachinery.patches import json_patch, merge, strategic
from kloster.apimachinery.schema.decode import DecodeError, decode
from kloster.kinds.catalog import Kind, catalog

GOLDEN = Path(__file__).parents[2] / "golden" / "patches"
SERVER_SET = ("uid", "resourceVersion", "creationTimestamp", "generation", "managedFields")


def steps() -> Iterator[Any]:
    for file in sorted(GOLDEN.glob("*.yaml")):
        scenario = yaml.safe_load(file.read_text())
        recorded = json.loads(file.with_suffix(".json").read_text())
        for index, (step, record) in enumerate(zip(scenario["steps"], recorded, strict=True)):
            differs = step.get("differs")
            marks = [pytest.mark.xfail(reason=differs, strict=True)] if differs else []
            yield pytest.param(scenario, step, record, id=f"{file.stem}-{index}", marks=marks)


def kind_of(scenario: dict[str, Any]) -> Kind:
    group, _, version = scenario["kind"]["apiVersion"].rpartition("/")
    kind = catalog("1.34").by_kind(group, version, scenario["kind"]["kind"])
    assert kind is not None
    return kind


def patched(kind: Kind, how: str, live: dict[str, Any], patch: Any) -> dict[str, Any]:
    if how == "patch":
        return json_patch.apply(live, patch)
    if how == "merge":
        return merge.apply(live, patch)
    return strategic.apply(live, patch, kind.type)


@pytest.mark.parametrize(("scenario", "step", "record"), list(steps()))
def test_step(scenario: dict[str, Any], step: dict[str, Any], record: dict[str, Any]) -> None:
    kind = kind_of(scenario)
    live, sent, answer = decode(kind.type, record["live"]).object, record["sent"], record["answer"]
    before = cloning.clone((live, sent))
    try:
        result = patched(kind, step["do"], live, sent)
    except StatusError as error:
        assert error.status() == answer
        return
    finally:
        assert (live, sent) == before, "the arguments were changed"
    try:
        final = decode(kind.type, result).object
    except DecodeError:
        assert record["code"] in (400, 422, 500)
        return
    kind.strategy.default(final)
    if record["code"] == 422:
        # Refused by validation: the patch itself applied.
        assert "is invalid" in answer["message"]
        return
    assert record["code"] == 200, answer
    assert comparable(final) == comparable(decode(kind.type, answer).object)


def comparable(value: dict[str, Any]) -> dict[str, Any]:
    metadata = {name: inner for name, inner in value["metadata"].items() if name not in SERVER_SET}
    return {**{name: inner for name, inner in value.items() if name != "status"}, "metadata": metadata}
