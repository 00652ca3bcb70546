"""Nobody grants permissions that they do not have: writes of roles and bindings are checked against the writer's own.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
"""

from __future__ import annotations

from kloster.apimachinery import Object
from kloster.apiserver.admission.api import CREATE, UPDATE, Attempt, Plugin
from kloster.apiserver.ports import Target
from kloster.kinds.metadata import same

_GROUP = "rbac.authorization.k8s.io"
_COLLECTION = ("ownerReferences", "finalizers", "managedFields", "resourceVersion", "generation")


def _validate(attempt: Attempt) -> None:
    check = attempt.cluster.ports.escalation
    if check is None:
        return
    served, item, old = attempt.served, attempt.item, attempt.old
    if old is not None and _concerns_collection(item, old):
        return
    target = Target("", "", True, _GROUP, served.version, served.plural, "", attempt.namespace, attempt.name)
    if served.plural.endswith("roles"):
        check.check_role(attempt.user, target, item, old)
    else:
        check.check_binding(attempt.user, target, item)


def _concerns_collection(item: Object, old: Object) -> bool:
    """Whether nothing changes but what the garbage collector needs to change. A label is not among that: it can make
    a role a part of an aggregated one, and so give its permissions to others."""
    return same(_without(item), _without(old))


def _without(item: Object) -> Object:
    metadata = {key: value for key, value in item["metadata"].items() if key not in _COLLECTION}
    return {**item, "metadata": metadata}


PLUGIN = Plugin(
    name="RBAC",
    operations=frozenset({CREATE, UPDATE}),
    resources=frozenset(
        f"{_GROUP}/{plural}" for plural in ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
    ),
    validate=_validate,
)
