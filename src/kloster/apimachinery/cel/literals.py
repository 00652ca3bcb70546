"""What the text of a literal means: numbers within 64 bits, strings and bytes with their escapes."""

from __future__ import annotations

import re

from .numbers import GREATEST, GREATEST_UNSIGNED, LEAST, UInt

_SIMPLE = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_ESCAPED = re.compile(r"\\(?:([0-3][0-7]{2})|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)


class InvalidLiteral(Exception):
    """A literal that the lexer accepts and that means nothing."""


def integer(text: str, *, negative: bool) -> int:
    value = int(text, 16) if text.startswith("0x") else _decimal(text)
    value = -value if negative else value
    if not LEAST <= value <= GREATEST:
        raise InvalidLiteral("invalid int literal")
    return value


def unsigned(text: str) -> UInt:
    digits = text[:-1]
    value = int(digits, 16) if digits.startswith("0x") else _decimal(digits)
    if value > GREATEST_UNSIGNED:
        raise InvalidLiteral("invalid uint literal")
    return UInt(value)


def _decimal(text: str) -> int:
    # A number of thousands of digits is out of bounds anyhow, and slow to read.
    digits = text.lstrip("0")
    return int(digits or "0") if len(digits) <= 20 else GREATEST_UNSIGNED + 1


def floating(text: str, *, negative: bool) -> float:
    value = float(text)
    if value == float("inf"):
        raise InvalidLiteral("invalid double literal")
    return -value if negative else value


def string(text: str) -> str:
    raw, body = _body(text)
    if raw or "\\" not in body:
        return body

    def replaced(match: re.Match[str]) -> str:
        octal, byte, short, long, other = match.groups()
        if other is not None:
            return _SIMPLE.get(other, other)
        code = int(octal, 8) if octal else int(byte or short or long, 16)
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise InvalidLiteral("invalid unicode code point")
        return chr(code)

    return _ESCAPED.sub(replaced, body)


def byte_string(text: str) -> bytes:
    raw, body = _body(text[1:])
    if raw or "\\" not in body:
        return body.encode()
    parts: list[bytes] = []
    at = 0
    for match in _ESCAPED.finditer(body):
        octal, byte, short, long, other = match.groups()
        if short or long:
            raise InvalidLiteral("unable to unescape string")
        parts.append(body[at : match.start()].encode())
        code = int(octal, 8) if octal else int(byte, 16) if byte else -1
        parts.append(_SIMPLE.get(other, other).encode() if code < 0 else bytes([code]))
        at = match.end()
    parts.append(body[at:].encode())
    return b"".join(parts)


def _body(text: str) -> tuple[bool, str]:
    raw = text[0] in "rR"
    text = text[1:] if raw else text
    quotes = 3 if len(text) >= 6 and text[:3] in ('"""', "'''") else 1
    return raw, text[quotes:-quotes]
