"""Where a pod may run: node selectors, affinity, tolerations, spreading, gates.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kloster.apimachinery import Object
from kloster.apimachinery.errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
    too_many,
)
from kloster.kinds import checks, names, selector

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


MOST_TERMS = 1000
"""Terms of one kind, which upstream does not count: controllers and schedulers ask each of them of each node."""


def validate_tolerations(tolerations: Sequence[Object] | None, path: str) -> list[FieldError]:
    found = _count(tolerations, path)
    for index, toleration in enumerate(tolerations or ()):
        found.extend(_validate_toleration(toleration, f"{path}[{index}]"))
    return found


def _count(terms: Sequence[Object] | None, path: str) -> list[FieldError]:
    return [too_many(path, len(terms), MOST_TERMS)] if terms and len(terms) > MOST_TERMS else []


def _validate_toleration(toleration: Object, path: str) -> Iterable[FieldError]:
    key, operator = toleration.get("key") or "", toleration.get("operator") or ""
    value, effect = toleration.get("value") or "", toleration.get("effect") or ""
    if key:
        yield from checks.complaints(f"{path}.key", key, names.qualified_name(key))
    if not key and operator != "Exists":
        text = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield invalid_value(f"{path}.operator", operator, text)
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        yield invalid_value(f"{path}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
    if operator in ("", "Equal"):
        texts = names.label_value(value)
        if texts:
            yield invalid_value(f"{path}.operator", value, ";".join(texts))
    elif operator == "Exists":
        if value:
            yield invalid_value(f"{path}.operator", value, "value must be empty when `operator` is 'Exists'")
    else:
        yield not_supported(f"{path}.operator", operator, ("Equal", "Exists"))
    if effect:
        yield from validate_effect(effect, f"{path}.effect")


def validate_effect(effect: str, path: str) -> list[FieldError]:
    return checks.supported(path, effect, EFFECTS)


def validate_node_selector_requirement(expression: Object, path: str, lenient: bool = False) -> Iterable[FieldError]:
    """A requirement of node affinity. `lenient` tolerates malformed label values (preferred terms)."""
    operator, values = expression.get("operator") or "", expression.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            yield required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            yield forbidden_field(f"{path}.values", text)
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            yield required(f"{path}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'")
    else:
        yield invalid_value(f"{path}.operator", operator, "not a valid selector operator")
    key = expression.get("key") or ""
    yield from checks.complaints(f"{path}.key", key, names.qualified_name(key))
    if not lenient:
        for index, value in enumerate(values):
            yield from checks.complaints(f"{path}.values[{index}]", value, names.label_value(value))


def _validate_field_requirement(expression: Object, path: str) -> Iterable[FieldError]:
    operator, values = expression.get("operator") or "", expression.get("values") or ()
    if operator not in ("In", "NotIn"):
        yield invalid_value(f"{path}.operator", operator, "not a valid selector operator")
    elif len(values) != 1:
        text = "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
        yield required(f"{path}.values", text)
    if expression.get("key") != "metadata.name":
        yield invalid_value(f"{path}.key", expression.get("key") or "", "not a valid field selector key")
        return
    for index, value in enumerate(values):
        yield from checks.complaints(f"{path}.values[{index}]", value, names.subdomain(value))


def _validate_node_term(term: Object, path: str, lenient: bool = False) -> Iterable[FieldError]:
    yield from _count(term.get("matchExpressions"), f"{path}.matchExpressions")
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        yield from validate_node_selector_requirement(expression, f"{path}.matchExpressions[{index}]", lenient)
    for index, expression in enumerate(term.get("matchFields") or ()):
        yield from _validate_field_requirement(expression, f"{path}.matchFields[{index}]")


def validate_node_selector(node_selector: Object, path: str) -> Iterable[FieldError]:
    terms = node_selector.get("nodeSelectorTerms")
    if not terms:
        yield required(f"{path}.nodeSelectorTerms", "must have at least one node selector term")
    yield from _count(terms, f"{path}.nodeSelectorTerms")
    for index, term in enumerate(terms or ()):
        yield from _validate_node_term(term, f"{path}.nodeSelectorTerms[{index}]")


def internal_terms(terms: Iterable[Object]) -> list[Object]:
    """Node selector terms as upstream's internal type shows itself inside an error."""

    def expressions(listed: Iterable[Object] | None) -> list[Object] | None:
        return [
            {"Key": item.get("key", ""), "Operator": item.get("operator", ""), "Values": item.get("values")}
            for item in listed or ()
        ] or None

    return [
        {
            "MatchExpressions": expressions(term.get("matchExpressions")),
            "MatchFields": expressions(term.get("matchFields")),
        }
        for term in terms
    ]


def _weight(term: Object, path: str) -> Iterable[FieldError]:
    weight = term.get("weight") or 0
    if not 0 < weight <= 100:
        yield invalid_value(f"{path}.weight", weight, "must be in the range 1-100")


