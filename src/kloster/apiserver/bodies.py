"""Reading a request's body: its serialization, the kind that it says it is, and its fields.

Field validation looks for fields that the type does not know and for names that occur twice: ``Ignore`` says
nothing, ``Warn`` answers with Warning headers, ``Strict`` refuses. Nothing unknown is ever stored.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import yaml

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import StatusError, invalid_value
from kloster.apimachinery.schema import encode, strict
from kloster.apimachinery.schema.decode import decode
from kloster.apimachinery.schema.model import StructType
from kloster.apiserver import negotiation, yaml_text
from kloster.apiserver.call import Call
from kloster.apiserver.negotiation import JSON, YAML, Codec, Unreadable, shape_of
from kloster.kinds.catalog import Kind

LIMIT = 3 << 20
MOST_VALUES = 100_000
"""Values in a body. What is done with each takes microseconds, and everybody waits meanwhile; upstream's own bound is
that etcd takes no more than 1.5 MB. The largest ordinary objects (definitions, reports of scanners) have half as many.
"""

_SCHEME = 'in scheme "pkg/runtime/scheme.go:110"'


@dataclass(frozen=True, slots=True)
class Expected:
    """What a body should be. `internal` is how upstream's text calls the Go type it is converted to."""

    group: str
    version: str
    kind: str
    type: StructType
    builtin: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


def expect(kind: Kind) -> Expected:
    return Expected(kind.group, kind.version, kind.kind, kind.type, kind.builtin)


def read(call: Call, expected: Expected, validation: str) -> Object:
    """The object in the body, decoded as `expected`, complete with kind and apiVersion.

    Raises StatusError 400, 413, 415. Findings of field validation become warnings of the call.
    """
    value, text, repeated = _parse(call, expected)
    value = _identify(call, expected, value)
    item = checked(call, expected, value, validation, text, repeated)
    if call.trace is not None and call.trace.bodies:
        call.trace.sent = encode.dumps(expected.type, item)
    return item


def checked(
    call: Call,
    expected: Expected,
    value: Object,
    validation: str,
    text: bytes = b"",
    repeated: Sequence[str] = (),
    suspicious: bool = False,
) -> Object:
    """Decodes a value that has the right kind.

    `text` is the JSON in which to look for repeated names (empty: none; `suspicious`: there are some), `repeated` are
    findings about them that were made elsewhere.
    Raises StatusError 400.
    """
    decoded = decode(expected.type, value)
    if validation != "Ignore" and (decoded.unknown or repeated or suspicious or _may_repeat(text, value)):
        found = strict.findings(expected.type, text, decoded.unknown) if text else [*repeated, *decoded.unknown]
        if found and validation == "Strict":
            raise _cannot(expected, expected.kind, expected.version, f"strict decoding error: {', '.join(found)}")
        call.warnings.extend(found)
    item = decoded.object
    item.pop("kind", None)
    item.pop("apiVersion", None)
    if not isinstance(item.get("metadata"), dict):
        item["metadata"] = {}
    return {"kind": expected.kind, "apiVersion": expected.api_version, **item}


def _may_repeat(text: bytes, value: Object) -> bool:
    """Whether names may occur twice in `text`: most bodies are compact, and then their length tells that none do."""
    return bool(text) and len(text) > len(orjson.dumps(value)) + 1  # a final newline


def _parse(call: Call, expected: Expected) -> tuple[Any, bytes, Sequence[str]]:
    """(value, its text if that is JSON, findings about names that occur twice if it is not)."""
    body = call.request.body
    if len(body) > LIMIT:
        raise errors.too_large(f"Request entity too large: limit is {LIMIT}")
    media = negotiation.body_type(call.request.headers.get("content-type", ""))
    if media == JSON:
        return parse_json(body, expected.kind), body, ()
    if media == YAML:
        return _parse_yaml(body, expected.kind)
    codec = call.cluster.codecs.get(media)
    if codec is None or not expected.builtin:
        raise negotiation.unsupported_body(media, call.offered())
    return _decode(call, codec, expected), b"", ()


