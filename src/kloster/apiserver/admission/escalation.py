"""Nobody grants permissions that they do not have: writes of roles and bindings are checked against the writer's own.

Source: https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
"""

from __future__ import annotations

from kloster.apiserver.admission.api import CREATE, UPDATE, Attempt, Plugin
from kloster.apiserver.ports import Target
from kloster.kinds.metadata import same

_GROUP = "rbac.authorization.k8s.io"


def _validate(attempt: Attempt) -> None:
    check = attempt.cluster.ports.escalation
    if check is None:
        return
    served, item, old = attempt.served, attempt.item, attempt.old
    target = Target("", "", True, _GROUP, served.version, served.plural, "", attempt.namespace, attempt.name)
    if served.plural.endswith("roles"):
        changed = old is None or not (
            same(item.get("rules"), old.get("rules")) and same(item.get("aggregationRule"), old.get("aggregationRule"))
        )
        if changed:
            check.check_role(attempt.user, target, item, old)
    elif old is None or not (
        same(item.get("roleRef"), old.get("roleRef")) and same(item.get("subjects"), old.get("subjects"))
    ):
        check.check_binding(attempt.user, target, item)


PLUGIN = Plugin(
    name="RBAC",
    operations=frozenset({CREATE, UPDATE}),
    resources=frozenset(
        f"{_GROUP}/{plural}" for plural in ("roles", "clusterroles", "rolebindings", "clusterrolebindings")
    ),
    validate=_validate,
)
