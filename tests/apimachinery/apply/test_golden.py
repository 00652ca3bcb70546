"""Replays what a real server answered (tests/golden/ownership) against `apply.track_update` and `apply.apply`.

The recording has, for every step, the live object before, the request's body and the answer. What admission adds after
ownership was settled is named by the scenario's ``drop``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.apimachinery.apply import custom

from kloster.apimachinery import apply, cloning
from kloster.apimachinery.apply import reset
from kloster.apimachinery.errors import StatusError
from kloster.apimachinery.patches import merge
from kloster.apimachinery.schema.decode import decode
from kloster.apimachinery.schema.model import StructType
from kloster.kinds.catalog import catalog

GOLDEN = Path(__file__).parents[2] / "golden" / "ownership"
SERVER_SET = ("uid", "resourceVersion", "creationTimestamp", "generation", "namespace", "managedFields")


def steps() -> Iterator[Any]:
    for file in sorted(GOLDEN.glob("*.yaml")):
        scenario = yaml.safe_load(file.read_text())
        recorded = json.loads(file.with_suffix(".json").read_text())
        for index, (step, record) in enumerate(zip(scenario["steps"], recorded, strict=True)):
            if step["do"] != "apply" and record["code"] >= 300:
                continue  # refused by validation, of which nothing is known here
            differs = step.get("differs")
            marks = [pytest.mark.xfail(reason=differs, strict=True)] if differs else []
            yield pytest.param(scenario, step, record, id=f"{file.stem}-{index}-{step['do']}", marks=marks)


@dataclass(frozen=True)
class Known:
    """What the test needs to know about a kind."""

    type: StructType
    api_version: str
    kind: str
    storage_id: str
    status: bool
    default: Callable[[dict[str, Any]], None]


def kind_of(scenario: dict[str, Any], step: dict[str, Any]) -> Known:
    described = {**scenario["kind"], **step.get("kind", {})}
    if described.get("custom"):
        return Known(
            custom.WIDGET if described["kind"] == "Widget" else custom.LOOSE,
            described["apiVersion"],
            described["kind"],
            f"golden.kloster.dev/{described['plural']}",
            described.get("status", False),
            custom.default_parts,
        )
    group, _, version = described["apiVersion"].rpartition("/")
    kind = catalog("1.34").by_kind(group, version, described["kind"])
    assert kind is not None
    return Known(
        kind.type,
        kind.api_version,
        kind.kind,
        kind.storage_id,
        "status" in kind.subresources,
        kind.strategy.default,
    )


def decoded(kind: Known, value: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if value is None else decode(kind.type, value).object


def without(value: dict[str, Any], paths: list[str], live: dict[str, Any] | None) -> dict[str, Any]:
    """`value` without what the server added later: only on creation does that count."""
    if live is None:
        for path in paths:
            *steps, last = path.split(".")
            place = value
            for step in steps:
                place = place.get(step, {})
            place.pop(last, None)
    return value


def resets(kind: Known, step: dict[str, Any]) -> reset.Reset:
    return reset.of(kind.storage_id, step.get("subresource", ""), status=kind.status)


def sent_managed_fields(step: dict[str, Any], record: dict[str, Any]) -> Any:
    live, sent = record["live"], record["sent"]
    if step["do"] in ("create", "update"):
        return sent["metadata"].get("managedFields")
    patched = merge.apply(live, sent) if step["do"] == "merge" else live
    return patched["metadata"].get("managedFields")


def bare(value: dict[str, Any]) -> dict[str, Any]:
    """What counts as a change of an object."""
    metadata = {name: inner for name, inner in value["metadata"].items() if name not in SERVER_SET}
    return {**value, "metadata": metadata}


def written(kind: Known, entries: list[dict[str, Any]]) -> list[str]:
    """The entries to the byte. Custom resources are written with sorted keys, which is the encoder's work."""
    return json.dumps(entries, indent=1, sort_keys=kind.type.sorted).splitlines()


def latest(entries: list[dict[str, Any]]) -> str:
    return max((entry.get("time", "") for entry in entries), default="")


@pytest.mark.parametrize(("scenario", "step", "record"), list(steps()))
def test_step(scenario: dict[str, Any], step: dict[str, Any], record: dict[str, Any]) -> None:
    kind = kind_of(scenario, step)
    answer = record["answer"]
    if step["do"] == "apply":
        check_apply(kind, step, record, scenario)
        return
    expected = answer["metadata"].get("managedFields", [])
    new = without(decoded(kind, answer) or {}, scenario.get("drop", []), record["live"])
    new["metadata"].pop("managedFields", None)
    sent = sent_managed_fields(step, record)
    if sent is not None:
        new["metadata"]["managedFields"] = sent
    entries = apply.track_update(
        decoded(kind, record["live"]),
        new,
        kind.type,
        manager=step["manager"],
        api_version=kind.api_version,
        now=latest(expected),
        subresource=step.get("subresource", ""),
        reset=resets(kind, step),
    )
    if record["live"] and bare(record["live"]) == bare(answer):
        entries = apply.keep_times(record["live"]["metadata"].get("managedFields"), entries) or []
    assert written(kind, entries) == written(kind, expected)


def check_apply(kind: Known, step: dict[str, Any], record: dict[str, Any], scenario: dict[str, Any]) -> None:
    answer, live = record["answer"], decoded(kind, record["live"])
    expected = answer.get("metadata", {}).get("managedFields", [])
    before = cloning.clone((live, record["sent"]))
    try:
        result = apply.apply(
            live,
            record["sent"],
            kind.type,
            manager=step["manager"],
            api_version=kind.api_version,
            force=step.get("force", False),
            now=latest(expected),
            subresource=step.get("subresource", ""),
            reset=resets(kind, step),
            kind=kind.kind,
        )
    except StatusError as error:
        assert settled(error.status()) == settled(answer)
        return
    finally:
        assert (live, record["sent"]) == before, "the arguments were changed"
    if record["code"] == 422:
        assert answer["reason"] == "Invalid", "validation may refuse what ownership lets pass"
        return
    assert record["code"] in (200, 201), answer
    assert written(kind, result["metadata"].get("managedFields", [])) == written(kind, expected)
    final = decode(kind.type, result).object
    kind.default(final)
    wanted = without(decode(kind.type, answer).object, scenario.get("drop", []), record["live"])
    for name in SERVER_SET:
        final["metadata"].pop(name, None)
        wanted["metadata"].pop(name, None)
    if kind.status:
        ignored = "status" if not step.get("subresource") else "spec"
        final.pop(ignored, None)
        wanted.pop(ignored, None)
    assert final == wanted


def settled(status: dict[str, Any]) -> dict[str, Any]:
    """Upstream lists schema errors, and the causes of several managers, in any order."""
    status = {**status, "message": sorted(status["message"].splitlines())}
    details = status.get("details") or {}
    if "causes" not in details:
        return status
    causes = sorted(details["causes"], key=lambda cause: json.dumps(cause, sort_keys=True))
    return {**status, "details": {**details, "causes": causes}}