def _decode(call: Call, codec: Codec, expected: Expected) -> Object:
    """The object in a body of another serialization. Raises StatusError 400."""
    body = call.request.body
    try:
        api_version, kind = codec.identity(body)
    except Unreadable as error:
        raise unrecognized(expected.kind, str(error), body) from None
    _identify(call, expected, {"kind": kind, "apiVersion": api_version})
    try:
        return codec.decode(body, expected.type)
    except Unreadable as error:
        raise _cannot(expected, expected.kind, expected.version, str(error)) from None


def parse_json(body: bytes, kind: str) -> Object:
    """Raises StatusError 400 in upstream's words."""
    bound(body)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        value = _second_opinion(body, kind)
    if value is None:
        return {}
    return _object(value, body, kind)


def _object(value: Any, body: bytes, kind: str) -> Object:
    """Raises StatusError 400 for a value that is no object."""
    check_size(value, body)
    if isinstance(value, dict):
        return value
    raise unrecognized(kind, no_object(value), body)


def no_object(value: Any) -> str:
    """What Go says of a value that should be an object."""
    return (
        f"couldn't get version/kind; json parse error: json: cannot unmarshal {shape_of(value)} into Go value of type "
        'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
    )


def bound(body: bytes) -> None:
    """Raises StatusError 413 for JSON that certainly has too many values, before anything is made of them: a body can
    have a million lists, and the parser lets nobody else run.

    What stands in strings is left out by taking every other piece between quotes.
    """
    if len(body) < 2 * MOST_VALUES or body.count(b",") + body.count(b"[") + body.count(b"{") < MOST_VALUES:
        return
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    if body.count(b'"') > 4 * MOST_VALUES + 4:  # a member has two strings at the most
        raise _too_many_values()
    outside = b"".join(body.split(b'"')[::2])
    if max(outside.count(b","), outside.count(b"[") + outside.count(b"{") - 1) > MOST_VALUES:
        raise _too_many_values()


def _too_many_values() -> StatusError:
    return errors.too_large(f"Request entity too large: a body may have at most {MOST_VALUES} values")


def check_size(value: Any, body: bytes) -> None:
    """Raises StatusError 413 for more than `MOST_VALUES`. Most bodies have fewer separators than that."""
    if len(body) < 2 * MOST_VALUES or body.count(b",") + body.count(b":") < MOST_VALUES:
        return
    count = 0
    waiting = [value]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, dict | list):
            count += len(inner)
            if count > MOST_VALUES:
                raise _too_many_values()
            waiting.extend(inner.values() if isinstance(inner, dict) else inner)


