"""Which flow schema a request falls under, for the headers that tell it.

Nothing is queued by priority here: each cluster's requests queue behind its own, and upstream's API Priority and
Fairness divides one server among many. But the objects exist, and clients see which of them would have matched.

Source: https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
"""

from __future__ import annotations

from kloster.apiserver.cluster import ServedCluster
from kloster.client.transport import User

_GROUP = "flowcontrol.apiserver.k8s.io"
_KEPT = 256
_LONGEST = 4096

# group or name of the user → (flow schema, priority level), in order of matching precedence
_RULES: tuple[tuple[str, str, str], ...] = (
    ("system:masters", "exempt", "exempt"),
    ("system:nodes", "system-nodes", "system"),
    ("system:kube-controller-manager", "kube-controller-manager", "workload-high"),
    ("system:kube-scheduler", "kube-scheduler", "workload-high"),
    ("system:serviceaccounts:kube-system", "kube-system-service-accounts", "workload-high"),
    ("system:serviceaccounts", "service-accounts", "workload-low"),
    ("system:authenticated", "global-default", "global-default"),
    ("system:unauthenticated", "global-default", "global-default"),
)

Headers = dict[str, str]


def headers(cluster: ServedCluster, user: User) -> Headers:
    """The X-Kubernetes-Pf-* headers for a user's requests; empty where the objects are gone."""
    known: dict[tuple[str, tuple[str, ...]], Headers] = cluster.memo.setdefault("flow", {})
    key = (user.name, user.groups)
    found = known.get(key)
    if found is None:
        found = _headers(cluster, user)
        if len(user.name) + sum(map(len, user.groups)) > _LONGEST:
            return found  # names come from strangers who impersonate
        if len(known) >= _KEPT:
            known.clear()
        known[key] = found
    return found


def _headers(cluster: ServedCluster, user: User) -> Headers:
    schema, level = classify(user)
    found = {}
    objects = (("flowschema", "flowschemas", schema), ("prioritylevel", "prioritylevelconfigurations", level))
    for name, plural, of in objects:
        item = cluster.view.get(f"{_GROUP}/{plural}", "", of)
        if item is not None:
            found[f"x-kubernetes-pf-{name}-uid"] = str(item["metadata"]["uid"])
    return found


def classify(user: User) -> tuple[str, str]:
    """(flow schema, priority level) by name."""
    names = {user.name, *user.groups}
    for subject, schema, level in _RULES:
        if subject in names:
            return schema, level
    return "catch-all", "catch-all"
