"""Match conditions: whether a webhook or a policy is to be asked about a request. They all have to hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.cel import types
from kloster.apimachinery.policies import environment
from kloster.apimachinery.policies.expressions import CONDITIONS_BUDGET, Bindings, Expression, OutOfBudget


@dataclass(frozen=True, slots=True, eq=False)
class Conditions:
    """Compiled conditions, by name."""

    named: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether all conditions hold; `error` if some could not be evaluated and none is false."""

    matches: bool
    error: str = ""


def compile_match_conditions(conditions: Sequence[Object], minor: int, *, params: bool = False) -> Conditions:
    """The matchConditions of a webhook or a policy in Kubernetes 1.`minor`. Compiled once, whoever asks."""
    pairs = tuple((str(each.get("name") or ""), str(each.get("expression") or "")) for each in conditions)
    return _compiled(pairs, minor, params)


@lru_cache(maxsize=1024)
def _compiled(pairs: tuple[tuple[str, str], ...], minor: int, params: bool) -> Conditions:
    seen = environment.of(minor, params=params, authorizer=True)
    return Conditions(tuple((name, Expression(text, seen, (types.BOOL,))) for name, text in pairs))


def evaluate(conditions: Conditions, values: Mapping[str, Any]) -> Verdict:
    """`values`: object, oldObject, request (an AdmissionRequest without the objects), authorizer,
    authorizer.requestResource, and params if they were compiled with them."""
    bindings = Bindings(values, CONDITIONS_BUDGET)
    problems: list[str] = []
    for _, expression in conditions.named:
        try:
            value, problem = bindings.evaluate(expression)
        except OutOfBudget as spent:
            return Verdict(False, str(spent))
        if problem:
            problems.append(problem)
        elif value is False:
            return Verdict(False)
    if not problems:
        return Verdict(True)
    unique = list(dict.fromkeys(problems))
    return Verdict(False, unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]")
