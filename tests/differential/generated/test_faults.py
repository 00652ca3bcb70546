"""Faults put into our server one at a time: the recorded cases notice each of them.

A fault is noticed when an answer differs that is not known to, or when one that is known to differ does no longer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from tests.apiserver import hurry
from tests.differential.generated import comparing

from kloster.apimachinery import errors
from kloster.apimachinery.apply import operations, reset
from kloster.apimachinery.patches import json_patch, merge, strategic
from kloster.apimachinery.schema import findings
from kloster.apiserver import admission, facets, resources, write_options
from kloster.kinds import gates, metadata, names, rechecks, selector
from kloster.kinds.catalog import Kind, catalog
from kloster.kinds.podspec import containers
from kloster.kinds.strategy import Strategy

MINOR = "1.34"
Seed = Callable[[pytest.MonkeyPatch], None]


def _strategy(kind: str, **changed: Any) -> Seed:
    """The kind behaves otherwise. A value may be a function of its strategy."""
    api_version, _, plural = kind.rpartition("/")
    group, _, version = api_version.rpartition("/")

    def seed(_: pytest.MonkeyPatch) -> None:
        found = catalog(MINOR).lookup(group, version, plural)
        assert found is not None
        wanted = {name: value(found.strategy) if callable(value) else value for name, value in changed.items()}
        _SEEDED[group, version, plural] = found.strategy
        _behave(found, replace(found.strategy, **wanted))

    return seed


def _behave(kind: Kind, strategy: Strategy) -> None:
    object.__setattr__(kind, "strategy", strategy)
    resources.built_in.cache_clear()  # what is served is shared by all clusters of a minor


_SEEDED: dict[tuple[str, str, str], Strategy] = {}


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """The kinds of a minor are shared by all tests."""
    kinds = catalog(MINOR).kinds
    yield
    for key in list(_SEEDED):
        _behave(kinds[key], _SEEDED.pop(key))


def _attribute(module: Any, name: str, value: Any) -> Seed:
    return lambda patch: patch.setattr(module, name, value)


def _nothing(*_: Any, **__: Any) -> tuple[()]:
    return ()


def _none(*_: Any, **__: Any) -> list[Any]:
    return []


def _without_last(check: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *given: list(check(*given))[:-1]


def _reversed(check: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *given: list(check(*given))[::-1]


def _no_replicas(strategy: Any) -> Callable[..., None]:
    def default(obj: Any) -> None:
        strategy.default(obj)
        obj["spec"]["replicas"] = 3

    return default


def _replaces(document: Any, patch: Any, *_: Any) -> Any:
    """A patch that replaces each field that it has, as if there were no merging."""
    return {**document, **patch}


FAULTS: dict[str, tuple[str, Seed]] = {
    "a default is another": ("apps/v1/deployments", _strategy("apps/v1/deployments", default=_no_replicas)),
    "there are no defaults": (
        "autoscaling/v2/horizontalpodautoscalers",
        _strategy("autoscaling/v2/horizontalpodautoscalers", default=lambda _: _nothing),
    ),
    "nothing is validated": (
        "networking.k8s.io/v1/networkpolicies",
        _strategy("networking.k8s.io/v1/networkpolicies", validate=lambda _: _nothing),
    ),
    "the last finding is lost": (
        "policy/v1/poddisruptionbudgets",
        _strategy("policy/v1/poddisruptionbudgets", validate=lambda found: _without_last(found.validate)),
    ),
    "findings come in another order": (
        "batch/v1/cronjobs",
        _strategy("batch/v1/cronjobs", validate=lambda found: _reversed(found.validate)),
    ),
    "what is immutable may change": ("v1/secrets", _strategy("v1/secrets", validate_update=lambda _: _nothing)),
    "the status is not validated": (
        "apps/v1/replicasets",
        _strategy("apps/v1/replicasets", validate_status=lambda _: _nothing),
    ),
    "the generation stands still": (
        "networking.k8s.io/v1/ingresses",
        _strategy("networking.k8s.io/v1/ingresses", generation=False),
    ),
    "any name is good": ("v1/resourcequotas", _strategy("v1/resourcequotas", name="any")),
    "an update needs no version": (
        "coordination.k8s.io/v1/leases",
        _strategy("coordination.k8s.io/v1/leases", unconditional_update=True),
    ),
    "fields of closed gates come through": ("resource.k8s.io/v1/resourceslices", _attribute(gates, "_drop", _nothing)),
    "metadata is looked at once": ("v1/configmaps", _attribute(rechecks, "of_update", _nothing)),
    "labels are not looked at": ("v1/configmaps", _attribute(metadata, "validate_labels", _none)),
    "selectors are not looked at": ("apps/v1/daemonsets", _attribute(selector, "validate_expression", _none)),
    "a rule for names is laxer": ("v1/serviceaccounts", _attribute(names, "object_name", _none)),
    "ports of services may be anything": ("v1/services", _strategy("v1/services", validate=lambda _: _nothing)),
    "containers may be anything": ("v1/podtemplates", _attribute(containers, "validate_containers", _nothing)),
    "a merge patch replaces": ("storage.k8s.io/v1/storageclasses", _attribute(merge, "_merged", _replaces)),
    "a strategic merge replaces": ("v1/serviceaccounts", _attribute(strategic, "apply", _replaces)),
    "a JSON patch's test passes": (
        "rbac.authorization.k8s.io/v1/roles",
        _attribute(json_patch, "_same", lambda *_: True),
    ),
    "what a request resets is owned": (
        "certificates.k8s.io/v1/certificatesigningrequests",
        _attribute(facets.reset, "of", lambda *_, **__: reset.NOTHING),
    ),
    "nothing is a conflict": ("v1/services", _attribute(operations.conflicts, "refuse", _nothing)),
    "a value is shown otherwise in errors": ("v1/events", _attribute(errors, "shown", repr)),
    "a type error names another type": ("v1/endpoints", _attribute(findings, "go_type", lambda _: "thing")),
    "unknown fields are not told": ("node.k8s.io/v1/runtimeclasses", _attribute(findings, "unknown_fields", _none)),
    "admission does nothing": ("v1/nodes", _attribute(admission, "mutate", _nothing)),
    "the manager is another": ("v1/podtemplates", _attribute(write_options, "manager_of", lambda *_: "somebody")),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_is_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, seed = FAULTS[fault]
    seed(monkeypatch)
    outcome: comparing.Outcome = hurry.run(comparing.replay(MINOR, kind))
    assert outcome.unknown or outcome.mended


def test_nothing_is_noticed_without_a_fault() -> None:
    for kind in dict.fromkeys(kind for kind, _ in FAULTS.values()):
        outcome: comparing.Outcome = hurry.run(comparing.replay(MINOR, kind))
        assert not outcome.unknown, kind
        assert not outcome.mended, kind
