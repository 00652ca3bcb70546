"""From configuration objects to webhooks, in upstream's order: by configuration name, then as they are listed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.selectors import LabelSelector, of_object
from kloster.apiserver.cluster import ServedCluster
from kloster.stores.api import Entry, View

GROUP = "admissionregistration.k8s.io"
MUTATING = f"{GROUP}/mutatingwebhookconfigurations"
VALIDATING = f"{GROUP}/validatingwebhookconfigurations"
PLUGINS = {MUTATING: "MutatingAdmissionWebhook", VALIDATING: "ValidatingAdmissionWebhook"}

_MEMO = "admission webhooks"


@dataclass(frozen=True, slots=True, eq=False)
class Hook:
    """One webhook. `timeout` in seconds; `conditions` are its matchConditions."""

    configuration: str
    name: str
    client: Object
    rules: tuple[Object, ...]
    namespaces: LabelSelector | None
    objects: LabelSelector | None
    conditions: tuple[Object, ...]
    equivalent: bool
    ignore: bool
    timeout: int
    side_effects: str
    again: bool
    versions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Hooks:
    """All webhooks of a cluster, and the entries that they were read from."""

    entries: tuple[Entry, ...]
    mutating: tuple[Hook, ...]
    validating: tuple[Hook, ...]


def of_cluster(cluster: ServedCluster, view: View) -> Hooks | None:
    """The webhooks in the state of `view`; None if there are none, which is what nearly every write finds."""
    found = [*view.scan(MUTATING), *view.scan(VALIDATING)]
    if not found:
        return None
    known: Any = cluster.memo.get(_MEMO)
    if isinstance(known, Hooks) and list(known.entries) == found:
        return known
    off = cluster.settings.plugins_off
    made: dict[str, list[Hook]] = {MUTATING: [], VALIDATING: []}
    for entry in found:
        if PLUGINS[entry.key.resource] not in off:
            made[entry.key.resource] += _read(cluster, entry)
    hooks = Hooks(tuple(found), tuple(made[MUTATING]), tuple(made[VALIDATING]))
    cluster.memo[_MEMO] = hooks
    return hooks


def _read(cluster: ServedCluster, entry: Entry) -> list[Hook]:
    served = cluster.resources.stored_as(entry.key.resource)
    if served is None:
        return []
    configuration = cluster.forms.object(served, entry)
    name = configuration["metadata"]["name"]
    return [_hook(name, one) for one in configuration.get("webhooks") or ()]


def _hook(configuration: str, webhook: Object) -> Hook:
    return Hook(
        configuration=configuration,
        name=webhook["name"],
        client=webhook["clientConfig"],
        rules=tuple(webhook.get("rules") or ()),
        namespaces=selector(webhook.get("namespaceSelector")),
        objects=selector(webhook.get("objectSelector")),
        conditions=tuple(webhook.get("matchConditions") or ()),
        equivalent=webhook.get("matchPolicy") == "Equivalent",
        ignore=webhook.get("failurePolicy") == "Ignore",
        timeout=webhook.get("timeoutSeconds") or 10,
        side_effects=webhook.get("sideEffects") or "",
        again=webhook.get("reinvocationPolicy") == "IfNeeded",
        versions=tuple(webhook.get("admissionReviewVersions") or ()),
    )


def selector(given: Object | None) -> LabelSelector | None:
    """None for one that selects everything."""
    if not given or not (given.get("matchLabels") or given.get("matchExpressions")):
        return None
    return of_object(given)
