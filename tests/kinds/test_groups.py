"""Every strategy against what a real Kubernetes answered to the same requests (tests/golden/groups)."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from kloster.apimachinery import Object, errors
from kloster.apimachinery.schema import decode, encode
from kloster.kinds import metadata
from kloster.kinds.catalog import Kind, catalog
from kloster.kinds.certificates.certificatesigningrequests import set_requester
from kloster.kinds.times import parse

FOLDER = Path(__file__).parent.parent / "golden" / "groups"
CATALOG = catalog("1.34")


def cases() -> Iterable[Any]:
    for path in sorted(FOLDER.glob("*.yaml")):
        for case in json.loads(path.with_suffix(".json").read_text()):
            yield pytest.param(case, id=f"{path.stem}: {case['name']} ({case['verb']})")


def kind_of(item: Object) -> Kind:
    group, _, version = item["apiVersion"].rpartition("/")
    kind = CATALOG.by_kind(group, version, item["kind"])
    assert kind is not None
    return kind


def stored_kind(kind: Kind) -> Kind:
    group, _, version = kind.storage_version.rpartition("/")
    found = CATALOG.lookup(group, version, kind.plural)
    assert found is not None
    return found


def converted(item: Object, source: Kind, target: Kind) -> Object:
    if source is target:
        return item
    return source.strategy.convert[source.version, target.version](item)


def read(item: Object) -> Object:
    """As the pipeline reads it: decoded, in the storage version, defaulted."""
    kind = kind_of(item)
    value: Object = decode.decode(kind.type, copy.deepcopy(item)).object
    value = converted(value, kind, stored_kind(kind))
    value.setdefault("metadata", {})
    kind.strategy.default(value)
    return value


def shown(item: Object, kind: Kind) -> Object:
    answer = converted(item, stored_kind(kind), kind)
    result: Object = json.loads(encode.dumps(kind.type, {**answer, "kind": kind.kind, "apiVersion": kind.api_version}))
    result["metadata"].pop("managedFields", None)
    return result


def prepare(case: Object) -> tuple[Object, list[errors.FieldError]]:
    """What the strategy makes of the request, and what it finds wrong, as the pipeline drives it."""
    kind = kind_of(case["sent"])
    strategy, new = kind.strategy, read(case["sent"])
    meta = new["metadata"]
    if case["verb"] == "create":
        answer = case.get("answer") or {"metadata": {"uid": uid_in(case), "creationTimestamp": "2024-01-01T00:00:00Z"}}
        for name in ("uid", "creationTimestamp"):
            meta[name] = answer["metadata"][name]
        if strategy.generation:
            meta["generation"] = 1
        strategy.prepare_create(new)
        if kind.plural == "certificatesigningrequests" and "spec" in answer:
            spec = answer["spec"]
            set_requester(new, spec["username"], spec.get("uid", ""), spec["groups"], spec.get("extra", {}))
        found = metadata.validate_create(meta, namespaced=kind.namespaced, name=strategy.name)
        return new, [*found, *strategy.validate(new)]
    old = read(case["stored"])
    if case["verb"] == "status":
        assert strategy.prepare_status is not None
        strategy.prepare_status(new, old)
        return new, [*metadata.validate_update(meta, old["metadata"]), *strategy.validate_status(new, old)]
    meta["generation"] = old["metadata"].get("generation", 0)
    strategy.prepare_update(new, old)
    if strategy.generation and not metadata.same(outside(new), outside(old)):
        meta["generation"] += 1
    if not meta["generation"]:
        del meta["generation"]
    found = metadata.validate_update(meta, old["metadata"])
    return new, [*found, *strategy.validate(new), *strategy.validate_update(new, old)]


def outside(item: Object) -> Object:
    return {name: value for name, value in item.items() if name not in ("metadata", "status")}


def uid_in(case: Object) -> str:
    """The UID that a refused object would have had; jobs show it among their labels."""
    text = case["status"]["message"]
    at = text.find("controller-uid")
    return text[at + len('controller-uid":"') :][:36] if at >= 0 else "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize("case", list(cases()))
def test_recorded(case: Object) -> None:
    kind = kind_of(case["sent"])
    new, found = prepare(case)
    if case["code"] >= 300:
        assert case["code"] == 422
        status = errors.invalid(kind.group, kind.kind, new["metadata"]["name"], found).status()
        if "values" in case:
            assert without_values(status) == without_values(case["status"])
            return
        assert status["message"] == case["status"]["message"]
        assert status["details"] == case["status"]["details"]
        return
    assert found == []
    answer = shown(new, kind)
    for part in (answer, case["answer"]):
        part["metadata"].pop("resourceVersion", None)
        stamped(part)
    assert answer == case["answer"]
    assert list(answer) == list(case["answer"])
    check_cells(kind, new, case["cells"])


def without_values(status: Object) -> list[Any]:
    return [
        (each["reason"], each["field"], each["message"].rpartition(": ")[2]) for each in status["details"]["causes"]
    ]


def stamped(item: Object) -> None:
    """Times that the server sets are not compared."""
    for condition in (item.get("status") or {}).get("conditions") or ():
        for name in ("lastTransitionTime", "lastUpdateTime"):
            if name in condition:
                condition[name] = None


_UID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def check_cells(kind: Kind, item: Object, wanted: list[Any]) -> None:
    """The row was answered to a second dry run: with another UID, and at an age that is unknown but small."""
    created = parse(item["metadata"]["creationTimestamp"])
    assert created is not None
    rows = []
    for seconds in range(15):
        rows.append((kind.strategy.cells or (lambda each, _: plain(each)))(item, created + seconds))
        if masked(rows[-1]) == masked(wanted):
            return
    assert masked(rows[0]) == masked(wanted)


def masked(row: list[Any]) -> list[Any]:
    return [_UID.sub("UID", cell) if isinstance(cell, str) else cell for cell in row]


def plain(item: Object) -> list[Any]:
    return [item["metadata"]["name"], item["metadata"]["creationTimestamp"]]
