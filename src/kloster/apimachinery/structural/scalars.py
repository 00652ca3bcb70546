"""What a schema demands of texts and numbers: lengths, patterns, bounds, multiples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.structural import patterns
from kloster.apimachinery.structural.findings import NONE, Finding, invalid, number


def check_string(raw: Object, value: str, path: str) -> Sequence[Finding]:
    limit = raw.get("maxLength")
    if limit is not None and len(value) > limit:
        message = f"{path} in body should be at most {limit} chars long"
        return [Finding(message, path, "FieldValueTooLong", errors.too_long("", limit).text)]
    least = raw.get("minLength")
    if least is not None and len(value) < least:
        return [invalid(path, value, f"{path} in body should be at least {least} chars long")]
    pattern = raw.get("pattern")
    if pattern:
        try:
            if not patterns.matches(pattern, value):
                return [invalid(path, value, f"{path} in body should match '{pattern}'")]
        except patterns.PatternError as error:
            text = f"{path} in body should match '{pattern}, but pattern is invalid: {error}'"
            return [invalid(path, value, text)]
    return NONE


def check_number(raw: Object, value: int | float, path: str) -> Sequence[Finding]:
    found: list[Finding] = []
    factor, least, most = raw.get("multipleOf"), raw.get("minimum"), raw.get("maximum")
    # Bounds count as whole numbers where the value is one.
    shape: Callable[[Any], int | float] = int if value.__class__ is int else float
    if factor is not None:
        found.extend(_check_factor(value, shape(factor), path))
    if least is not None:
        bound, exclusive = shape(least), raw.get("exclusiveMinimum")
        if value < bound or (exclusive and value == bound):
            word = "greater than" if exclusive else "greater than or equal to"
            found.append(invalid(path, value, f"{path} in body should be {word} {number(bound)}"))
    if most is not None:
        bound, exclusive = shape(most), raw.get("exclusiveMaximum")
        if value > bound or (exclusive and value == bound):
            word = "less than" if exclusive else "less than or equal to"
            found.append(invalid(path, value, f"{path} in body should be {word} {number(bound)}"))
    return found


def _check_factor(value: int | float, factor: int | float, path: str) -> Sequence[Finding]:
    if factor <= 0:
        text = f"factor MultipleOf declared for {path} must be positive: {number(factor)}"
        return [Finding(text, path, "FieldValueInvalid", errors.invalid_value("", factor, text).text)]
    if value.__class__ is int:
        good = value % factor == 0
    else:
        good = _whole(1 / factor * value if factor < 1 else value / factor)
    return NONE if good else [invalid(path, value, f"{path} in body should be a multiple of {number(factor)}")]


def _whole(value: float) -> bool:
    """Nearly whole: within the error of the division."""
    nearest = round(value)
    return value == nearest or abs(value - nearest) < 1e-9 * max(abs(value), abs(nearest))
