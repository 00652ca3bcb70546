"""WATCH: where to begin, which form the events take, and the stream that sends them.

Without a resourceVersion (or with "0") the present objects come first as ADDED; with one, only what came later.
``sendInitialEvents`` asks for the first explicitly and marks its end with a bookmark.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import orjson

from kloster.apimachinery import errors
from kloster.apimachinery.errors import StatusError
from kloster.apiserver import answers, negotiation, options, selection, tables, websocket
from kloster.apiserver.call import Call
from kloster.apiserver.negotiation import JSON, Codec, Form
from kloster.apiserver.options import ListOptions
from kloster.apiserver.pending import Pending
from kloster.apiserver.resources import Served
from kloster.apiserver.selection import Selection
from kloster.apiserver.watch import WatchStream
from kloster.client.transport import Duplex, Response
from kloster.stores.api import Compacted, Entry

_INITIAL_END = "k8s.io/initial-events-end"
_MIN_TIMEOUT = 1800.0
_spread = random.Random().random


def serve(call: Call) -> Response:
    asked = options.parse(call, watch=True)
    form = _form(call)
    selected = selection.select(call, asked)
    frames = _frames(call, form, selected.served)
    content_type = JSON if form.media == JSON else f"{form.media};stream=watch"
    begin = _stream(call, asked, selected, frames)
    if websocket.is_asked_for(call.request.headers):
        return _over_websocket(call, form, begin, frames)
    try:
        stream = begin()
    except Compacted as error:
        return Response(200, answers.headers(call, content_type), _too_old(frames, error))
    return Response(200, answers.headers(call, content_type), stream=stream)


def _too_old(frames: JsonFrames, error: Compacted) -> bytes:
    gone = errors.expired(f"too old resource version: {error.asked} ({error.oldest - 1})")
    return frames.error(gone)


def _over_websocket(call: Call, form: Form, begin: Callable[[], WatchStream], frames: JsonFrames) -> Response:
    """The same events as messages: text where the form is text. The watch begins when the connection has changed."""
    headers = call.request.headers
    refused = websocket.refusal(headers)
    if refused is not None:
        return refused
    split, opcode = (_lines, websocket.TEXT) if form.media == JSON else (_unframed, websocket.BINARY)

    async def take_over(duplex: Duplex) -> None:
        try:
            stream: websocket.Chunks = begin()
        except Compacted as error:
            stream = _Single(_too_old(frames, error))
        await websocket.send(duplex, stream, split, opcode)

    return Response(101, websocket.agreement(headers), upgrade=take_over)


class _Single:
    """One chunk."""

    def __init__(self, chunk: bytes) -> None:
        self._chunks = [chunk]

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._chunks:
            raise StopAsyncIteration
        return self._chunks.pop()

    async def aclose(self) -> None:
        """Nothing is held."""


def _lines(chunk: bytes) -> list[bytes]:
    return chunk.splitlines(keepends=True)


def _unframed(chunk: bytes) -> Iterator[bytes]:
    """Events of a form whose events are preceded by their length: a frame says that anyway."""
    at = 0
    while at < len(chunk):
        begin = at + 4
        at = begin + int.from_bytes(chunk[at:begin], "big")
        yield chunk[begin:at]


def _form(call: Call) -> Form:
    """The form of the events. YAML cannot be streamed."""
    call.form()  # upstream agrees on a form as for a list first, and words what it refuses then in another way
    accept = call.request.headers.get("accept", "")
    offered = tuple(media for media in call.offered() if media != negotiation.YAML)
    try:
        form = negotiation.negotiate(accept, offered, typed=call.typed) if accept else negotiation.PLAIN
    except StatusError:
        listed = ", ".join(f"{media};stream=watch" for media in offered)
        raise errors.not_acceptable(f"only the following media types are accepted: {listed}") from None
    if form.view == "PartialObjectMetadataList":
        form = Form(form.media, "PartialObjectMetadata", form.version)
    return form


def _stream(call: Call, asked: ListOptions, selected: Selection, frames: JsonFrames) -> Callable[[], WatchStream]:
    """What begins the watch as it was asked for. Raises StatusError now, Compacted when it is called."""
    store, served = call.shown, call.resource
    try:
        version = options.parse_version(asked.version)
    except ValueError as error:
        raise StatusError(500, "", str(error)) from None
    show_present = asked.initial_events if asked.initial_events is not None else version == 0
    if asked.initial_events and version > store.revision:
        raise errors.too_large_resource_version(version, store.revision)
    timeout = float(asked.timeout) if asked.timeout else _MIN_TIMEOUT * (1 + _spread())
    target = (served.group, served.version, served.plural)
    resources = call.cluster.resources

    def begin() -> WatchStream:
        return WatchStream(
            store,
            selected,
            frames,
            initial=list(selected.scan(store)) if show_present else (),
            after=store.revision if show_present or version == 0 else version,
            mark_initial=bool(asked.initial_events and asked.bookmarks),
            bookmarks=asked.bookmarks,
            timeout=timeout,
            valid=lambda: resources.lookup(*target) is served,
        )

    return begin


def _frames(call: Call, form: Form, served: Served) -> JsonFrames:
    if form.view == "Table":
        frames: JsonFrames = TableFrames(call, served, form, tables.include(call))
    elif form.view:
        frames = MetadataFrames(call, served, form)
    else:
        frames = JsonFrames(call, served)
    return frames if form.media == JSON else CodecFrames(call, served, frames, call.cluster.codecs[form.media], form)


class JsonFrames:
    """Events as lines of JSON, the objects as they are stored."""

    def __init__(self, call: Call, served: Served) -> None:
        self.call = call
        self.served = served

    def event(self, type: str, entry: Entry, revision: int) -> bytes:
        return self.frame(type, self.object(entry, revision))

    def bookmark(self, revision: int, initial_end: bool) -> bytes:
        return self.frame("BOOKMARK", self.mark(revision, initial_end))

    def error(self, failure: StatusError) -> bytes:
        return self.frame("ERROR", orjson.dumps(failure.status()))

    async def settle(self, pending: Pending) -> None:
        await pending.ask(self.call.outside)

    def frame(self, type: str, document: bytes) -> bytes:
        return b'{"type":"%b","object":%b}\n' % (type.encode(), document)

    def object(self, entry: Entry, revision: int) -> bytes:
        return self.call.cluster.forms.document(self.served, entry, revision)

    def mark(self, revision: int, initial_end: bool) -> bytes:
        """The object of a bookmark: nothing but a resourceVersion."""
        kind = self.served.kind
        body = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": _progress(revision, initial_end)}
        return orjson.dumps(body, option=0 if kind.builtin else orjson.OPT_SORT_KEYS)


def _progress(revision: int, initial_end: bool) -> dict[str, object]:
    about: dict[str, object] = {"resourceVersion": str(revision)}
    if initial_end:
        about["annotations"] = {_INITIAL_END: "true"}
    return about


class MetadataFrames(JsonFrames):
    """Events with PartialObjectMetadata."""

    def __init__(self, call: Call, served: Served, form: Form) -> None:
        super().__init__(call, served)
        self.form = form

    def object(self, entry: Entry, revision: int) -> bytes:
        return tables.metadata_object(self.form.version, self.call.cluster.forms.metadata(self.served, entry, revision))

    def mark(self, revision: int, initial_end: bool) -> bytes:
        return tables.metadata_object(self.form.version, orjson.dumps(_progress(revision, initial_end)))


class TableFrames(JsonFrames):
    """Events with tables of one row; only the first has column definitions."""

    def __init__(self, call: Call, served: Served, form: Form, included: str) -> None:
        super().__init__(call, served)
        self.form = form
        self.included = included
        self.columns = tables.columns(served)

    def _table(self, revision: int, row: bytes) -> bytes:
        columns, self.columns = self.columns, b"null"
        return tables.table(self.form.version, b'{"resourceVersion":"%d"}' % revision, columns, row)

    def object(self, entry: Entry, revision: int) -> bytes:
        return self._table(revision, tables.row(self.call, self.served, entry, self.form, self.included, revision))

    def mark(self, revision: int, initial_end: bool) -> bytes:
        blank = [""] * len(self.served.kind.columns)
        about = tables.metadata_object(self.form.version, orjson.dumps(_progress(revision, initial_end)))
        beside = b"null" if self.included == "None" else about
        return self._table(revision, b'{"cells":%b,"object":%b}' % (orjson.dumps(blank), beside))


@dataclass(slots=True)
class CodecFrames(JsonFrames):
    """Events in another serialization: the JSON document of `inner`, encoded anew."""

    call: Call
    served: Served
    inner: JsonFrames
    codec: Codec
    form: Form

    def event(self, type: str, entry: Entry, revision: int) -> bytes:
        if self.form.view or revision != entry.revision:
            return self.frame(type, self.object(entry, revision))
        kind = self.served.kind
        part = self.call.cluster.forms.encoded(self.served, entry, self.codec)
        return self.codec.frame(type, self.codec.complete(kind.api_version, kind.kind, part))

    def frame(self, type: str, document: bytes) -> bytes:
        value = orjson.loads(document)
        schema = self.served.kind.type
        if self.form.view or type == "ERROR":
            found = self.call.cluster.catalog.type("", "v1", value["kind"])
            assert found is not None
            schema = found
        return self.codec.frame(type, self.codec.encode(value, schema))

    def object(self, entry: Entry, revision: int) -> bytes:
        return self.inner.object(entry, revision)

    def mark(self, revision: int, initial_end: bool) -> bytes:
        return self.inner.mark(revision, initial_end)
