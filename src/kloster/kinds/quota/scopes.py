"""Scopes: which of a namespace's objects a quota is about.

A quota without scopes is about all of them; otherwise all of its scopes must match. Only pods and claims have scopes: a
quota that has any never counts anything else.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kloster.apimachinery import Object
from kloster.kinds.podspec.qos import qos_class


def of_quota(quota: Object) -> Iterator[Object]:
    """The scopes of a quota as requirements: ``scopeName``, ``operator``, ``values``."""
    spec = quota.get("spec") or {}
    for scope in spec.get("scopes") or ():
        yield {"scopeName": scope, "operator": "Exists"}
    yield from (spec.get("scopeSelector") or {}).get("matchExpressions") or ()


def nothing(_scope: Object, _item: Object) -> bool:
    """Kinds that have no scopes."""
    return False


def of_pod(scope: Object, pod: Object) -> bool:
    spec = pod.get("spec") or {}
    match scope.get("scopeName"):
        case "Terminating":
            return is_terminating(pod)
        case "NotTerminating":
            return not is_terminating(pod)
        case "BestEffort":
            return qos_class(spec) == "BestEffort"
        case "NotBestEffort":
            return qos_class(spec) != "BestEffort"
        case "PriorityClass":
            name = spec.get("priorityClassName")
            return _selects(scope, [name] if name else [])
        case "CrossNamespacePodAffinity":
            return _looks_elsewhere(spec.get("affinity") or {})
    return False


def of_claim(scope: Object, claim: Object) -> bool:
    return scope.get("scopeName") == "VolumeAttributesClass" and _selects(scope, attributes_classes(claim))


def is_terminating(pod: Object) -> bool:
    """A pod that has a deadline ends by itself."""
    deadline = (pod.get("spec") or {}).get("activeDeadlineSeconds")
    return deadline is not None and deadline >= 0


def attributes_classes(claim: Object) -> list[str]:
    """The VolumeAttributesClasses that a claim has or is about to have."""
    status = claim.get("status") or {}
    found = (
        (claim.get("spec") or {}).get("volumeAttributesClassName"),
        status.get("currentVolumeAttributesClassName"),
        (status.get("modifyVolumeStatus") or {}).get("targetVolumeAttributesClassName"),
    )
    return sorted({name for name in found if name})


def _selects(scope: Object, names: list[str]) -> bool:
    values: Iterable[str] = scope.get("values") or ()
    match scope.get("operator"):
        case "Exists":
            return bool(names)
        case "DoesNotExist":
            return not names
        case "In":
            return any(name in values for name in names)
        case "NotIn":
            return not names or any(name not in values for name in names)
    return False


def _looks_elsewhere(affinity: Object) -> bool:
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        found = list(terms.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
        for weighted in terms.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            found.append(weighted.get("podAffinityTerm") or {})
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in found):
            return True
    return False
