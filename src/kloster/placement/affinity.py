"""Node selectors, node affinity and pod (anti-)affinity.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kloster.apimachinery import Object
from kloster.kinds import selector as label_selector


def matches_expression(expression: Object, labels: Mapping[str, str]) -> bool:
    """One match expression of a node selector: those of label selectors, and Gt and Lt."""
    key, operator = expression["key"], expression["operator"]
    if operator not in ("Gt", "Lt"):
        return label_selector.fulfils(expression, labels)
    if key not in labels:
        return False
    try:
        mine, limit = int(labels[key]), int((expression.get("values") or [])[0])
    except (ValueError, IndexError):
        return False
    return mine > limit if operator == "Gt" else mine < limit


def matches_term(term: Object, name: str, labels: Mapping[str, str]) -> bool:
    """One node selector term: all its expressions and fields; an empty term matches nothing."""
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    return all(matches_expression(one, labels) for one in expressions) and all(
        matches_expression(one, {"metadata.name": name}) for one in fields
    )


def node_matches(spec: Object, name: str, labels: Mapping[str, str]) -> bool:
    """Whether a node satisfies a pod's nodeSelector and required node affinity."""
    selector = spec.get("nodeSelector") or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        return False
    terms = required(spec)
    if terms is None:
        return True
    return any(matches_term(term, name, labels) for term in terms.get("nodeSelectorTerms", ()))


def node_preference(spec: Object, name: str, labels: Mapping[str, str]) -> int:
    """The sum of the weights of the preferred node affinity terms that match."""
    return sum(one["weight"] for one in preferred(spec) if matches_term(one["preference"], name, labels))


def required(spec: Object) -> Object | None:
    """The node selector of a pod's required node affinity."""
    return _node_affinity(spec).get("requiredDuringSchedulingIgnoredDuringExecution")


def preferred(spec: Object) -> Iterable[Object]:
    """The terms of a pod's preferred node affinity."""
    found: Iterable[Object] = _node_affinity(spec).get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    return found


def _node_affinity(spec: Object) -> Object:
    found: Object = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    return found


def selects(chosen: Object | None, labels: Mapping[str, str]) -> bool:
    """A metav1.LabelSelector: None selects nothing, an empty one everything."""
    return chosen is not None and label_selector.matches(chosen, labels)


def required_terms(pod: Object, field: str) -> Iterable[Object]:
    """The required terms of ``podAffinity`` or ``podAntiAffinity``."""
    affinity = (pod["spec"].get("affinity") or {}).get(field) or {}
    found: Iterable[Object] = affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or ()
    return found


def term_selects(term: Object, owner: Object, other: Object, namespaces: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether `other` is among the pods that a term of `owner` means. `namespaces`: name → labels."""
    other_namespace = other["metadata"].get("namespace", "")
    names = term.get("namespaces") or []
    selector = term.get("namespaceSelector")
    if not names and selector is None:
        inside = other_namespace == owner["metadata"].get("namespace", "")
    else:
        inside = other_namespace in names or (
            selector is not None and selects(selector, namespaces.get(other_namespace, {}))
        )
    return inside and selects(term.get("labelSelector"), other["metadata"].get("labels") or {})
