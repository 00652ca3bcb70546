"""PATCH: JSON, merge, strategic merge, and server-side apply.

A patch is applied to the newest object inside the store's transaction, so that it never fails because somebody else
was faster; a resourceVersion in the patch is a precondition all the same. What comes out is decoded and checked like a
body of PUT. Apply creates what is missing.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#patch-and-apply
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson
import yaml

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object, apply, errors, golang
from kloster.apimachinery.errors import StatusError, invalid_value
from kloster.apimachinery.patches import json_patch, merge, strategic
from kloster.apimachinery.schema import encode, strict
from kloster.apimachinery.schema.decode import DecodeError
from kloster.apiserver import aside, bodies, convert, negotiation, storage, write_options, writes, yaml_text
from kloster.apiserver.bodies import Expected
from kloster.apiserver.call import Call
from kloster.apiserver.facets import MAIN, STATUS, Facet
from kloster.apiserver.verbs import create
from kloster.apiserver.write_options import WriteOptions
from kloster.apiserver.writes import Outcome, Stored
from kloster.client.transport import Response
from kloster.stores.api import Operation, View

JSON_PATCH = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
APPLY = "application/apply-patch+yaml"
_KNOWN = (JSON_PATCH, MERGE, STRATEGIC, APPLY)


@dataclass(frozen=True, slots=True)
class Patch:
    """A patch that has been read. `value` is the parsed body, `text` the body where findings are looked for in it,
    `repeated` are findings that were made in reading."""

    media: str
    value: Any
    text: bytes = b""
    repeated: Sequence[str] = ()


async def serve(call: Call) -> Response:
    return await serve_facet(call, MAIN)


async def serve_facet(call: Call, facet: Facet) -> Response:
    """PATCH of an object through its main resource or a subresource that shows it whole."""
    served = call.resource
    media = check_media(call)
    options = write_options.parse(call, "PatchOptions", media == APPLY)
    call.form()
    long = aside.is_long(call)
    patch = await aside.run(call, long, partial(read, call, media))
    outcome = Outcome()

    def decide(view: View) -> Sequence[Operation]:
        entry = view.get(storage.key_of(served, call.target.namespace, call.target.name))
        if entry is None:
            if media != APPLY or facet is not MAIN:
                raise storage.missing(served, call.target.name)
            item = _applied(call, facet, None, patch, options)
            return writes.decide_create(call, view, item, options, outcome, tracked=True)

        def change(stored: Stored) -> Object:
            if media == APPLY:
                return _applied(call, facet, stored.fresh(), patch, options)
            return _patched(call, facet, stored, patch, options)

        return writes.decide_update(call, view, entry, facet, change, options, outcome, tracked=media == APPLY)

    events = await aside.transact(call, long, decide)
    return await writes.answer(call, events, outcome, options)


def check_media(call: Call) -> str:
    """The patch's media type. Raises StatusError 415."""
    media = negotiation.body_type(call.request.headers.get("content-type", ""))
    custom = not call.resource.kind.builtin
    if media not in _KNOWN and not custom:
        error = errors.unsupported_media_type("415: Unsupported Media Type")
        error.details = {}
        raise error
    if custom and media not in (JSON_PATCH, MERGE, APPLY):
        listed = ", ".join(known for known in _KNOWN if known != STRATEGIC)
        raise errors.unsupported_media_type(
            f"the body of the request was in an unknown format - accepted media types include: {listed}"
        )
    return media


def read(call: Call, media: str) -> Patch:
    """Parses the body. Raises StatusError 400, 413."""
    found = _read(call.request.body, media)
    if call.trace is not None and call.trace.bodies:
        call.trace.sent = orjson.dumps(found.value)
    return found


