"""Semantic versions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from kloster.apimachinery import golang
from kloster.apimachinery.cel import types
from kloster.apimachinery.cel.problems import EvaluationError
from kloster.apimachinery.cel.values import Opaque

from . import costs

if TYPE_CHECKING:
    from collections.abc import Callable

    from kloster.apimachinery.cel.declarations import Collection

TYPE = types.struct("kubernetes.Semver")
_IDENTIFIER = re.compile(r"[0-9A-Za-z-]+", re.ASCII)


class SemverValue(Opaque):
    """Major, minor, patch and what comes before a release; builds do not count."""

    __slots__ = ("before", "numbers")
    type = TYPE

    def __init__(self, numbers: tuple[int, int, int], before: tuple[str, ...]) -> None:
        self.numbers = numbers
        self.before = before

    def same(self, other: Any) -> bool:
        return _compare(self, other) == 0


def _parse(text: str, normalize: bool = False) -> SemverValue:
    text = _normalized(text) if normalize else text
    if not text:
        raise EvaluationError("Version string empty")
    parts = text.split(".", 2)
    if len(parts) != 3:
        raise EvaluationError("No Major.Minor.Patch elements found")
    patch, _, build = parts[2].partition("+")
    patch, dash, before = patch.partition("-")
    numbers = tuple(_number(part, name) for part, name in zip((*parts[:2], patch), _NAMES, strict=True))
    identifiers = tuple(before.split(".")) if dash else ()
    for each in identifiers:
        _identifier(each)
    if "+" in parts[2]:
        for each in build.split("."):
            if not each:
                raise EvaluationError("Build meta data is empty")
            if not _IDENTIFIER.fullmatch(each):
                raise EvaluationError(f"Invalid character(s) found in build meta data {golang.quoted(each)}")
    return SemverValue((numbers[0], numbers[1], numbers[2]), identifiers)


_NAMES = ("major", "minor", "patch")


def _number(text: str, name: str) -> int:
    if not (text.isascii() and text.isdigit()):
        if text:
            raise EvaluationError(f"Invalid character(s) found in {name} number {golang.quoted(text)}")
        raise EvaluationError('strconv.ParseUint: parsing "": invalid syntax')
    if len(text) > 1 and text.startswith("0"):
        capital = name.capitalize()
        raise EvaluationError(f"{capital} number must not contain leading zeroes {golang.quoted(text)}")
    if len(text) > 20 or int(text) >= 2**64:
        raise EvaluationError(f"strconv.ParseUint: parsing {golang.quoted(text)}: value out of range")
    return int(text)


def _identifier(text: str) -> None:
    if not text:
        raise EvaluationError("Prerelease is empty")
    if text.isascii() and text.isdigit():
        if len(text) > 1 and text.startswith("0"):
            raise EvaluationError(f"Numeric PreRelease version must not contain leading zeroes {golang.quoted(text)}")
    elif not _IDENTIFIER.fullmatch(text):
        raise EvaluationError(f"Invalid character(s) found in prerelease {golang.quoted(text)}")


def _normalized(text: str) -> str:
    parts = text.removeprefix("v").split(".", 2)
    for at, part in enumerate(parts):
        if len(part) > 1:
            stripped = part.lstrip("0")
            parts[at] = stripped if stripped[:1].isdigit() else "0" + stripped
    if len(parts) < 3:
        if re.search(r"[+-]", parts[-1]):
            raise EvaluationError("short version cannot contain PreRelease/Build meta data")
        parts += ["0"] * (3 - len(parts))
    return ".".join(parts)


def _is_semver(text: str, normalize: bool = False) -> bool:
    try:
        _parse(text, normalize)
    except EvaluationError:
        return False
    return True


def _compare(left: SemverValue, right: SemverValue) -> int:
    if left.numbers != right.numbers:
        return 1 if left.numbers > right.numbers else -1
    if not left.before or not right.before:
        return bool(right.before) - bool(left.before)
    mine = [_rank(each) for each in left.before]
    theirs = [_rank(each) for each in right.before]
    return (mine > theirs) - (mine < theirs)


def _rank(identifier: str) -> tuple[int, int, str]:
    return (0, int(identifier), "") if identifier.isdigit() else (1, 0, identifier)


def _part(at: int) -> Callable[[SemverValue], int]:
    return lambda value: value.numbers[at]


def declare(into: Collection) -> None:
    name = TYPE.name
    into.add("string_to_semver", f"semver(string) -> {name}", _parse, costs.first)
    into.add("string_bool_to_semver", f"semver(string, bool) -> {name}", _parse, costs.first)
    into.add("is_semver_string", "isSemver(string) -> bool", _is_semver, costs.first)
    into.add("is_semver_string_bool", "isSemver(string, bool) -> bool", _is_semver, costs.first)
    into.add("semver_is_greater_than", f"{name}::isGreaterThan({name}) -> bool", lambda a, b: _compare(a, b) > 0)
    into.add("semver_is_less_than", f"{name}::isLessThan({name}) -> bool", lambda a, b: _compare(a, b) < 0)
    into.add("semver_compare_to", f"{name}::compareTo({name}) -> int", _compare)
    for at, part in enumerate(_NAMES):
        into.add(f"semver_{part}", f"{name}::{part}() -> int", _part(at))
