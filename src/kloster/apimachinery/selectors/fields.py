"""Field selectors: parsing, matching, and which fields may be asked for."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from kloster.apimachinery.errors import bad_request, shown
from kloster.apimachinery.selectors.matching import Matcher, compiled, everything


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One condition on a field: its value is (``=``) or is not (``!=``) the text."""

    field: str
    operator: str
    value: str

    def __str__(self) -> str:
        value = re.sub(r"[\\,=]", lambda match: "\\" + match[0], self.value)
        return f"{self.field}{self.operator}{value}"


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All terms must hold. `matches` takes the texts of the selectable fields; a missing field is an empty text."""

    terms: tuple[FieldTerm, ...] = ()
    matches: Matcher = field(default=everything, compare=False, repr=False)

    def exact(self, name: str) -> str | None:
        """The one value that a field must have, if the selector says so."""
        return next((term.value for term in self.terms if term.field == name and term.operator == "="), None)

    def __str__(self) -> str:
        return ",".join(map(str, self.terms))


ALL_FIELDS = FieldSelector()
MOST_TERMS = 1000
"""Every term is asked of every object, by a stranger while others wait."""

_METADATA = ("metadata.name", "metadata.namespace")


def parse_fields(text: str, selectable: Collection[str] | None = None) -> FieldSelector:
    """Parses a field selector; with `selectable`, only these fields (and an object's name and namespace) may stand in
    it. Raises StatusError 400 in upstream's words.

    Kinds without selectable fields of their own (`selectable` empty) answer in other words than those with some.
    """
    terms: list[FieldTerm] = []
    if text.count(",") > MOST_TERMS:
        raise bad_request(f"a field selector may have at most {MOST_TERMS} terms")
    for part in sorted(_split(text)):
        if not part:
            continue
        match = re.search("!=|==|=", part)
        if not match:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        name, value = part[: match.start()], _unescaped(part[match.end() :])
        if name or value:
            _check_selectable(name, selectable)
            terms.append(FieldTerm(name, "!=" if match[0] == "!=" else "=", value))
    if not terms:
        return ALL_FIELDS
    return FieldSelector(tuple(terms), compiled([_field_matcher(term) for term in terms]))


def _check_selectable(name: str, selectable: Collection[str] | None) -> None:
    if selectable is None or name in selectable or (name in _METADATA and not selectable):
        return
    if selectable and any(known not in _METADATA for known in selectable):
        if name not in _METADATA:
            raise bad_request(f"field label not supported: {name}")
    else:
        raise bad_request(f'{shown(name)} is not a known field selector: only "metadata.name", "metadata.namespace"')


def _field_matcher(term: FieldTerm) -> Matcher:
    name, value = term.field, term.value
    if term.operator == "=":
        return lambda fields: fields.get(name, "") == value
    return lambda fields: fields.get(name, "") != value


def _split(text: str) -> list[str]:
    """The terms, separated by commas that no backslash precedes."""
    terms, start, escaped = [], 0, False
    for index, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == ",":
            terms.append(text[start:index])
            start = index + 1
    return [*terms, text[start:]]


def _unescaped(text: str) -> str:
    def replaced(match: re.Match[str]) -> str:
        found: Any = match[0]
        if found in ("\\\\", "\\,", "\\="):
            return str(found[1])
        if found[0] == "\\":
            raise bad_request(f"invalid field selector: invalid escape sequence: {found}")
        raise bad_request(f"invalid field selector: unescaped character in value: {ord(found)}")

    return re.sub(r"\\.|\\$|[,=]", replaced, text, flags=re.DOTALL)
