"""NamespaceLifecycle: nothing is created in a namespace that is missing or going away, and some namespaces stay."""

from __future__ import annotations

from kloster.apimachinery import errors
from kloster.apiserver.admission.api import CREATE, DELETE, UPDATE, Attempt, Plugin

IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
_NAMESPACES = "/namespaces"


def check(attempt: Attempt) -> None:
    served = attempt.served
    if served.id == _NAMESPACES:
        if attempt.operation == DELETE and attempt.name in IMMORTAL:
            text = "this namespace may not be deleted"
            raise errors.forbidden(served.group, served.plural, attempt.name, text)
        return
    if attempt.operation != CREATE or not served.namespaced or not attempt.namespace:
        return
    namespace = attempt.read(_NAMESPACES, "", attempt.namespace)
    if namespace is None:
        raise errors.not_found("", "namespaces", attempt.namespace)
    if (namespace.get("status") or {}).get("phase") == "Terminating":
        raise _terminating(attempt)


def _terminating(attempt: Attempt) -> errors.StatusError:
    served = attempt.served
    name = attempt.name or attempt.item.get("metadata", {}).get("generateName", "")
    text = f"unable to create new content in namespace {attempt.namespace} because it is being terminated"
    error = errors.forbidden(served.group, served.plural, name, text)
    cause = {
        "reason": "NamespaceTerminating",
        "message": f"namespace {attempt.namespace} is being terminated",
        "field": "metadata.namespace",
    }
    error.details = {**(error.details or {}), "causes": [cause]}
    return error


PLUGIN = Plugin(
    name="NamespaceLifecycle",
    operations=frozenset({CREATE, UPDATE, DELETE}),
    subresources=frozenset(),
    mutate=check,
)