def _read(body: bytes, media: str) -> Patch:
    if len(body) > bodies.LIMIT:
        raise errors.too_large(f"Request entity too large: limit is {bodies.LIMIT}")
    if media == APPLY:
        return _read_applied(body)
    prefix = "" if media == STRATEGIC else "error decoding patch: "
    bodies.bound(body)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise errors.bad_request(f"{prefix}{bodies.json_problem(body)}") from None
    bodies.check_size(value, body)
    if not _can_be_told(value):
        raise errors.bad_request(f"{prefix}{bodies.too_deep(body)}")
    if media != JSON_PATCH and not isinstance(value, dict):
        shape = negotiation.shape_of(value)
        text = f"json: cannot unmarshal {shape} into Go value of type map[string]interface {{}}"
        raise errors.bad_request(f"{prefix}{text}")
    return Patch(media, value, b"" if media == JSON_PATCH or not strict.has_duplicates(body) else body)


_TOO_DEEP_YAML = "error decoding YAML: error converting YAML to JSON: yaml: exceeded max depth of 10000"
_FRACTION = re.compile(rb"[0-9][.eE]")


def _read_applied(body: bytes) -> Patch:
    """A configuration to apply: YAML, but nearly always JSON, which another parser reads in a hundredth of the time."""
    value, found = _as_json(body), list[str]()
    if value is None:
        try:
            value, found = yaml_text.load(body)
        except yaml.YAMLError as error:
            text = f"error decoding YAML: error converting YAML to JSON: yaml: {yaml_text.problem(error)}"
            raise errors.bad_request(text) from None
    if value is not None and not isinstance(value, dict):
        shape = negotiation.shape_of(value)
        text = f"json: cannot unmarshal {shape} into Go value of type map[string]interface {{}}"
        raise errors.bad_request(f"error decoding YAML: error unmarshaling JSON: while decoding JSON: {text}")
    value = value or {}
    if not _can_be_told(value):
        raise errors.bad_request(_TOO_DEEP_YAML)
    return Patch(APPLY, value, repeated=found)


def _as_json(body: bytes) -> Any:
    """The value of a body that is JSON and means the same as YAML; otherwise None."""
    if not body.startswith(b"{"):
        return None
    bodies.bound(body)
    try:
        value = orjson.loads(body)
        if strict.has_duplicates(body):
            return None  # told in the words of YAML
    except (ValueError, RecursionError):
        return None
    bodies.check_size(value, body)
    return _whole_numbers(value) if _FRACTION.search(body) else value


