"""An expression's tokens, by CEL's grammar, with what could not be read told as upstream tells it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .problems import Issue

if TYPE_CHECKING:
    from collections.abc import Iterator

_ESCAPE = (
    r"\\(?:[abfnrtv\"'\\?`]|[0-3][0-7][0-7]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8})"  # escape sequences
)
_STRING = (
    r"(?:[rR](?:\"\"\"[\s\S]*?\"\"\"|'''[\s\S]*?'''|\"[^\"\n\r]*\"|'[^'\n\r]*')"
    rf"|\"\"\"(?:{_ESCAPE}|[^\\])*?\"\"\"|'''(?:{_ESCAPE}|[^\\])*?'''"
    rf"|\"(?:{_ESCAPE}|[^\\\"\n\r])*\"|'(?:{_ESCAPE}|[^\\'\n\r])*')"
)
_TOKEN = re.compile(
    r"(?P<SPACE>[\t \r\n\f]+|//[^\n]*)"
    rf"|(?P<BYTES>[bB]{_STRING})"
    rf"|(?P<STRING>{_STRING})"
    r"|(?P<NUM_FLOAT>[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?)"
    r"|(?P<NUM_UINT>0x[0-9a-fA-F]+[uU]|[0-9]+[uU])"
    r"|(?P<NUM_INT>0x[0-9a-fA-F]+|[0-9]+)"
    r"|(?P<IDENTIFIER>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<ESC_IDENTIFIER>`[A-Za-z0-9_.\-/ ]+`)"
    r"|(?P<OPERATOR>==|!=|<=|>=|&&|\|\||[<>\[\]{}().,\-!?:+*/%])"
)
_WORDS = {"true", "false", "null", "in"}
_BROKEN = re.compile(
    r"\"(?:\\[abfnrtv\"'\\?`0-3xXuU]|[^\\\"\n\r])*\\?|'(?:\\[abfnrtv\"'\\?`0-3xXuU]|[^\\'\n\r])*\\?"
    r"|[=&|]|`[A-Za-z0-9_.\-/ ]*"
)
END = "<EOF>"


@dataclass(frozen=True, slots=True)
class Token:
    """A token: its kind (the operator or word itself, or the name of a class), its text and its offset."""

    kind: str
    text: str
    offset: int


def tokens(source: str, issues: list[Issue]) -> list[Token]:
    """All tokens and a last one of kind END. Text that is no token is told and skipped."""
    found = list(_scan(source, issues))
    found.append(Token(END, END, len(source)))
    return found


def _scan(source: str, issues: list[Issue]) -> Iterator[Token]:
    at, length = 0, len(source)
    while at < length:
        match = _TOKEN.match(source, at)
        if match is None:
            at = _refuse(source, at, issues)
            continue
        kind, text = match.lastgroup, match.group()
        if kind != "SPACE":
            if kind == "OPERATOR" or text in _WORDS:
                kind = text
            yield Token(kind or "", text, at)
        at = match.end()


def _refuse(source: str, at: int, issues: list[Issue]) -> int:
    """Tell from the beginning of what looked like a token to the character that could not continue it."""
    begun = _BROKEN.match(source, at)
    end = min(len(source), (begun.end() if begun else at) + 1)
    issues.append(Issue(at, f"Syntax error: token recognition error at: '{source[at:end]}'"))
    return end
