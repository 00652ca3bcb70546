"""Which webhooks a write concerns, and in which version of the resource each of them wants to see it.

A rule names groups, versions, resources, operations and scope. With matchPolicy Equivalent a rule for another version
of the same resource matches as well; the object is then converted to the version of that rule.
"""

from __future__ import annotations

from collections.abc import Iterable

from kloster.apimachinery import Object, errors
from kloster.apiserver.admission.api import DELETE, Attempt
from kloster.apiserver.admission.webhooks import hooks
from kloster.apiserver.admission.webhooks.hooks import Hook
from kloster.apiserver.resources import Served

NAMESPACES = "/namespaces"
_EXEMPT = frozenset(
    f"{hooks.GROUP}/{plural}"
    for plural in (
        "mutatingwebhookconfigurations",
        "validatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    )
)
"""Webhooks are never asked about themselves: nobody could take a broken one away."""


def exempt(served: Served) -> bool:
    return served.id in _EXEMPT


def version(hook: Hook, attempt: Attempt, item: Object | None) -> Served | None:
    """In which version `hook` wants to see the write; None if it does not concern it. `item` is the object as it is
    now. Raises StatusError 404 for a namespace that does not exist."""
    if not _objects(hook, attempt, item):
        return None
    found = _by_rules(hook, attempt)
    if found is None or not _namespaces(hook, attempt, item):
        return None
    return found


def namespace(attempt: Attempt) -> str:
    """The request's namespace as upstream counts it: a namespace lies in itself."""
    return attempt.name if attempt.served.id == NAMESPACES else attempt.namespace


def _objects(hook: Hook, attempt: Attempt, item: Object | None) -> bool:
    if hook.objects is None:
        return True
    candidates = (item, attempt.old)
    shown = (attempt.shown(one).get("metadata") for one in candidates if one is not None)
    return any(one is not None and hook.objects.matches(one.get("labels") or {}) for one in shown)


def _namespaces(hook: Hook, attempt: Attempt, item: Object | None) -> bool:
    if hook.namespaces is None:
        return True
    if attempt.served.id == NAMESPACES and not attempt.subresource and attempt.operation != DELETE:
        return hook.namespaces.matches(((item or {}).get("metadata") or {}).get("labels") or {})
    name = namespace(attempt)
    if not name:
        return True  # cluster-scoped objects are never exempted
    found = attempt.read(NAMESPACES, "", name)
    if found is None:
        raise errors.not_found("", "namespaces", name)
    return hook.namespaces.matches(found["metadata"].get("labels") or {})


def _by_rules(hook: Hook, attempt: Attempt) -> Served | None:
    served = attempt.served
    if any(_matches(rule, attempt, served.group, served.version, served.plural) for rule in hook.rules):
        return served
    if not hook.equivalent:
        return None
    others = list(_others(attempt))
    for rule in hook.rules:
        for group, version, plural in others:
            if _matches(rule, attempt, group, version, plural):
                return attempt.cluster.resources.lookup(group, version, plural)
    return None


def _others(attempt: Attempt) -> Iterable[tuple[str, str, str]]:
    """The other versions of the resource."""
    served, resources = attempt.served, attempt.cluster.resources
    if served.kind.builtin:
        for key, kind in resources.built_in.catalog.kinds.items():
            if kind.storage_id == served.id and key != (served.group, served.version, served.plural):
                yield key
        return
    for version in resources.custom.get(f"{served.plural}.{served.group}", ()):
        if version.version != served.version:
            yield version.group, version.version, version.plural


def _matches(rule: Object, attempt: Attempt, group: str, version: str, plural: str) -> bool:
    return (
        _scope(rule.get("scope"), attempt)
        and _one_of(rule.get("operations"), attempt.operation)
        and _one_of(rule.get("apiGroups"), group)
        and _one_of(rule.get("apiVersions"), version)
        and any(_resource(wanted, plural, attempt.subresource) for wanted in rule.get("resources") or ())
    )


def _scope(scope: str | None, attempt: Attempt) -> bool:
    if scope in (None, "*"):
        return True
    inside = attempt.served.id != NAMESPACES and bool(attempt.namespace)
    return inside if scope == "Namespaced" else not inside


def _one_of(wanted: Iterable[str] | None, given: str) -> bool:
    return any(one in ("*", given) for one in wanted or ())


def _resource(wanted: str, plural: str, subresource: str) -> bool:
    name, _, sub = wanted.partition("/")
    return name in ("*", plural) and sub in ("*", subresource)
