"""Everything of a pod's spec beside containers and volumes: where and how it runs.

Selectors that look at other pods are confined to this cluster and translated; those that look at nodes pass.
The tenant's priority class means nothing on the host and stays behind; so does its scheduler's name.

A taint keeps pods off nodes that are meant for somebody else, and tenants are not asked whether they mind: a toleration
crosses if it is of a node's condition (``node.kubernetes.io/…``), or of a key that ``policies.tolerations`` of the
VirtualCluster names. The others stay behind, and the pod runs where none is needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kloster.apimachinery import Object
from kloster.client.resources import NAMESPACES
from kloster.placement.affinity import selects
from kloster.syncer.translator import Refused, World

COPIED = (
    "restartPolicy",
    "terminationGracePeriodSeconds",
    "activeDeadlineSeconds",
    "dnsPolicy",
    "dnsConfig",
    "nodeSelector",
    "hostNetwork",
    "hostPID",
    "hostIPC",
    "hostUsers",
    "shareProcessNamespace",
    "securityContext",
    "subdomain",
    "hostAliases",
    "readinessGates",
    "runtimeClassName",
    "os",
    "setHostnameAsFQDN",
    "resources",
)


def translate(world: World, virtual: Object) -> Object:
    """The host pod's scalar and scheduling fields."""
    spec, metadata = virtual["spec"], virtual["metadata"]
    check_size(spec)
    host = {field: spec[field] for field in COPIED if field in spec}
    tolerated = tolerations(spec, world.policy)
    if tolerated:
        host["tolerations"] = tolerated
    if not spec.get("hostNetwork"):
        host["hostname"] = spec.get("hostname") or metadata["name"][:63].rstrip("-.").replace(".", "-")
    if spec.get("imagePullSecrets"):
        host["imagePullSecrets"] = [
            {"name": world.tenancy.name(one["name"], metadata["namespace"])} for one in spec["imagePullSecrets"]
        ]
    if spec.get("affinity"):
        host["affinity"] = _affinity(world, virtual, spec["affinity"])
    if spec.get("nodeName"):
        host["affinity"] = _on_node(host.get("affinity") or {}, "In", spec["nodeName"])
    for node in sorted(world.lost):
        host["affinity"] = _on_node(host.get("affinity") or {}, "NotIn", node)
    if spec.get("topologySpreadConstraints"):
        host["topologySpreadConstraints"] = [_spread(world, virtual, one) for one in spec["topologySpreadConstraints"]]
    return host


MOST_TERMS = 32
MOST_PARTS = 256
MOST_NAMESPACES = 1000
"""What the host's scheduler asks of every node and of the pods there, for every pod that it places, whosesoever."""


def check_size(spec: Object) -> None:
    """Raises Refused for a pod that would keep the scheduler from the pods of others."""
    affinity = spec.get("affinity") or {}
    terms = [*_terms(affinity), *(spec.get("topologySpreadConstraints") or ())]
    if len(terms) > MOST_TERMS:
        raise Refused(f"the pod has {len(terms)} terms of affinity and spreading; {MOST_TERMS} may cross to the host")
    parts = sum(map(_parts, terms)) + len(spec.get("tolerations") or ()) + len(spec.get("nodeSelector") or ())
    if parts > MOST_PARTS:
        text = "requirements, values, labels and tolerations that say where it runs"
        raise Refused(f"the pod has {parts} {text}; {MOST_PARTS} may cross to the host")


def _terms(affinity: Object) -> Iterator[Object]:
    for name, part in affinity.items():
        wanted, liked = part.get(_REQUIRED) or (), part.get(_PREFERRED) or ()
        if name == "nodeAffinity":
            yield from (wanted["nodeSelectorTerms"] or ()) if wanted else ()
            yield from (one["preference"] for one in liked)
        else:
            yield from wanted
            yield from (one["podAffinityTerm"] for one in liked)


def _parts(term: Object) -> int:
    """How much there is to compare in a term."""
    found = len(term.get("namespaces") or ())
    for chosen in (term, term.get("labelSelector") or {}, term.get("namespaceSelector") or {}):
        expressions = [*(chosen.get("matchExpressions") or ()), *(chosen.get("matchFields") or ())]
        found += len(chosen.get("matchLabels") or ()) + sum(1 + len(one.get("values") or ()) for one in expressions)
    return found


