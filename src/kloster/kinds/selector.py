"""metav1.LabelSelector: validation, text form and matching.

A selector is a conjunction of ``matchLabels`` (equality) and ``matchExpressions`` (In, NotIn, Exists, DoesNotExist).
An absent selector selects nothing, an empty one everything; which of both applies is the caller's affair.
Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from kloster.apimachinery.errors import FieldError, forbidden_field, invalid_value, required
from kloster.apimachinery.selectors import matching
from kloster.kinds import metadata, names

Selector = Mapping[str, Any]


def validate(selector: Selector | None, path: str, *, invalid_values: bool = False) -> list[FieldError]:
    """Findings about a selector. `invalid_values` tolerates malformed label values (stored by older versions)."""
    if not selector:
        return []
    found = metadata.validate_labels(selector.get("matchLabels"), f"{path}.matchLabels")
    for index, expression in enumerate(selector.get("matchExpressions") or ()):
        found.extend(validate_expression(expression, f"{path}.matchExpressions[{index}]", invalid_values))
    return found


def validate_values(expression: Selector, path: str) -> list[FieldError]:
    """Whether there are values just when the operator wants some."""
    found: list[FieldError] = []
    operator = expression.get("operator", "")
    values = expression.get("values") or []
    if operator in ("In", "NotIn"):
        if not values:
            found.append(required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'"))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            found.append(forbidden_field(f"{path}.values", text))
    else:
        found.append(invalid_value(f"{path}.operator", operator, "not a valid selector operator"))
    return found


def validate_expression(expression: Selector, path: str, invalid_values: bool = False) -> list[FieldError]:
    found = validate_values(expression, path)
    key = expression.get("key", "")
    found.extend(invalid_value(f"{path}.key", key, text) for text in names.qualified_name(key))
    if not invalid_values:
        for index, value in enumerate(expression.get("values") or ()):
            found.extend(invalid_value(f"{path}.values[{index}]", value, text) for text in names.label_value(value))
    return found


def is_empty(selector: Selector | None) -> bool:
    """Whether it has no requirement at all."""
    return not selector or not (selector.get("matchLabels") or selector.get("matchExpressions"))


def matches(selector: Selector, labels: Mapping[str, str] | None) -> bool:
    """Whether the labels fulfil every requirement."""
    labels = labels or {}
    equal: Mapping[str, str] = selector.get("matchLabels") or {}
    if len(equal) > len(labels):
        return False
    for key, value in equal.items():
        if labels.get(key) != value:
            return False
    expressions = selector.get("matchExpressions")
    if not expressions:
        return True
    if len(expressions) > matching.FEW or any(len(one.get("values") or ()) > _FEW_VALUES for one in expressions):
        return _arranged(expressions)(labels)
    return all(fulfils(expression, labels) for expression in expressions)


_FEW_VALUES = 16
_KEPT = 64
_MOST_KEPT = 50_000  # conditions of all of them
_arrangements: OrderedDict[int, tuple[Sequence[Selector], matching.Matcher]] = OrderedDict()


def _arranged(expressions: Sequence[Selector]) -> matching.Matcher:
    """The same, arranged by key. It is kept with the list that it was made of, a part of a stored object: these are
    never changed."""
    found = _arrangements.get(id(expressions))
    if found is not None and found[0] is expressions:
        return found[1]
    conditions = [condition for one in expressions if (condition := _condition(one)) is not None]
    matcher = matching.by_key(conditions) if len(conditions) == len(expressions) else matching.nothing
    _arrangements[id(expressions)] = (expressions, matcher)
    while len(_arrangements) > 1 and sum(len(kept) for kept, _ in tuple(_arrangements.values())) > _MOST_KEPT:
        _arrangements.popitem(last=False)
    while len(_arrangements) > _KEPT:
        _arrangements.popitem(last=False)
    return matcher


def _condition(expression: Selector) -> tuple[str, bool, matching.Test] | None:
    key, values = expression.get("key", ""), expression.get("values") or ()
    match expression.get("operator"):
        case "In":
            return key, True, matching.one_of(values)
        case "NotIn":
            return key, False, matching.none_of(values)
        case "Exists":
            return key, True, matching.anything
        case "DoesNotExist":
            return key, False, matching.never
    return None


def fulfils(expression: Selector, labels: Mapping[str, str]) -> bool:
    """Whether the labels fulfil one requirement (In, NotIn, Exists, DoesNotExist)."""
    key, values = expression.get("key", ""), expression.get("values") or ()
    match expression.get("operator"):
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return labels.get(key) not in values if key in labels else True
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False


def text(selector: Selector | None) -> str:
    """The selector as it stands in a query (``app=web,tier in (a,b)``), ``<none>`` if it is empty.

    Requirements are sorted by key; an invalid one makes the whole ``<error>``.
    """
    if not selector:
        return "<none>"
    parts: list[tuple[str, str]] = []
    for key, value in (selector.get("matchLabels") or {}).items():
        if names.qualified_name(key) or names.label_value(value):
            return "<error>"
        parts.append((key, f"{key}={value}"))
    for expression in selector.get("matchExpressions") or ():
        if validate_expression(expression, ""):
            return "<error>"
        parts.append((expression["key"], _expression_text(expression)))
    parts.sort(key=lambda part: part[0])
    return ",".join(part for _, part in parts) or "<none>"


def _expression_text(expression: Selector) -> str:
    key = str(expression["key"])
    values = ",".join(sorted(expression.get("values") or ()))
    match expression.get("operator"):
        case "In":
            return f"{key} in ({values})"
        case "NotIn":
            return f"{key} notin ({values})"
        case "Exists":
            return key
    return f"!{key}"
