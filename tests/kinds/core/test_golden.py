"""Kinds of the core group do what a real server did: the same defaults, the same refusals, the same updates.

The cases are in tests/golden/kinds/*.yaml, the answers of the real server beside them (`tools.reference.golden_kinds`).
Go visits maps in random order, hence findings are compared as sets, and the message where there is only one.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.apimachinery.schema import decode
from kloster.kinds import metadata
from kloster.kinds.catalog import Kind, catalog
from kloster.kinds.podspec import doors

GOLDEN = Path(__file__).parents[2] / "golden" / "kinds"
FILES = ("pods", "services", "workloads", "configuration", "storage", "cluster", "events")
DOORS = {"resize": doors.validate_resize, "ephemeralcontainers": doors.validate_ephemeral}
CREATED = "2026-01-02T03:04:05Z"
_SERVER_SET = ("uid", "resourceVersion", "creationTimestamp", "managedFields")


def recorded() -> list[Any]:
    return [
        pytest.param(entry, id=f"{name}-{entry['case']}")
        for name in FILES
        for entry in map(json.loads, (GOLDEN / f"{name}.json").read_text().splitlines())
    ]


def kind_of(item: Object) -> Kind:
    group, _, version = item["apiVersion"].rpartition("/")
    found = catalog("1.34").by_kind(group, version, item["kind"])
    assert found is not None
    return found


def stored(kind: Kind, item: Object) -> Object:
    """As the pipeline has it: decoded, defaulted, in the storage version."""
    decoded = decode.decode(kind.type, item).object
    version = decoded["apiVersion"]
    if version != kind.storage_version:
        decoded = kind.strategy.convert[version, kind.storage_version](decoded)
    kind.strategy.default(decoded)
    return decoded


def create(kind: Kind, item: Object) -> tuple[Object, list[FieldError]]:
    created = stored(kind, item)
    meta = created["metadata"]
    meta["creationTimestamp"] = CREATED
    if meta.get("generateName") and not meta.get("name"):
        meta["name"] = f"{meta['generateName']}abcde"
    if kind.strategy.generation:
        meta["generation"] = 1
    kind.strategy.prepare_create(created)
    found = metadata.validate_create(meta, namespaced=kind.namespaced, name=kind.strategy.name)
    return created, [*found, *kind.strategy.validate(created)]


def update(kind: Kind, entry: Object) -> tuple[Object, list[FieldError]]:
    new, old = stored(kind, entry["new"]), stored(kind, entry["old"])
    strategy = kind.strategy
    findings: Iterable[FieldError]
    if entry["subresource"] in DOORS:  # the pipeline puts everything else back
        findings = [*strategy.validate(new), *DOORS[entry["subresource"]](new, old)]
        new["metadata"]["generation"] = old["metadata"]["generation"] + changed(new, old)
    elif entry["subresource"]:
        assert strategy.prepare_status is not None
        strategy.prepare_status(new, old)
        findings = strategy.validate_status(new, old)
    else:
        strategy.prepare_update(new, old)
        findings = [*strategy.validate(new), *strategy.validate_update(new, old)]
        if strategy.generation:
            new["metadata"]["generation"] = old["metadata"]["generation"] + changed(new, old)
    return new, [*metadata.validate_update(new["metadata"], old["metadata"]), *findings]


def changed(new: Object, old: Object) -> bool:
    outside = (new.keys() | old.keys()) - {"metadata", "status"}
    return any(not metadata.same(new.get(name), old.get(name)) for name in outside)


def plain(kind: Kind, item: Object) -> Object:
    """Without what the server itself sets, and with names and times that do not depend on the run."""
    item = copy.deepcopy(item)
    if item["apiVersion"] != kind.api_version:
        item = kind.strategy.convert[item["apiVersion"], kind.api_version](item)
    item = decode.decode(kind.type, item).object
    meta = item["metadata"]
    for name in _SERVER_SET:
        meta.pop(name, None)
    if meta.get("generateName"):
        meta["name"] = ""
    for condition in (item.get("status") or {}).get("conditions") or ():
        condition.pop("lastTransitionTime", None)
    (item.get("status") or {}).pop("lastPhaseTransitionTime", None)
    return item


def shape(cause: Object) -> tuple[str, ...]:
    """A cause, without the difference that upstream appends in terms of its internal types."""
    message = cause["message"].split("\n@@")[0].rstrip("\n")
    return cause.get("field", ""), cause.get("reason", ""), message


@pytest.mark.parametrize("entry", recorded())
def test_answer(entry: Object) -> None:
    kind = kind_of(entry["object"])
    result, found = update(kind, entry) if "new" in entry else create(kind, entry["object"])
    answer = entry["answer"]
    prefix = entry["object"]["metadata"].get("generateName")
    if prefix:
        answer = json.loads(re.sub(f"{prefix}[a-z0-9]{{5}}", f"{prefix}abcde", json.dumps(answer)))
    if "code" in answer:
        assert answer["code"] == 422
        group = kind.storage_version.rpartition("/")[0]
        status = errors.invalid(group, kind.kind, result["metadata"].get("name", ""), found).status()
        causes = {shape(cause) for cause in status.get("details", {}).get("causes", ())}
        assert sorted(causes) == sorted(set(map(shape, answer["causes"])))
        if len(causes) == 1 and "\n" not in answer["message"]:
            assert status["message"] == answer["message"]
    else:
        assert [str(error) for error in found] == []
        assert plain(kind, result) == plain(kind, answer["object"])


@pytest.mark.parametrize("name", FILES)
def test_every_case_is_recorded(name: str) -> None:
    documents = list(yaml.safe_load_all((GOLDEN / f"{name}.yaml").read_text()))[1:]
    answers = [json.loads(line)["case"] for line in (GOLDEN / f"{name}.json").read_text().splitlines()]
    assert answers == [document["case"] for document in documents]
