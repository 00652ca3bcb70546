"""What a value violates, as upstream's validator tells it: findings, and how many checks were good.

Upstream knows a finding by its message, which is not shown: two of the same message are one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from kloster.apimachinery import errors, golang
from kloster.apimachinery.errors import FieldError


class Finding(NamedTuple):
    """`message` identifies it; `name` is its path, None for a finding about alternatives."""

    message: str
    name: str | None
    type: str
    text: str


NONE: Sequence[Finding] = ()
Found = tuple[Sequence[Finding], int]
"""The findings, and how many checks were good."""


MOST = 1000


def merged(into: Sequence[Finding], more: Sequence[Finding]) -> Sequence[Finding]:
    """Findings without repetitions; no more than anybody will be told."""
    if not more or len(into) >= MOST:
        return into
    known = {each.message for each in into}
    fresh = []
    for each in more:
        if each.message not in known:
            known.add(each.message)
            fresh.append(each)
    return [*into, *fresh]


def field_error(found: Finding, path: str) -> FieldError:
    """As it is shown, for a value that stands at `path` in the object."""
    name = (found.name or "").removeprefix(".")
    field = f"{path}.{name}" if path and name else path or name or "<nil>"
    return FieldError(found.type, field, found.text)


def wrong_type(path: str, wanted: str, given: str) -> Finding:
    message = f"{path} in body must be of type {wanted}: {quoted(given)}"
    return Finding(message, path, "FieldValueTypeInvalid", errors.type_invalid("", given, message).text)


def invalid(path: str, value: Any, message: str) -> Finding:
    return Finding(message, path, "FieldValueInvalid", errors.invalid_value("", value, message).text)


def composite(message: str) -> Finding:
    """About alternatives, which have no place of their own."""
    return Finding(message, None, "FieldValueInvalid", errors.invalid_value("", "", message).text)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def number(value: int | float) -> str:
    """As Go writes it."""
    return golang.general(value) if value.__class__ is float else str(value)
