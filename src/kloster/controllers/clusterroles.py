"""clusterrole-aggregation-controller: a ClusterRole with an aggregationRule holds the rules of those it selects.

https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kloster.apimachinery import Object
from kloster.client.api import Change
from kloster.client.resources import CLUSTER_ROLES
from kloster.kinds import selector as selectors
from kloster.runtime.api import Context, Controller, Key, Watch

_MANAGER = "clusterrole-aggregation-controller"


def aggregated(role: Object, roles: Sequence[Object]) -> list[Object]:
    """The rules of all selected roles: selector by selector, by name, each rule once."""
    found: list[Object] = []
    for selector in role["aggregationRule"].get("clusterRoleSelectors") or ():
        fitting = [item for item in roles if selectors.matches(selector, item["metadata"].get("labels"))]
        for item in sorted(fitting, key=lambda item: item["metadata"]["name"]):
            if item["metadata"]["name"] == role["metadata"]["name"]:
                continue
            found += [rule for rule in item.get("rules") or () if rule not in found]
    return found


async def reconcile(context: Context, key: Key) -> None:
    role = context.source.get(CLUSTER_ROLES, "", key.name)
    if role is None or not role.get("aggregationRule"):
        return
    rules = aggregated(role, context.source.list(CLUSTER_ROLES))
    if rules == (role.get("rules") or []):
        return
    wanted = {
        "apiVersion": role["apiVersion"],
        "kind": "ClusterRole",
        "metadata": {"name": key.name},
        "rules": rules,
    }
    await context.client.apply(CLUSTER_ROLES, wanted, field_manager=_MANAGER, force=True)


def _of_selected(context: Context, change: Change) -> Iterable[Key]:
    """Roles that aggregate the changed one; and itself.

    Every change comes through here, so what aggregates is remembered: few roles do, of many.
    """
    name = change.object["metadata"]["name"]
    aggregating = context.memory.setdefault("aggregating", {})
    chosen = ((change.new or {}).get("aggregationRule") or {}).get("clusterRoleSelectors")
    if chosen:
        aggregating[name] = chosen
    else:
        aggregating.pop(name, None)
    yield Key("", name)
    labels = [item["metadata"].get("labels") for item in (change.old, change.new) if item is not None]
    if not any(labels):
        return
    for role, wanted in aggregating.items():
        if any(selectors.matches(selector, each) for selector in wanted for each in labels):
            yield Key("", role)


CONTROLLER = Controller(_MANAGER, (Watch(CLUSTER_ROLES, lookup=_of_selected),), reconcile)
