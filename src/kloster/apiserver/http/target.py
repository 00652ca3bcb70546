"""From a request line's target to path and query, as Go's net/url reads them."""

from __future__ import annotations

from urllib.parse import unquote, unquote_to_bytes


class BadTarget(ValueError):
    """The target is not one; answered with 400."""


def split(raw: bytes) -> tuple[str, str]:
    """(path, query), both still encoded. Absolute-form targets (``https://host/path``) lose their origin."""
    text = raw.decode("utf-8", "replace")
    if not text.startswith("/"):
        scheme, separator, rest = text.partition("://")
        if not separator or scheme.lower() not in ("http", "https"):
            raise BadTarget(text)
        slash = rest.find("/")
        question = rest.find("?")
        if slash < 0 or 0 <= question < slash:
            text = "/" + (rest[question:] if question >= 0 else "")
        else:
            text = rest[slash:]
    path, _, query = text.partition("?")
    return path, query


def decode_path(path: str) -> str:
    """Percent-decode; a malformed escape is refused. A decoded slash separates segments, as upstream."""
    if "%" not in path:
        return path
    _check_escapes(path)
    return unquote_to_bytes(path).decode("utf-8", "replace")


def decode_query(query: str) -> list[tuple[str, str]]:
    """Pairs in order. Malformed escapes and pairs with a semicolon are dropped, as Go's url.ParseQuery drops them."""
    if not query:
        return []
    if "%" not in query and "+" not in query and ";" not in query:
        found = []
        for pair in query.split("&"):
            if pair:
                name, _, value = pair.partition("=")
                found.append((name, value))
        return found
    pairs = []
    for pair in query.split("&"):
        if not pair or ";" in pair:
            continue
        name, _, value = pair.partition("=")
        try:
            pairs.append((_decode(name), _decode(value)))
        except BadTarget:
            continue
    return pairs


def _decode(text: str) -> str:
    if "%" in text:
        _check_escapes(text)
    return unquote(text.replace("+", " "))


_HEX = frozenset("0123456789abcdefABCDEF")


def _check_escapes(text: str) -> None:
    at = text.find("%")
    while at >= 0:
        escape = text[at + 1 : at + 3]
        if len(escape) != 2 or not _HEX.issuperset(escape):
            raise BadTarget(text)
        at = text.find("%", at + 3)
