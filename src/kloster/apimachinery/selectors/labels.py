"""Label selectors: requirements, and the selectors that objects contain."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from kloster.apimachinery import Object
from kloster.apimachinery.errors import bad_request, shown
from kloster.apimachinery.selectors import matching
from kloster.apimachinery.selectors.matching import Matcher, compiled, everything, nothing
from kloster.apimachinery.selectors.names import key_errors, value_errors


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on a label. `operator` is one of ``= == != in notin exists ! gt lt``; values are sorted."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.operator == "exists":
            return self.key
        if self.operator == "!":
            return f"!{self.key}"
        if self.operator in ("in", "notin"):
            return f"{self.key} {self.operator} ({','.join(self.values)})"
        sign = {"gt": ">", "lt": "<"}.get(self.operator, self.operator)
        return f"{self.key}{sign}{','.join(self.values)}"


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold. `matches` takes the labels of an object. The empty selector matches everything."""

    requirements: tuple[Requirement, ...] = ()
    matches: Matcher = field(default=everything, compare=False, repr=False)

    @property
    def empty(self) -> bool:
        return not self.requirements and self.matches is not nothing

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


EVERYTHING = LabelSelector()
NOTHING = LabelSelector((), nothing)


def selector_of(requirements: Iterable[Requirement]) -> LabelSelector:
    ordered = tuple(sorted(requirements, key=lambda requirement: requirement.key))
    if len(ordered) > matching.FEW:
        return LabelSelector(ordered, matching.by_key(map(_condition, ordered)))
    return LabelSelector(ordered, compiled([_matcher(requirement) for requirement in ordered]))


def _condition(requirement: Requirement) -> tuple[str, bool, matching.Test]:
    key, operator, values = requirement.key, requirement.operator, requirement.values
    if operator in ("=", "==", "in"):
        return key, True, matching.one_of(values)
    if operator in ("!=", "notin"):
        return key, False, matching.none_of(values)
    if operator == "exists":
        return key, True, matching.anything
    if operator == "!":
        return key, False, matching.never
    return key, True, _comparison(requirement)


def _matcher(requirement: Requirement) -> Matcher:
    key, operator, values = requirement.key, requirement.operator, frozenset(requirement.values)
    if operator in ("=", "==", "in"):
        if len(values) == 1:
            (only,) = values
            return lambda labels: labels.get(key) == only
        return lambda labels: labels.get(key) in values
    if operator in ("!=", "notin"):
        return lambda labels: labels.get(key) not in values
    if operator == "exists":
        return lambda labels: key in labels
    if operator == "!":
        return lambda labels: key not in labels
    compares = _comparison(requirement)
    return lambda labels: compares(labels.get(key))


def _comparison(requirement: Requirement) -> Callable[[str | None], bool]:
    bound = int(requirement.values[0])
    greater = requirement.operator == "gt"

    def compares(text: str | None) -> bool:
        number = _integer(text)
        return number is not None and (number > bound if greater else number < bound)

    return compares


def _integer(text: str | None) -> int | None:
    """A 64-bit integer as Go parses it, or None."""
    if text is None or not re.fullmatch(r"[+-]?[0-9]+", text):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


def of_set(labels: Mapping[str, str] | None) -> LabelSelector:
    """The selector for objects that carry all these labels; unchecked, as for Services and ReplicationControllers."""
    return selector_of(Requirement(key, "=", (value,)) for key, value in (labels or {}).items())


_OBJECT_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def of_object(selector: Object | None) -> LabelSelector:
    """The selector that a LabelSelector object means: None selects nothing, an empty one everything.

    Raises StatusError 400 for an invalid one; where it stands in an object, validation reports it first.
    """
    if selector is None:
        return NOTHING
    requirements = [checked(key, "=", (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        operator = expression.get("operator") or ""
        if operator not in _OBJECT_OPERATORS:
            raise bad_request(f"{shown(operator)} is not a valid label selector operator")
        values = tuple(expression.get("values") or ())
        requirements.append(checked(expression.get("key") or "", _OBJECT_OPERATORS[operator], values))
    return selector_of(requirements)


def checked(key: str, operator: str, values: tuple[str, ...]) -> Requirement:
    errors = [f"key: Invalid value: {shown(key)}: {'; '.join(found)}" for found in (key_errors(key),) if found]
    errors += _count_errors(operator, values)
    for index, value in enumerate(values):
        found = value_errors(value)
        if found:
            errors.append(f"values[{index}][{key}]: Invalid value: {shown(value)}: {'; '.join(found)}")
    if errors:
        distinct = list(dict.fromkeys(errors))
        raise bad_request(distinct[0] if len(distinct) == 1 else f"[{', '.join(distinct)}]")
    return Requirement(key, operator, tuple(sorted(values)))


def _count_errors(operator: str, values: tuple[str, ...]) -> list[str]:
    listed = shown(list(values)) if values else "[]"
    if operator in ("in", "notin"):
        text = "" if values else "for 'in', 'notin' operators, values set can't be empty"
    elif operator in ("exists", "!"):
        text = "values set must be empty for exists and does not exist" if values else ""
    elif operator in ("gt", "lt"):
        bad = [index for index, value in enumerate(values) if _integer(value) is None]
        return [
            f"values[{index}]: Invalid value: {shown(values[index])}:"
            " for 'Gt', 'Lt' operators, the value must be an integer"
            for index in bad
        ]
    else:
        text = ""
    return [f"values: Invalid value: {listed}: {text}"] if text else []