_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
CONDITIONS = "node.kubernetes.io/"


def tolerations(spec: Object, policy: Mapping[str, Any]) -> list[Object]:
    """Those of a virtual pod's tolerations that cross. One without a key tolerates every taint."""
    allowed = policy.get("tolerations") or ()
    return [
        one
        for one in spec.get("tolerations") or ()
        if "*" in allowed or one.get("key") in allowed or (one.get("key") or "").startswith(CONDITIONS)
    ]


def apart(spec: Object) -> frozenset[str]:
    """The nodes that a pod must not be on, whatever else there is."""
    wanted = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(_REQUIRED) or {}
    fields = [one for term in wanted.get("nodeSelectorTerms") or () for one in term.get("matchFields") or ()]
    return frozenset(name for one in fields if one["operator"] == "NotIn" for name in one.get("values") or ())


def _on_node(affinity: Object, operator: str, node: str) -> Object:
    """A tenant's choice of a node is a wish to the host's scheduler: it must not get around taints and capacity."""
    field = "requiredDuringSchedulingIgnoredDuringExecution"
    on_nodes = affinity.get("nodeAffinity") or {}
    terms = (on_nodes.get(field) or {}).get("nodeSelectorTerms") or [{}]
    this = {"key": "metadata.name", "operator": operator, "values": [node]}
    confined = [{**term, "matchFields": [*(term.get("matchFields") or ()), this]} for term in terms]
    return {**affinity, "nodeAffinity": {**on_nodes, field: {"nodeSelectorTerms": confined}}}


def _spread(world: World, virtual: Object, constraint: Object) -> Object:
    """A spread constraint counts the tenant's own pods of the same namespace."""
    host = {key: value for key, value in constraint.items() if key != "matchLabelKeys"}
    namespaces = (virtual["metadata"]["namespace"],)
    host["labelSelector"] = world.tenancy.selector(_with_keys(constraint, virtual), namespaces)
    return host


def _with_keys(constraint: Object, virtual: Object) -> Object:
    """The selector with matchLabelKeys resolved: their values are the pod's own labels."""
    selector = constraint.get("labelSelector") or {}
    labels = virtual["metadata"].get("labels") or {}
    more = [
        {"key": key, "operator": "In", "values": [labels[key]]}
        for key in constraint.get("matchLabelKeys") or ()
        if key in labels
    ]
    return {**selector, "matchExpressions": [*(selector.get("matchExpressions") or ()), *more]}


def _affinity(world: World, virtual: Object, affinity: Object) -> Object:
    translated: Object = {}
    if affinity.get("nodeAffinity"):
        translated["nodeAffinity"] = affinity["nodeAffinity"]
    for field in ("podAffinity", "podAntiAffinity"):
        part = affinity.get(field)
        if not part:
            continue
        translated[field] = {}
        required = part.get("requiredDuringSchedulingIgnoredDuringExecution")
        if required:
            terms = [_term(world, virtual, one) for one in required]
            translated[field]["requiredDuringSchedulingIgnoredDuringExecution"] = terms
        preferred = part.get("preferredDuringSchedulingIgnoredDuringExecution")
        if preferred:
            translated[field]["preferredDuringSchedulingIgnoredDuringExecution"] = [
                {"weight": one["weight"], "podAffinityTerm": _term(world, virtual, one["podAffinityTerm"])}
                for one in preferred
            ]
    return translated


def _term(world: World, virtual: Object, term: Object) -> Object:
    """One term: the tenant's namespaces are labels in the cluster's single host namespace."""
    own = virtual["metadata"]["namespace"]
    names: Iterable[str] = term.get("namespaces") or ()
    selector = term.get("namespaceSelector")
    if selector is not None:
        chosen = [
            one["metadata"]["name"]
            for one in world.virtual_list(NAMESPACES, "")
            if selects(selector, one["metadata"].get("labels") or {})
        ]
        names = [*names, *chosen]
        if len(names) > MOST_NAMESPACES:
            text = "a term of the pod's affinity selects more namespaces than may cross to the host"
            raise Refused(f"{text}: {len(names)} instead of {MOST_NAMESPACES}")
    elif not names:
        names = (own,)
    return {
        "topologyKey": term["topologyKey"],
        "labelSelector": world.tenancy.selector(term.get("labelSelector"), tuple(names) or ("",)),
    }
