"""URLs, read as Go reads them: an absolute URI or an absolute path."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote_to_bytes

from kloster.apimachinery import golang
from kloster.apimachinery.cel import types
from kloster.apimachinery.cel.problems import EvaluationError
from kloster.apimachinery.cel.values import Opaque

from . import costs

if TYPE_CHECKING:
    from kloster.apimachinery.cel.declarations import Collection

TYPE = types.struct("kubernetes.URL")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST_BAD = re.compile(r"[^A-Za-z0-9\-_.~!$&'()*+,;=:\[\]<>\"\x80-\U0010ffff%]")
_PATH_SAFE = "-_.~$&+,/:;=@!'()*"


class URLValue(Opaque):
    """A URL taken apart."""

    __slots__ = ("host", "path", "query", "raw_path", "scheme", "text")
    type = TYPE

    def __init__(self, text: str, scheme: str, host: str, raw_path: str, query: str) -> None:
        self.text = text
        self.scheme = scheme
        self.host = host
        self.raw_path = raw_path
        self.query = query

    def same(self, other: Any) -> bool:
        return bool(self.text == other.text)

    def hostname(self) -> str:
        host = self.host
        colon = host.rfind(":")
        if colon > -1 and (host[colon + 1 :].isdigit() or not host[colon + 1 :]) and not host.endswith("]"):
            host = host[:colon]
        return host[1:-1] if host.startswith("[") and host.endswith("]") else host

    def port(self) -> str:
        colon = self.host.rfind(":")
        return self.host[colon + 1 :] if colon > -1 and "]" not in self.host[colon:] else ""


class _Invalid(Exception):
    """Why it is no URL."""


def _taken_apart(text: str, *, request: bool) -> URLValue:
    if any(ord(letter) < 0x20 or ord(letter) == 0x7F for letter in text):
        raise _Invalid("net/url: invalid control character in URL")
    if not text and request:
        raise _Invalid("empty url")
    rest = text if request else text.partition("#")[0]
    scheme = ""
    match = _SCHEME.match(rest)
    if match:
        scheme, rest = match[1].lower(), rest[match.end() :]
    elif rest.startswith(":"):
        raise _Invalid("missing protocol scheme")
    rest, _, query = rest.partition("?")
    if not rest.startswith("/"):
        if scheme:
            return URLValue(text, scheme, "", "", query)
        if request:
            raise _Invalid("invalid URI for request")
        head = rest.partition("/")[0]
        if ":" in head:
            raise _Invalid("first path segment in URL cannot contain colon")
    host = ""
    if (scheme or (not request and not rest.startswith("///"))) and rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        rest = slash + path
        host = _authority(authority)
    _escapes(rest)
    return URLValue(text, scheme, host, rest, query)


def _authority(text: str) -> str:
    user, at, host = text.rpartition("@")
    if at and re.search(r"[^A-Za-z0-9\-._:~!$&'()*+,;=%@]", user):
        raise _Invalid("net/url: invalid userinfo")
    if host.startswith("["):
        if "]" not in host:
            raise _Invalid("missing ']' in host")
        port = host[host.rindex("]") + 1 :]
    else:
        colon = host.rfind(":")
        port = host[colon:] if colon >= 0 else ""
    if port and not (port.startswith(":") and (port[1:].isdigit() or port == ":")):
        raise _Invalid(f"invalid port {golang.quoted(port)} after host")
    bad = _HOST_BAD.search(host)
    if bad:
        raise _Invalid(f"invalid character {golang.quoted(bad.group())} in host name")
    _escapes(host)
    return host


def _escapes(text: str) -> None:
    bad = _ESCAPE.search(text)
    if bad:
        raise _Invalid(f"invalid URL escape {golang.quoted(text[bad.start() : bad.start() + 3])}")


def request_problem(text: str) -> str | None:
    """Why Go would refuse it as the target of a request; None if it would not."""
    try:
        _taken_apart(text, request=True)
    except _Invalid as error:
        return f"parse {golang.quoted(text)}: {error}"
    return None


def _parse(text: str) -> URLValue:
    problem = request_problem(text)
    if problem is None:
        try:
            return _taken_apart(text, request=False)
        except _Invalid as error:
            problem = f"parse {golang.quoted(text)}: {error}"
    raise EvaluationError(f"URL parse error during conversion from string: {problem}")


def _escaped_path(value: URLValue) -> str:
    if re.fullmatch(r"[A-Za-z0-9\-._~$&+,/:;=@!'()*%\[\]]*", value.raw_path):
        return value.raw_path
    return quote(unquote_to_bytes(value.raw_path), safe=_PATH_SAFE)


def _query(value: URLValue) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in value.query.split("&"):
        if not part or ";" in part:
            continue
        name, _, content = part.partition("=")
        if _ESCAPE.search(name) or _ESCAPE.search(content):
            continue
        found.setdefault(_unescaped(name), []).append(_unescaped(content))
    return found


def _unescaped(text: str) -> str:
    return unquote_to_bytes(text.replace("+", " ")).decode("utf-8", "replace")


def declare(into: Collection) -> None:
    name = TYPE.name
    into.add("string_to_url", f"url(string) -> {name}", _parse, costs.first)
    into.add("url_get_scheme", f"{name}::getScheme() -> string", lambda url: url.scheme)
    into.add("url_get_host", f"{name}::getHost() -> string", lambda url: url.host)
    into.add("url_get_hostname", f"{name}::getHostname() -> string", URLValue.hostname)
    into.add("url_get_port", f"{name}::getPort() -> string", URLValue.port)
    into.add("url_get_escaped_path", f"{name}::getEscapedPath() -> string", _escaped_path)
    into.add("url_get_query", f"{name}::getQuery() -> map(string, list(string))", _query)
    into.add("is_url_string", "isURL(string) -> bool", lambda text: request_problem(text) is None)
