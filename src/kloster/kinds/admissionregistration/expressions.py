"""CEL expressions of webhooks and policies: presence, names, uniqueness, and whether they compile.

What is new is compiled with the functions of the minor before, as in definitions of custom resources.
"""

from __future__ import annotations

import re

from kloster.apimachinery import Object, errors
from kloster.apimachinery.cel import types
from kloster.apimachinery.cel.declarations import Environment
from kloster.apimachinery.cel.types import Type
from kloster.apimachinery.errors import FieldError
from kloster.apimachinery.policies import environment
from kloster.apimachinery.policies.expressions import Expression
from kloster.kinds import checks, names

_MOST_CONDITIONS = 64
_matches_identifier = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*").fullmatch
_RESERVED = frozenset(
    {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"}
    | {"let", "loop", "package", "namespace", "return", "var", "void", "while"}
)


def is_identifier(name: str) -> bool:
    return _matches_identifier(name) is not None and name not in _RESERVED


def compiled(path: str, source: str, seen: Environment, *returns: Type) -> list[FieldError]:
    """What is wrong with an expression that is there, if it does not compile to one of the types."""
    made = Expression(source, seen, returns)
    if not made.error:
        return []
    if made.error.startswith("program instantiation failed"):
        return [FieldError("InternalError", path, f"Internal error: {made.error}")]
    return [errors.invalid_value(path, source, made.error)]


def seen_by(spec: Object, minor: int, *, authorizer: bool = True) -> Environment:
    """What the expressions of a policy can name, before its variables."""
    return environment.of(minor - 1, params=spec.get("paramKind") is not None, authorizer=authorizer)


def validate_match_conditions(path: str, conditions: list[Object] | None, known: Environment) -> list[FieldError]:
    given = conditions or []
    found = [errors.too_many(path, len(given), _MOST_CONDITIONS)] if len(given) > _MOST_CONDITIONS else []
    seen = set()
    for index, condition in enumerate(given):
        at, name = f"{path}[{index}]", checks.text(condition.get("name"))
        expression = checks.text(condition.get("expression"))
        if not expression.strip():
            found.append(errors.required(f"{at}.expression"))
        else:
            found.extend(compiled(f"{at}.expression", expression, known, types.BOOL))
        if not name:
            found.append(errors.required(f"{at}.name"))
            continue
        found.extend(checks.complaints(f"{at}.name", name, names.qualified_name(name)))
        if name in seen:
            found.append(errors.duplicate(f"{at}.name", name))
        seen.add(name)
    return found


def validate_variables(path: str, variables: list[Object] | None, base: Environment) -> list[FieldError]:
    """Each variable sees those before it."""
    found = []
    known: dict[str, Type] = {}
    for index, variable in enumerate(variables or ()):
        at, name = f"{path}[{index}]", checks.text(variable.get("name"))
        if not name.strip():
            found.append(errors.required(f"{at}.name", "name is not specified"))
        elif not is_identifier(name):
            found.append(errors.invalid_value(f"{at}.name", name, "must be a valid CEL identifier"))
        expression = checks.text(variable.get("expression"))
        if not expression.strip():
            found.append(errors.required(f"{at}.expression", "expression is not specified"))
        else:
            seen = environment.with_variables(base, known)
            found.extend(compiled(f"{at}.expression", expression, seen))
            known[name] = Expression(expression, seen).type
    return found
