"""Flags of the strategies outside the core group, and properties that hold for all of them in every version."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from tests.kinds.test_groups import CATALOG, FOLDER, kind_of, read

from kloster.apimachinery import Object
from kloster.kinds.catalog import Kind, catalog
from kloster.kinds.strategy import DEFAULT, Strategy

FLAGS = json.loads((FOLDER / "flags.json").read_text())
MINORS = ("1.31", "1.32", "1.33", "1.34", "1.35", "1.36", "1.37")
CREATED_ONLY = ("authentication.k8s.io", "authorization.k8s.io", "events.k8s.io", "")
# Served with the columns of every kind that has none of its own.
UNPRINTED = ("roles", "clusterroles", "csistoragecapacities")


@pytest.mark.parametrize("kind", FLAGS)
def test_flags(kind: str) -> None:
    version, _, name = kind.rpartition("/")
    strategy = kind_of({"apiVersion": version, "kind": name}).strategy
    assert {flag: getattr(strategy, flag) for flag in FLAGS[kind]} == FLAGS[kind]


def kinds(minor: str) -> list[Kind]:
    return [kind for kind in catalog(minor).kinds.values() if kind.group not in CREATED_ONLY]


@pytest.mark.parametrize("minor", MINORS)
def test_every_kind_has_a_strategy_with_a_cell_for_each_column(minor: str) -> None:
    missing = {kind.plural for kind in kinds(minor) if kind.strategy is DEFAULT}
    assert missing == set()
    for kind in kinds(minor):
        bare: Object = {"metadata": {"name": "x", "creationTimestamp": "2024-01-01T00:00:00Z"}}
        row = kind.strategy.cells
        if kind.plural in UNPRINTED:
            assert row is None
            continue
        assert row is not None, kind.plural
        cells = row(bare, 1_700_000_000.0)
        # An IPAddress has a cell too many, upstream as well.
        assert len(cells) >= len(kind.columns), kind.plural
        types = [column[1] for column in kind.columns]
        for cell, type_ in zip(cells, types, strict=False):
            assert not isinstance(cell, dict | list | float), (kind.plural, type_)


@pytest.mark.parametrize("minor", MINORS)
def test_status_flag_agrees_with_discovery(minor: str) -> None:
    for kind in kinds(minor):
        # Some kinds got their status later than others.
        assert kind.strategy.status >= ("status" in kind.subresources), kind.plural
        selectable = {path for path in kind.selectable if not path.startswith("metadata.")}
        assert selectable <= set(kind.strategy.fields), kind.plural


def test_only_jobs_orphan_by_default() -> None:
    assert {kind.plural for kind in kinds("1.34") if kind.strategy.orphan_by_default} == {"jobs"}


def test_status_flags_are_used() -> None:
    without = {kind.plural for kind in kinds(MINORS[-1]) if kind.strategy.status and "status" not in kind.subresources}
    assert without == set()


def recorded() -> list[Any]:
    found = []
    for path in sorted(FOLDER.glob("*.yaml")):
        for case in json.loads(path.with_suffix(".json").read_text()):
            if "answer" in case:
                found.append(pytest.param(case["answer"], id=f"{path.stem}: {case['name']}"))
    return found


@pytest.mark.parametrize("answer", recorded())
def test_defaults_settle(answer: Object) -> None:
    """Defaulting what the server answered changes nothing."""
    once = read(answer)
    twice = copy.deepcopy(once)
    kind_of(answer).strategy.default(twice)
    assert twice == once


def strategy(minor: str, group: str, plural: str) -> Strategy:
    return next(kind.strategy for kind in kinds(minor) if (kind.group, kind.plural) == (group, plural))


@pytest.mark.parametrize(("minor", "kept"), [("1.31", None), ("1.34", None), ("1.35", 1), ("1.37", 1)])
def test_gates_open_with_their_minor(minor: str, kept: int | None) -> None:
    """MaxUnavailableStatefulSet: dropped before 1.35, defaulted since."""
    stateful: Object = {"metadata": {"name": "db"}, "spec": {"template": {"spec": {}}}}
    behaviour = strategy(minor, "apps", "statefulsets")
    behaviour.default(stateful)
    behaviour.prepare_create(stateful)
    assert stateful["spec"]["updateStrategy"]["rollingUpdate"].get("maxUnavailable") == kept


@pytest.mark.parametrize(("minor", "kept"), [("1.31", None), ("1.32", "example.com/c"), ("1.37", "example.com/c")])
def test_jobs_have_managers_since_1_32(minor: str, kept: str | None) -> None:
    job: Object = {"metadata": {"name": "a", "uid": "u"}, "spec": {"managedBy": "example.com/c", "template": {}}}
    behaviour = strategy(minor, "batch", "jobs")
    behaviour.default(job)
    behaviour.prepare_create(job)
    assert job["spec"].get("managedBy") == kept


@pytest.mark.parametrize(("minor", "count"), [("1.31", 2), ("1.36", 2), ("1.37", 8)])
def test_definitions_have_the_columns_of_their_minor(minor: str, count: int) -> None:
    names = {"kind": "Widget", "shortNames": ["w"]}
    spec = {"group": "example.com", "scope": "Cluster", "names": names, "versions": [{"name": "v1", "served": True}]}
    crd: Object = {"metadata": {"name": "w", "creationTimestamp": "2024-01-01T00:00:00Z"}, "spec": spec}
    cells = strategy(minor, "apiextensions.k8s.io", "customresourcedefinitions").cells
    assert cells is not None
    created = "2024-01-01T00:00:00Z"
    wide = ["w", "Cluster", "v1", created, "example.com", "Widget", "w", False]
    assert cells(crd, 0) == (wide if count == 8 else ["w", created])


def test_autoscalers_survive_the_old_version() -> None:
    """v2 → v1 → v2 loses nothing, but that v1 always has a value beside an object's average."""
    known = [param.values[0] for param in recorded() if param.id.startswith("autoscaling")]
    for answer in known:
        item = read(answer)
        for metric in item["spec"]["metrics"]:
            if (target := metric.get("object", {}).get("target")) and "averageValue" in target:
                target["value"] = "0"
        convert = kind_of(answer).strategy.convert
        assert convert["v1", "v2"](convert["v2", "v1"](item)) == item


def test_data_is_the_oracles() -> None:
    assert CATALOG.minor == "1.34"