def _second_opinion(body: bytes, kind: str) -> Any:
    """What orjson refuses but Go reads (invalid UTF-8 inside strings), or the error."""
    try:
        return json.loads(body.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        detail = f"couldn't get version/kind; json parse error: {json_problem(body)}"
        raise unrecognized(kind, detail, body) from None


def _parse_yaml(body: bytes, kind: str) -> tuple[Any, bytes, Sequence[str]]:
    try:
        value, found = yaml_text.load(body)
    except yaml.YAMLError as error:
        raise unrecognized(kind, f"yaml: {yaml_text.problem(error)}", body) from None
    if value is None:
        return {}, b"", found
    return _object(value, body, kind), b"", found


def _identify(call: Call, expected: Expected, value: Object) -> Object:
    """Checks that the body says to be what is expected, or says nothing. Raises StatusError 400."""
    kind, api_version = value.get("kind"), value.get("apiVersion")
    for name, given in (("kind", kind), ("apiVersion", api_version)):
        if given is not None and not isinstance(given, str):
            text = f"json: cannot unmarshal {shape_of(given)} into Go struct field .{name} of type string"
            raise unrecognized(expected.kind, f"couldn't get version/kind; json parse error: {text}", call.request.body)
    if not expected.builtin:
        return _identify_custom(call, expected, value)
    kind, api_version = kind or expected.kind, api_version or expected.api_version
    if api_version.count("/") > 1:
        raise unrecognized(expected.kind, f"unexpected GroupVersion string: {api_version}", call.request.body)
    if (kind, api_version) == (expected.kind, expected.api_version):
        return value
    group, _, version = api_version.rpartition("/")
    if call.cluster.catalog.type(group, version, kind) is None:
        raise _cannot(expected, kind, version, f'no kind "{kind}" is registered for version "{api_version}" {_SCHEME}')
    package = expected.group.partition(".")[0] or "core"
    detail = f"converting ({version}.{kind}) to ({package}.{expected.kind}): unknown conversion"
    raise _cannot(expected, kind, version, detail)


def _identify_custom(call: Call, expected: Expected, value: Object) -> Object:
    """The same for a custom resource, which must say what it is."""
    for name, word in (("kind", "Kind"), ("apiVersion", "apiVersion")):
        if not value.get(name):
            body = call.request.body
            text = f"Object '{word}' is missing in '{body.decode('utf-8', 'replace')}'"
            raise unrecognized(expected.kind, text, body)
    kind, api_version = value["kind"], value["apiVersion"]
    if api_version != expected.api_version:
        text = f"the API version in the data ({api_version}) does not match the expected API version "
        raise errors.bad_request(f"{text}({expected.api_version})")
    if kind != expected.kind:
        meta = value.get("metadata")
        name = str(meta.get("name", "")) if isinstance(meta, dict) else ""
        raise errors.invalid(expected.group, kind, name, [invalid_value("kind", kind, f"must be {expected.kind}")])
    return value


def _cannot(expected: Expected, kind: str, version: str, detail: str) -> StatusError:
    return errors.bad_request(f'{kind} in version "{version}" cannot be handled as a {expected.kind}: {detail}')


def unrecognized(kind: str, detail: str, body: bytes) -> StatusError:
    """400 for a body in which no object is found; shows how it begins."""
    text = f"the object provided is unrecognized (must be of type {kind}): {detail} ({_glimpse(body)})"
    return errors.bad_request(text)


def _glimpse(body: bytes) -> str:
    if not body:
        return "<empty>"
    more = " ..." if len(body) > 30 else ""
    head = body[:30]
    if body[:1] == b"{":
        try:
            return head.decode() + more
        except UnicodeDecodeError:
            pass
    return head.hex() + more


# --- what Go says about text that is not JSON ---------------------------------------------------------------------

_END = "unexpected end of JSON input"
_BARE = re.compile(r"\s*")


def json_problem(body: bytes) -> str:
    """The error of Go's decoder for `body`, which is not JSON."""
    text = body.decode("utf-8", "replace")
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        at = error.pos
        match = _BARE.match(text, at)
        at = match.end() if match else at
        if at >= len(text) or error.msg.startswith("Unterminated"):
            return _END
        shown = {"'": "'\\''", '"': "'\"'"}.get(text[at], f"'{text[at]}'")
        return f"invalid character {shown} {_context(text, at, error.msg)}"
    except RecursionError:
        return too_deep(body)
    return _END


def too_deep(body: bytes) -> str:
    """The error of Go's decoder for what is nested too deep: it names the bracket that is one too many."""
    return f"invalid character '{'[' if b'[[' in body else '{'}' exceeded max depth"


def _context(text: str, at: int, message: str) -> str:
    if message.startswith("Extra data"):
        return "after top-level value"
    if message.startswith("Expecting property name"):
        return "looking for beginning of object key string"
    if message.startswith("Expecting ':'"):
        return "after object key"
    if message.startswith("Expecting ','"):
        opened = text[:at]
        inside_list = opened.count("[") - opened.count("]") > 0 and opened.rfind("[") > opened.rfind("{")
        return "after array element" if inside_list else "after object key:value pair"
    if message.startswith("Invalid control"):
        return "in string literal"
    if message.startswith("Invalid \\"):
        return "in string escape code"
    return "looking for beginning of value"
