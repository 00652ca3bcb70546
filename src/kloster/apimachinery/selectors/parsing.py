"""Parsing label selectors, in upstream's grammar and words."""

from __future__ import annotations

import re

from kloster.apimachinery.errors import StatusError, bad_request, shown
from kloster.apimachinery.selectors.labels import EVERYTHING, LabelSelector, Requirement, checked, selector_of
from kloster.apimachinery.selectors.names import key_errors

_TOKEN = re.compile(r"[ \t\r\n]*(?:([=!(),<>]+)|([^=!(),<> \t\r\n]+)|$)")
_SYMBOLS = ("==", "!=", "=", "!", "(", ")", ",", "<", ">")
_BINARY = {"=": "=", "==": "==", "!=": "!=", "in": "in", "notin": "notin", ">": "gt", "<": "lt"}
_END = ("end", "")
MOST_REQUIREMENTS = 1000
LONGEST = 128 * 1024


def parse_labels(text: str) -> LabelSelector:
    """Parses a selector. Raises StatusError 400 in upstream's words."""
    if not text:
        return EVERYTHING
    if len(text) > LONGEST:
        raise bad_request(f"a selector may have at most {LONGEST} characters")
    return selector_of(_Parser(_tokens(text)).requirements())


def _check_number(found: list[Requirement]) -> None:
    """Every requirement is asked of every object: a megabyte of them would hold up everybody."""
    if len(found) >= MOST_REQUIREMENTS:
        raise bad_request(f"a selector may have at most {MOST_REQUIREMENTS} requirements")


def _tokens(text: str) -> list[tuple[str, str]]:
    """(kind, literal): kind is the symbol itself, ``in`` and ``notin``, ``id``, or ``end``."""
    tokens: list[tuple[str, str]] = []
    position = 0
    while match := _TOKEN.match(text, position):
        symbols, word = match[1], match[2]
        position = match.end()
        if symbols:
            # Of adjoining symbols the longest operator is taken: "!=" before "!".
            symbol = next(symbol for symbol in _SYMBOLS if symbols.startswith(symbol))
            tokens.append((symbol, symbol))
            position = match.end() - len(symbols) + len(symbol)
        elif word:
            tokens.append((word if word in ("in", "notin") else "id", word))
        else:
            break
    tokens.append(_END)
    return tokens


class _Parser:
    """Recursive descent over the tokens. ``in`` and ``notin`` are ordinary words wherever a key or value may stand."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._position = 0

    def _look(self) -> tuple[str, str]:
        kind, literal = self._tokens[min(self._position, len(self._tokens) - 1)]
        return ("id" if kind in ("in", "notin") else kind), literal

    def _take(self) -> tuple[str, str]:
        token = self._look()
        self._position += 1
        return token

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        while True:
            kind, literal = self._look()
            if kind == "end":
                return found
            if kind not in ("id", "!"):
                raise bad_request(f"found '{literal}', expected: !, identifier, or 'end of string'")
            _check_number(found)
            try:
                found.append(self._requirement())
            except StatusError as error:
                raise bad_request(f"unable to parse requirement: {error.message}") from error
            kind, literal = self._take()
            if kind == "end":
                return found
            if kind != ",":
                raise bad_request(f"found '{literal}', expected: ',' or 'end of string'")
            kind, literal = self._look()
            if kind not in ("id", "!"):
                raise bad_request(f"found '{literal}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        kind, key = self._take()
        absent = kind == "!"
        if absent:
            kind, key = self._take()
        if kind != "id":
            raise bad_request(f"found '{key}', expected: identifier")
        errors = key_errors(key)
        if errors:
            raise bad_request(f"<nil>: Invalid value: {shown(key)}: {'; '.join(errors)}")
        if absent:
            return checked(key, "!", ())
        if self._look()[0] in ("end", ","):
            return checked(key, "exists", ())
        operator = self._operator()
        return checked(key, operator, self._list() if operator in ("in", "notin") else self._exact())

    def _operator(self) -> str:
        kind, literal = self._tokens[min(self._position, len(self._tokens) - 1)]
        self._position += 1
        if kind not in _BINARY:
            raise bad_request(f"found '{literal}', expected: in, notin, =, ==, !=, gt, lt")
        return _BINARY[kind]

    def _exact(self) -> tuple[str, ...]:
        if self._look()[0] in ("end", ","):
            return ("",)
        kind, literal = self._take()
        if kind != "id":
            raise bad_request(f"found '{literal}', expected: identifier")
        return (literal,)

    def _list(self) -> tuple[str, ...]:
        kind, literal = self._take()
        if kind != "(":
            raise bad_request(f"found '{literal}' expected: '('")
        kind, literal = self._look()
        if kind == ")":
            self._take()
            return ("",)
        if kind not in ("id", ","):
            raise bad_request(f"found '{literal}', expected: ',', ')' or identifier")
        values = self._identifiers()
        self._take()
        return tuple(sorted(values))

    def _identifiers(self) -> set[str]:
        """Values up to the closing parenthesis, which is left; where one is missing stands the empty value."""
        values: set[str] = set()
        while True:
            kind, literal = self._take()
            if kind == "id":
                values.add(literal)
                kind, literal = self._look()
                if kind == ")":
                    return values
                if kind != ",":
                    raise bad_request(f"found '{literal}', expected: ',' or ')'")
            elif kind == ",":
                if not values:
                    values.add("")
                following = self._look()[0]
                if following == ")":
                    values.add("")
                    return values
                if following == ",":
                    self._take()
                    values.add("")
            else:
                raise bad_request(f"found '{literal}', expected: ',', or identifier")
