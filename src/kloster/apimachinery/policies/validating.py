"""A ValidatingAdmissionPolicy compiled, and what it finds in a request: decisions and annotations for the audit log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from kloster.apimachinery import Object
from kloster.apimachinery.cel import types
from kloster.apimachinery.cel.declarations import Environment
from kloster.apimachinery.cel.types import Type
from kloster.apimachinery.policies import conditions, environment
from kloster.apimachinery.policies.expressions import Bindings, Expression, OutOfBudget, Variables

_LONGEST_MESSAGE = 5 * 1024
ADMIT, DENY = "admit", "deny"


@dataclass(frozen=True, slots=True)
class Decision:
    """What one validation came to."""

    action: str
    message: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Annotation:
    """What an audit annotation came to: a value, or an error that denies."""

    key: str
    value: str = ""
    error: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    decisions: tuple[Decision, ...] = ()
    annotations: tuple[Annotation, ...] = ()


def compile_policy(spec: Object, minor: int) -> Policy:
    """The policy of a spec in Kubernetes 1.`minor`. Compiled once, whoever has it."""
    return _compiled(orjson.dumps(spec, option=orjson.OPT_SORT_KEYS), minor)


@lru_cache(maxsize=512)
def _compiled(text: bytes, minor: int) -> Policy:
    return Policy(orjson.loads(text), minor)


def declare_variables(spec: Object, base: Environment) -> tuple[Environment, dict[str, Expression]]:
    """The environment with a policy's variables, each of which sees those before it."""
    known: dict[str, Type] = {}
    made: dict[str, Expression] = {}
    seen = environment.with_variables(base, known)
    for variable in spec.get("variables") or ():
        name = str(variable.get("name") or "")
        made[name] = Expression(str(variable.get("expression") or ""), seen)
        known[name] = made[name].type
        seen = environment.with_variables(base, known)
    return seen, made


class Policy:
    """Compiled expressions of a policy."""

    def __init__(self, spec: Object, minor: int) -> None:
        params = spec.get("paramKind") is not None
        self._ignore = spec.get("failurePolicy") == "Ignore"
        given = spec.get("matchConditions") or ()
        self._conditions = conditions.compile_match_conditions(given, minor, params=params) if given else None
        whole, self._variables = declare_variables(spec, environment.of(minor, params=params, authorizer=True))
        plain, _ = declare_variables(spec, environment.of(minor, params=params, authorizer=False))
        self._validations = [
            (each, Expression(each["expression"], whole, (types.BOOL,))) for each in spec.get("validations") or ()
        ]
        self._messages = [
            Expression(each["messageExpression"], plain, (types.STRING,)) if each.get("messageExpression") else None
            for each, _ in self._validations
        ]
        self._annotations = [
            (each["key"], Expression(each["valueExpression"], plain, (types.STRING, types.NULL)))
            for each in spec.get("auditAnnotations") or ()
        ]

    def validate(self, values: Mapping[str, Any]) -> Outcome:
        """`values` as for match conditions, and namespaceObject and params."""
        if self._conditions is not None:
            verdict = conditions.evaluate(self._conditions, values)
            if verdict.error:
                return Outcome((self._failed(verdict.error),))
            if not verdict.matches:
                return Outcome()
        bindings = Bindings(dict(values))
        bindings.values = {**values, "variables": Variables(self._variables, bindings)}
        try:
            results = [bindings.evaluate(expression) for _, expression in self._validations]
        except OutOfBudget as spent:
            return Outcome((self._failed(str(spent)),))
        decisions = self._decide(results, bindings)
        bindings = Bindings(dict(values))
        bindings.values = {**values, "variables": Variables(self._variables, bindings)}
        try:
            annotations = [self._annotation(key, expression, bindings) for key, expression in self._annotations]
        except OutOfBudget as spent:
            return Outcome((self._failed(str(spent)),))
        return Outcome(tuple(decisions), tuple(each for each in annotations if each is not None))

    def _failed(self, message: str) -> Decision:
        return Decision(ADMIT if self._ignore else DENY, message)

    def _decide(self, results: list[tuple[Any, str]], bindings: Bindings) -> list[Decision]:
        decisions = []
        for (validation, _), expression, (value, problem) in zip(
            self._validations, self._messages, results, strict=True
        ):
            if problem:
                decisions.append(self._failed(problem))
            elif value is True:
                decisions.append(Decision(ADMIT))
            else:
                try:
                    message = _message(validation, expression, bindings)
                except OutOfBudget as spent:
                    decisions.append(self._failed(f"failed messageExpression: {spent}"))
                    continue
                decisions.append(Decision(DENY, message, validation.get("reason") or "Invalid"))
        return decisions

    def _annotation(self, key: str, expression: Expression, bindings: Bindings) -> Annotation | None:
        value, problem = bindings.evaluate(expression)
        if problem:
            return None if self._ignore else Annotation(key, error=problem)
        text = value.strip() if isinstance(value, str) else ""
        return Annotation(key, text) if text else None


def _message(validation: Object, expression: Expression | None, bindings: Bindings) -> str:
    text = ""
    if expression is not None:
        value, problem = bindings.evaluate(expression)
        if not problem and isinstance(value, str):
            text = value.strip()
        if len(text.encode()) > _LONGEST_MESSAGE or "\n" in text:
            text = ""
    text = text or str(validation.get("message") or "").strip()
    return text or f"failed expression: {validation['expression'].strip()}"
