"""Replays what a real server answered (tests/golden/ownership) against `apply.track_update` and `apply.apply`.

The recording has, for every step, the live object before, the request's body and the answer. What admission adds after
ownership was settled is named by the scenario's ``drop``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from kloster.apimachinery import apply, cloning
from kloster.apimachinery.apply import reset
from kloster.apimachinery.errors import StatusError
from kloster.apimachinery.patches import merge
from kloster.apimachinery.schema.decode import decode
from kloster.kinds.catalog import Kind, catalog

GOLDEN = Path(__file__).parents[2] / "golden" / "ownership"
SERVER_SET = ("uid", "resourceVersion", "creationTimestamp", "generation", "namespace", "managedFields")


def steps() -> Iterator[Any]:
    for file in sorted(GOLDEN.glob("*.yaml")):
        scenario = yaml.safe_load(file.read_text())
        recorded = json.loads(file.with_suffix(".json").read_text())
        for index, (step, record) in enumerate(zip(scenario["steps"], recorded, strict=True)):
            differs = step.get("differs")
            marks = [pytest.mark.xfail(reason=differs, strict=True)] if differs else []
            yield pytest.param(scenario, step, record, id=f"{file.stem}-{index}-{step['do']}", marks=marks)


def kind_of(scenario: dict[str, Any], step: dict[str, Any]) -> Kind:
    described = {**scenario["kind"], **step.get("kind", {})}
    group, _, version = described["apiVersion"].rpartition("/")
    kind = catalog("1.34").by_kind(group, version, described["kind"])
    assert kind is not None
    return kind


def decoded(kind: Kind, value: dict[str, Any] | None) -> dict[str, Any] | None:
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


def resets(kind: Kind, step: dict[str, Any]) -> reset.Reset:
    return reset.of(kind.storage_id, step.get("subresource", ""), status="status" in kind.subresources)


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


def latest(entries: list[dict[str, Any]]) -> str:
    return max((entry.get("time", "") for entry in entries), default="")


@pytest.mark.parametrize(("scenario", "step", "record"), list(steps()))
def test_step(scenario: dict[str, Any], step: dict[str, Any], record: dict[str, Any]) -> None:
    kind = kind_of(scenario, step)
    answer = record["answer"]
    if step["do"] == "apply":
        check_apply(kind, step, record, scenario)
        return
    if record["code"] >= 300:
        pytest.skip("refused for other reasons than ownership")
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
    assert json.dumps(entries, indent=1) == json.dumps(expected, indent=1)


def check_apply(kind: Kind, step: dict[str, Any], record: dict[str, Any], scenario: dict[str, Any]) -> None:
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
        pytest.skip("refused by validation")
    assert record["code"] in (200, 201), answer
    assert json.dumps(result["metadata"].get("managedFields", []), indent=1) == json.dumps(expected, indent=1)
    final = decode(kind.type, result).object
    kind.strategy.default(final)
    wanted = without(decode(kind.type, answer).object, scenario.get("drop", []), record["live"])
    for name in SERVER_SET:
        final["metadata"].pop(name, None)
        wanted["metadata"].pop(name, None)
    if "status" in kind.subresources:
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