def _whole_numbers(value: Any) -> Any:
    """To YAML, 1.0 and 1e3 are whole numbers."""
    if isinstance(value, dict):
        return {name: _whole_numbers(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_whole_numbers(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _can_be_told(value: Any) -> bool:
    """Whether JSON can be made of it again: the encoder goes 254 levels deep, Go's decoder 10,000."""
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


def apply_to(document: Object, patch: Patch, schema: Any) -> Object:
    """A document after a patch of any kind but apply."""
    if patch.media == JSON_PATCH:
        return json_patch.apply(document, patch.value)
    if patch.media == MERGE:
        return merge.apply(document, patch.value)
    return strategic.apply(document, patch.value, schema)


def _patched(call: Call, facet: Facet, stored: Stored, patch: Patch, options: WriteOptions) -> Object:
    """The stored object after the patch, decoded and defaulted again.

    Merging changes nothing of what it merges into, and decoding a built-in kind copies: so no fresh copy is needed. And
    what a patch of the status leaves alone, which is put back anyway, need not be decoded again.
    """
    served = call.resource
    shares = patch.media != JSON_PATCH and served.kind.builtin and served.direct
    before = stored.shared if shares else storage.from_storage(served, stored.fresh())
    document = apply_to(before, patch, served.kind.type)
    kept: Object = {}
    if shares and facet is STATUS and stored.entry.version == served.stamp:
        kept = {name: part for name, part in document.items() if before.get(name) is part and name not in _OWN}
    item = decode_patched(call, bodies.expect(served.kind), document, patch, options, kept)
    item.update(kept)
    _check_place(call, item)
    item = storage.to_storage(served, item)
    strategy = served.strategy
    default = (strategy.default_beside_spec if "spec" in kept else None) or strategy.default
    default(item)
    return item


_OWN = frozenset({"kind", "apiVersion", "metadata", "status"})


def decode_patched(
    call: Call, expected: Expected, document: Object, patch: Patch, options: WriteOptions, kept: Collection[str] = ()
) -> Object:
    """Decodes a patched document, without its fields `kept`. Raises StatusError 422 in upstream's words."""
    problem = ""
    named = (document.get("kind"), document.get("apiVersion"))
    if named != (expected.kind, expected.api_version):
        problem = f'no kind "{named[0]}" is registered for version "{named[1]}" in scheme "pkg/runtime/scheme.go:110"'
    else:
        try:
            value = {name: part for name, part in document.items() if name not in kept} if kept else document
            return bodies.checked(call, expected, value, options.validation, patch.text, suspicious=bool(patch.text))
        except DecodeError as error:
            problem = error.text
            if patch.media == STRATEGIC:
                raise _unconvertible(expected, patch) from None
        except StatusError as error:
            problem = error.message.partition(": ")[2]
    raise _undecodable(document, patch, problem)


def _undecodable(document: Object, patch: Patch, problem: str) -> StatusError:
    try:
        shown = encode.text(_as_merged(document, patch.value)).decode()
    except TypeError:  # copied into itself until it was too deep
        return errors.bad_request("error decoding patch: invalid character '{' exceeded max depth")
    return errors.invalid("", "", "", [invalid_value("patch", shown, problem)])


def _as_merged(document: Object, patch: Any) -> Object:
    """The document as upstream's patch libraries write it: objects that the patch reached into have sorted keys."""
    reached = patch if isinstance(patch, dict) else {}
    return {
        name: _as_merged(document[name], reached[name])
        if isinstance(reached.get(name), dict) and isinstance(document[name], dict)
        else (_sorted(document[name]) if name in reached else document[name])
        for name in sorted(document)
    }


def _sorted(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _sorted(value[name]) for name in sorted(value)}
    return [_sorted(item) for item in value] if isinstance(value, list) else value


def _unconvertible(expected: Expected, patch: Patch) -> StatusError:
    """A strategic merge patch becomes a Go object without passing through JSON, and its errors are others."""
    problem = convert.problem(expected.type, patch.value)
    return errors.invalid("", "", "", [invalid_value("patch", golang.shown(patch.value), problem)])


def _check_place(call: Call, item: Object) -> None:
    """A patch cannot move or rename an object. Raises StatusError 400."""
    meta = item["metadata"]
    if meta.get("name") != call.target.name:
        create.check_name(call, item)
    create.place(call, item)


def _applied(call: Call, facet: Facet, live: Object | None, patch: Patch, options: WriteOptions) -> Object:
    """The object after server-side apply, decoded and defaulted, with its managedFields."""
    served, kind = call.resource, call.resource.kind
    before = None if live is None else storage.from_storage(served, live)
    _check_stated(call, patch.value)
    merged = apply.apply(
        before,
        patch.value,
        kind.type,
        manager=write_options.manager_of(call, options),
        api_version=kind.api_version,
        force=options.force,
        now=rfc3339(call.cluster.clock.now()),
        subresource=facet.subresource,
        reset=facet.resets(served),
        kind=kind.kind,
    )
    meta = merged.setdefault("metadata", {})
    if live is None:
        meta.setdefault("name", call.target.name)
    item = bodies.checked(call, bodies.expect(kind), merged, options.validation, repeated=patch.repeated)
    _check_place(call, item)
    item = storage.to_storage(served, item)
    served.strategy.default(item)
    return item


def _check_stated(call: Call, value: Object) -> None:
    """The name and namespace that an applied object states. Raises StatusError 400."""
    meta = value.get("metadata")
    if isinstance(meta, dict) and value.get("kind"):
        if meta.get("name") and meta["name"] != call.target.name:
            create.check_name(call, value)
        namespace = meta.get("namespace")
        if namespace and call.resource.namespaced and namespace != call.target.namespace:
            create.place(call, value)
