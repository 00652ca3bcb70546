"""CEL expressions of webhooks and policies, as far as they can be checked without compiling them.

The types are compiled by the admission plugins that evaluate them (this layer does no CEL): here stand presence,
names, and uniqueness.
"""

from __future__ import annotations

import re

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, names

_MOST_CONDITIONS = 64
_matches_identifier = re.compile(r"[_a-zA-Z][_a-zA-Z0-9]*").fullmatch
_RESERVED = frozenset(
    {"true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function", "if", "import"}
    | {"let", "loop", "package", "namespace", "return", "var", "void", "while"}
)


def is_identifier(name: str) -> bool:
    return _matches_identifier(name) is not None and name not in _RESERVED


def validate_match_conditions(path: str, conditions: list[Object] | None) -> list[FieldError]:
    given = conditions or []
    found = [errors.too_many(path, len(given), _MOST_CONDITIONS)] if len(given) > _MOST_CONDITIONS else []
    seen = set()
    for index, condition in enumerate(given):
        at, name = f"{path}[{index}]", checks.text(condition.get("name"))
        if not checks.text(condition.get("expression")).strip():
            found.append(errors.required(f"{at}.expression"))
        if not name:
            found.append(errors.required(f"{at}.name"))
            continue
        found.extend(checks.complaints(f"{at}.name", name, names.qualified_name(name)))
        if name in seen:
            found.append(errors.duplicate(f"{at}.name", name))
        seen.add(name)
    return found


def validate_variables(path: str, variables: list[Object] | None) -> list[FieldError]:
    found = []
    for index, variable in enumerate(variables or ()):
        at, name = f"{path}[{index}]", checks.text(variable.get("name"))
        if not name.strip():
            found.append(errors.required(f"{at}.name", "name is not specified"))
        elif not is_identifier(name):
            found.append(errors.invalid_value(f"{at}.name", name, "must be a valid CEL identifier"))
        if not checks.text(variable.get("expression")).strip():
            found.append(errors.required(f"{at}.expression", "expression is not specified"))
    return found
