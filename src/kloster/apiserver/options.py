"""The parameters of list and watch, checked as upstream checks them.

resourceVersion on a list means: absent the newest state, "0" any state, otherwise a state not older than that
one; ``resourceVersionMatch`` makes it explicit. With ``limit`` and without a match it is exact, for history's sake.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass

import orjson

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError, StatusError, forbidden_field, not_supported
from kloster.apiserver.call import Call
from kloster.apiserver.routing import is_true

_MATCHES = ("Exact", "NotOlderThan", "")
_TOKEN_VERSION = "meta.k8s.io/v1"

INCONSISTENT = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True, slots=True)
class ListOptions:
    """Parsed and consistent. `timeout` in seconds; `initial_events` is None when not given."""

    labels: str = ""
    fields: str = ""
    limit: int = 0
    token: str = ""
    version: str = ""
    match: str = ""
    timeout: int | None = None
    bookmarks: bool = False
    initial_events: bool | None = None


_DEFAULT = ListOptions()


def parse(call: Call, watch: bool = False) -> ListOptions:
    """Reads and checks the parameters. Raises StatusError 400 or 422."""
    query = call.request.query
    if not query:
        return _DEFAULT
    given: dict[str, str] = {}
    for key, value in query:
        given.setdefault(key, value)
    asked = given.get("sendInitialEvents", "")
    options = ListOptions(
        given.get("labelSelector", ""),
        given.get("fieldSelector", ""),
        max(call.integer("limit") or 0, 0),
        given.get("continue", ""),
        given.get("resourceVersion", ""),
        given.get("resourceVersionMatch", ""),
        call.integer("timeoutSeconds"),
        is_true(given["allowWatchBookmarks"]) if "allowWatchBookmarks" in given else False,
        is_true(asked) if asked else None,
    )
    found = _watch_findings(options) if watch else _list_findings(options)
    if found:
        raise errors.invalid("meta.k8s.io", "ListOptions", "", found)
    return options


def _list_findings(options: ListOptions) -> list[FieldError]:
    found: list[FieldError] = []
    if options.initial_events is not None:
        found.append(forbidden_field("sendInitialEvents", "sendInitialEvents is forbidden for list"))
    if not options.match:
        return found
    path = "resourceVersionMatch"
    if not options.version:
        found.append(forbidden_field(path, "resourceVersionMatch is forbidden unless resourceVersion is provided"))
    if options.token:
        found.append(forbidden_field(path, "resourceVersionMatch is forbidden when continue is provided"))
    if options.match not in _MATCHES:
        found.append(not_supported(path, options.match, _MATCHES))
    if options.match == "Exact" and options.version == "0":
        text = 'resourceVersionMatch "exact" is forbidden for resourceVersion "0"'
        found.append(forbidden_field(path, text))
    return found


def _watch_findings(options: ListOptions) -> list[FieldError]:
    found: list[FieldError] = []
    path = "resourceVersionMatch"
    if options.initial_events is not None:
        if options.match != "NotOlderThan":
            text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            found.append(forbidden_field(path, text))
            if options.match and options.match not in _MATCHES:
                found.append(not_supported(path, options.match, ("NotOlderThan",)))
    elif options.match:
        text = "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided"
        found.append(forbidden_field(path, text))
    if options.token and options.initial_events is not None:
        found.append(forbidden_field("continue", "sendInitialEvents is forbidden when continue is provided"))
    return found


def parse_version(text: str) -> int:
    """A resourceVersion as a number; absent is 0. Raises ValueError with upstream's text."""
    if not text:
        return 0
    if not (text.isascii() and text.isdigit()):
        shown = json.dumps(text, ensure_ascii=False)
        raise ValueError(f"resourceVersion: Invalid value: {shown}: strconv.ParseUint: parsing {shown}: invalid syntax")
    return int(text)


@dataclass(frozen=True, slots=True)
class Token:
    """Where a paged list goes on: after (namespace, name), at `revision` (-1: the newest state)."""

    revision: int
    after: tuple[str, str]


def encode_token(token: Token) -> str:
    """The opaque text for ``continue``: the start key is the first possible one after the last that was sent."""
    namespace, name = token.after
    body = orjson.dumps({"v": _TOKEN_VERSION, "rv": token.revision, "start": f"{namespace}/{name}\0"})
    return base64.urlsafe_b64encode(body).decode().rstrip("=")


def decode_token(text: str) -> Token:
    """Raises StatusError 400."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise _bad_token("illegal base64 data at input byte 0") from None
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError:
        first = raw[:1].decode("latin-1")
        raise _bad_token(f"invalid character {_quoted(first)} looking for beginning of value") from None
    if not isinstance(body, dict) or body.get("v") != _TOKEN_VERSION:
        version = body.get("v", "") if isinstance(body, dict) else ""
        raise _bad_token(f'server does not recognize this encoded version "{version}"')
    revision, start = body.get("rv"), body.get("start")
    if not isinstance(revision, int) or not revision:
        raise _bad_token("incorrect encoded start resourceVersion (version meta.k8s.io/v1)")
    if not isinstance(start, str) or not start or "/" not in start:
        raise _bad_token("encoded start key empty (version meta.k8s.io/v1)")
    namespace, _, name = start.removesuffix("\0").partition("/")
    return Token(revision, (namespace, name))


def _quoted(character: str) -> str:
    return f"'{character}'" if character.isprintable() else repr(character)


def _bad_token(detail: str) -> StatusError:
    return errors.bad_request(f"invalid continue token: continue key is not valid: {detail}")


class InconsistentContinue(StatusError):
    """410 for a continue token whose state is gone, with a token that goes on in the newest state."""

    def __init__(self, token: str) -> None:
        super().__init__(410, "Expired", INCONSISTENT)
        self.token = token

    def status(self) -> Object:
        body = super().status()
        body["metadata"] = {"continue": self.token}
        return body
