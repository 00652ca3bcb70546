"""Labels of nodes that have given way to others, and what those are told who still select by them."""

from __future__ import annotations

from collections.abc import Iterator

from kloster.apimachinery import Object
from kloster.kinds import names

DEPRECATED = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}


def term_warnings(term: Object, path: str, *, values: bool = False) -> Iterator[str]:
    """What a node selector term is warned of; with `values`, of values as well that no label can have."""
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        at, key = f"{path}.matchExpressions[{index}]", expression.get("key", "")
        if key in DEPRECATED:
            yield f"{at}.key: {key} is {DEPRECATED[key]}"
        if values:
            for number, value in enumerate(expression.get("values") or ()):
                for text in names.label_value(value):
                    yield f"{at}.values[{number}]: {value} is invalid, {text}"


def selector_warnings(selector: Object | None, path: str) -> Iterator[str]:
    """The same for a label selector over nodes."""
    yield from term_warnings(selector or {}, path)
    for key in (selector or {}).get("matchLabels") or {}:
        if key in DEPRECATED:
            yield f"{path}.matchLabels.{key}: {DEPRECATED[key]}"