def validate_affinity(affinity: Object | None, path: str) -> Iterable[FieldError]:
    affinity = affinity or {}
    node = affinity.get("nodeAffinity") or {}
    if node.get(_REQUIRED) is not None:
        yield from validate_node_selector(node[_REQUIRED], f"{path}.nodeAffinity.{_REQUIRED}")
    yield from _count(node.get(_PREFERRED), f"{path}.nodeAffinity.{_PREFERRED}")
    for index, term in enumerate(node.get(_PREFERRED) or ()):
        at = f"{path}.nodeAffinity.{_PREFERRED}[{index}]"
        yield from _weight(term, at)
        yield from _validate_node_term(term.get("preference") or {}, f"{at}.preference", lenient=True)
    for name in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(name) or {}
        for strength in (_REQUIRED, _PREFERRED):
            yield from _count(rules.get(strength), f"{path}.{name}.{strength}")
        for index, term in enumerate(rules.get(_REQUIRED) or ()):
            yield from _validate_pod_term(term, f"{path}.{name}.{_REQUIRED}[{index}]")
        for index, term in enumerate(rules.get(_PREFERRED) or ()):
            at = f"{path}.{name}.{_PREFERRED}[{index}]"
            yield from _weight(term, at)
            yield from _validate_pod_term(term.get("podAffinityTerm") or {}, f"{at}.podAffinityTerm")


def _validate_pod_term(term: Object, path: str) -> Iterable[FieldError]:
    yield from selector.validate(term.get("labelSelector"), f"{path}.labelSelector")
    yield from selector.validate(term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for name in term.get("namespaces") or ():
        yield from checks.complaints(f"{path}.namespace", name, names.label(name))
    yield from _validate_label_keys(term, path)
    key = term.get("topologyKey") or ""
    if not key:
        yield required(f"{path}.topologyKey", "can not be empty")
    yield from checks.complaints(f"{path}.topologyKey", key, names.qualified_name(key))


def _validate_label_keys(term: Object, path: str) -> Iterable[FieldError]:
    """matchLabelKeys and mismatchLabelKeys: label names, distinct from each other and from the selector's keys."""
    labels = term.get("labelSelector")
    match, mismatch = term.get("matchLabelKeys") or (), term.get("mismatchLabelKeys") or ()
    for field, keys in (("matchLabelKeys", match), ("mismatchLabelKeys", mismatch)):
        if keys and labels is None:
            yield forbidden_field(f"{path}.{field}", "must not be specified when labelSelector is not set")
            continue
        for index, key in enumerate(keys):
            yield from checks.complaints(f"{path}.{field}[{index}]", key, names.qualified_name(key))
    if labels is not None:
        positions = {key: index for index, key in enumerate(match)}
        seen = set(labels.get("matchLabels") or ())
        for expression in labels.get("matchExpressions") or ():
            key = expression.get("key") or ""
            # The API server has already added one expression for each of the keys.
            if key in positions and key in seen:
                at = f"{path}[{positions[key]}]"
                yield invalid_value(at, key, "exists in both matchLabelKeys and labelSelector")
            seen.add(key)
    refused = frozenset(mismatch)
    for index, key in enumerate(match):
        if key in refused:
            at = f"{path}.matchLabelKeys[{index}]"
            yield invalid_value(at, key, "exists in both matchLabelKeys and mismatchLabelKeys")


def validate_topology_spread(constraints: Sequence[Object] | None, path: str) -> Iterable[FieldError]:
    constraints = constraints or ()
    if len(constraints) > MOST_TERMS:  # each is compared with each
        yield from _count(constraints, path)
        return
    for index, constraint in enumerate(constraints):
        yield from _validate_constraint(constraint, constraints[index + 1 :], f"{path}[{index}]")


def _validate_constraint(constraint: Object, others: Sequence[Object], path: str) -> Iterable[FieldError]:
    skew, key = constraint.get("maxSkew") or 0, constraint.get("topologyKey") or ""
    action = constraint.get("whenUnsatisfiable") or ""
    if skew <= 0:
        yield invalid_value(f"{path}.maxSkew", skew, "must be greater than zero")
    if not key:
        yield required(f"{path}.topologyKey", "can not be empty")
    yield from checks.supported(f"{path}.whenUnsatisfiable", action, ("DoNotSchedule", "ScheduleAnyway"))
    if any((other.get("topologyKey") or "", other.get("whenUnsatisfiable") or "") == (key, action) for other in others):
        yield duplicate(f"{path}.{{topologyKey, whenUnsatisfiable}}", f"{{{key}, {action}}}")
    domains = constraint.get("minDomains")
    if domains is not None:
        if domains <= 0:
            yield invalid_value(f"{path}.minDomains", domains, "must be greater than zero")
        if action != "DoNotSchedule":
            text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
            yield invalid_value(f"{path}.minDomains", domains, text)
    for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
        if constraint.get(field) is not None:
            yield from checks.supported(f"{path}.{field}", constraint[field], ("Honor", "Ignore"))
    yield from _validate_label_keys({**constraint, "mismatchLabelKeys": ()}, path)
    yield from selector.validate(constraint.get("labelSelector"), f"{path}.labelSelector")


def validate_gates(gates: Sequence[Object] | None, path: str) -> Iterable[FieldError]:
    seen: set[str] = set()
    for index, gate in enumerate(gates or ()):
        name = gate.get("name") or ""
        yield from checks.complaints(f"{path}[{index}]", name, names.qualified_name(name))
        if name in seen:
            yield duplicate(f"{path}[{index}]", name)
        seen.add(name)
