"""From what a verb found to a `Response`: status, headers, and the body in the agreed form.

The common case copies bytes: a stored object in its own version as JSON. Every other form is made from the JSON
document or the decoded object; where that takes long, aside: the answer is then an awaitable.
"""

from __future__ import annotations

import random
import re
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

import orjson

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import StatusError
from kloster.apimachinery.schema import encode
from kloster.apimachinery.schema.model import StructType
from kloster.apiserver import aside, flow, negotiation, storage, tables, yaml_text
from kloster.apiserver.call import Call
from kloster.apiserver.negotiation import JSON, PLAIN, YAML, Form
from kloster.apiserver.pending import Pending
from kloster.apiserver.resources import Served
from kloster.client.transport import Response
from kloster.stores.api import Entry

LINE_END = b"\n"
_NO_CACHE = "no-cache, private"
_bits = random.Random().getrandbits  # audit ids need be unique, not secret


def audit_id() -> str:
    """A random UUID."""
    text = f"{_bits(128):032x}"
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-a{text[17:20]}-{text[20:]}"


def headers(call: Call, content_type: str = JSON) -> dict[str, str]:
    """What every answer carries."""
    found = {
        "audit-id": call.audit_id or call.request.headers.get("audit-id") or audit_id(),
        "cache-control": _NO_CACHE,
        "content-type": content_type,
        **flow.headers(call.cluster, call.user),
    }
    if call.warnings:
        told = warnings(call.warnings)
        if told:
            found["warning"] = ", ".join(f'299 - "{_escaped(text)}"' for text in told)
    return found


MOST_WARNING, SHORT_WARNING = 4096, 256
"""Characters of warnings that an answer has; if there are more, each is cut to the latter, as upstream does."""
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")


def warnings(texts: Iterable[str]) -> list[str]:
    """Those that are told: each once, none with control characters, and not too much in all."""
    found = [text for text in dict.fromkeys(texts) if text and not _CONTROL.search(text)]
    if sum(map(len, found)) <= MOST_WARNING:
        return found
    cut: list[str] = []
    written = 0
    for text in found:
        if written >= MOST_WARNING:
            break
        cut.append(text[:SHORT_WARNING])
        written += len(cut[-1])
    return cut


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


Answer = Response | Awaitable[Response]


def entry(call: Call, found: Entry, status: int = 200) -> Answer:
    """A stored object."""
    form = call.form()
    served = call.resource
    if form.view:
        return view_of(call, form, served, found, status)
    forms = call.cluster.forms
    if form.media == JSON and not call.pretty():  # nearly always: what is stored, copied once
        return Response(status, headers(call), forms.document(served, found, end=LINE_END))
    return whole(call, forms.document(served, found), status, form, served.kind.type)


TRIES = 64
"""How often an answer may need another answer from outside."""


async def settled(call: Call, make: Callable[[], Answer]) -> Response:
    """What `make` comes to, once everything that it needs from outside is known. Raises StatusError."""
    for _ in range(TRIES):
        try:
            found = make()
            return found if isinstance(found, Response) else await found
        except Pending as pending:
            await pending.ask(call.outside)
    raise errors.internal("webhooks were asked again and again")


def item(call: Call, value: Object, status: int = 200, served: Served | None = None) -> Answer:
    """An object (in the storage version) that is not stored: a dry run, a virtual resource."""
    served = served or call.resource
    form = call.form()
    if form.view:
        body = tables.unstored(served, value, form, call.request.param("includeObject"), call.cluster.clock.now())
        return json_document(call, body, status, form, None)
    return whole(call, storage.document(served, value), status, form, served.kind.type)


def view_of(call: Call, form: Form, served: Served, found: Entry, status: int) -> Response:
    """A stored object as Table or PartialObjectMetadata."""
    body = tables.single(call, served, found, form)
    return json_document(call, body, status, form, None)


def whole(call: Call, document: bytes, status: int, form: Form, schema: StructType | None) -> Answer:
    """As `json_document`, for documents of any length."""
    if len(document) <= aside.LONG or (form.media == JSON and not call.pretty()):
        return json_document(call, document, status, form, schema)
    return _long(call, document, status, form, schema)


async def _long(call: Call, document: bytes, status: int, form: Form, schema: StructType | None) -> Response:
    body = await aside.run(call, True, partial(_serialized, call, document, form, schema))
    return Response(status, headers(call, form.media), body)


def json_document(
    call: Call, document: bytes, status: int = 200, form: Form = PLAIN, schema: StructType | None = None
) -> Response:
    """A complete JSON document in the agreed serialization."""
    return Response(status, headers(call, form.media), _serialized(call, document, form, schema))


def _serialized(call: Call, document: bytes, form: Form, schema: StructType | None) -> bytes:
    """Upstream ends JSON with a new line unless it is indented."""
    if form.media == JSON:
        if call.pretty():
            return orjson.dumps(orjson.loads(document), option=orjson.OPT_INDENT_2)
        return document + LINE_END
    value = orjson.loads(document)
    if form.media == YAML:
        return yaml_text.dump(value)
    schema = schema or call.cluster.catalog.type("", "v1", value.get("kind", ""))
    if schema is None:
        raise errors.not_acceptable(f"406: Not Acceptable\n\nAvailable representations: {JSON}")
    return call.cluster.codecs[form.media].encode(value, schema)


def value(call: Call, body: Any, status: int = 200, schema: StructType | None = None) -> Response:
    """An object given as a dictionary, complete with kind and apiVersion; in no other view than its own."""
    return json_document(call, orjson.dumps(body), status, call.form(views=False), schema)


def typed(call: Call, body: Object, schema: StructType, status: int = 200) -> Response:
    """An object of a type that is never stored, in its canonical form."""
    return json_document(call, encode.dumps(schema, body), status, call.form(views=False), schema)


def text(call: Call, body: str, status: int = 200, content_type: str = "text/plain; charset=utf-8") -> Response:
    found = headers(call, content_type)
    found["x-content-type-options"] = "nosniff"
    return Response(status, found, body.encode())


def not_found_text(call: Call) -> Response:
    """A path outside every known group."""
    return text(call, "404 page not found\n", 404)


def error(call: Call, failure: StatusError) -> Response:
    """An error as a Status, in the serialization asked for if it is one we know."""
    form = PLAIN
    accept = call.request.headers.get("accept")
    if accept:
        try:
            agreed = negotiation.negotiate(accept, call.offered())
            form = Form(agreed.media)
        except StatusError:
            form = PLAIN
    response = json_document(call, orjson.dumps(failure.status()), failure.code, form, _status_type(call))
    if failure.retry_after:
        response.headers["retry-after"] = str(failure.retry_after)
    return response


def success(call: Call, details: Object) -> Response:
    """The Status that answers a deletion."""
    body = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details}
    return value(call, body, 200, _status_type(call))


def _status_type(call: Call) -> StructType | None:
    return call.cluster.catalog.type("", "v1", "Status")
