"""LIST: stored bytes, joined.

Which objects: `pages`. A short list is one answer. Of a long one the answer is a stream of slices: each is made when
the one before has left, and everybody else gets a turn in between.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from time import perf_counter

import orjson

from kloster.aio.turns import SLICE, Turn
from kloster.apimachinery import errors
from kloster.apimachinery.schema.model import StructType
from kloster.apiserver import answers, aside, options, selection, storage, tables, yaml_text
from kloster.apiserver.answers import Answer
from kloster.apiserver.call import Call
from kloster.apiserver.customresources import conversion
from kloster.apiserver.customresources.conversion import Missing
from kloster.apiserver.negotiation import JSON, YAML, Codec, Form
from kloster.apiserver.resources import Served
from kloster.apiserver.verbs import pages
from kloster.apiserver.verbs.pages import Page
from kloster.client.transport import Response
from kloster.stores.api import Entry

_MOST = 4 << 20
"""Bytes of an answer that leaves as a whole."""
_PIECE = 256 << 10
"""Bytes of a stream that are sent, hence encrypted, in one go: what the processor has at hand."""
_TOGETHER = 16
"""Objects that are copied without a look at the clock."""


def serve(call: Call) -> Answer:
    asked = options.parse(call)
    form = check_form(call)
    found = pages.page(call, asked, selection.select(call, asked))
    return answer(call, form, found) if isinstance(found, Page) else _later(call, form, found)


async def _later(call: Call, form: Form, found: Awaitable[Page]) -> Response:
    return await answer_whole(call, form, await found)


def check_form(call: Call) -> Form:
    """The form of a list. Raises StatusError 406."""
    form = call.form()
    if form.view:
        tables.check(form, call.resource, is_list=True)
    return form


async def answer_whole(call: Call, form: Form, shown: Page) -> Response:
    """As `answer`, for whoever waits in any case."""
    found = answer(call, form, shown)
    return found if isinstance(found, Response) else await found


def answer(call: Call, form: Form, shown: Page) -> Answer:
    """The page in its form."""
    served = call.resource
    if served.asks:
        return _asked(call, form, shown)
    if form.media in call.cluster.codecs and not form.view:
        return _coded(call, form, shown)
    row_order = served.kind.strategy.row_order
    if form.view == "Table" and row_order is not None and len(shown.entries) > 1:
        return _ordered(call, form, shown, row_order)
    if form.media == YAML:
        return _yaml(call, form, shown)
    if form.media != JSON:  # metadata alone, in a form that is written as a whole
        return _other(call, form, shown)
    return _json(call, form, shown)


def _json(call: Call, form: Form, shown: Page) -> Response:
    head, tail = _frame(form, call.resource, shown)
    encode, separator, step = _several(call, form), b",", 1 if form.view else _TOGETHER
    if call.pretty():
        head, tail = _indented_frame(head, tail, bool(shown.entries))
        separator, step = b",\n    ", 1
        encode = _one_by_one(partial(_indented, _encoder(call, form, call.resource)), separator)
    else:
        tail += b"\n"
    slices = _Slices(shown.entries, encode, separator, step)
    first = [head, *slices.next()]
    if not slices.left:
        first.append(tail)
        return Response(200, answers.headers(call), b"".join(first))
    return Response(200, answers.headers(call), stream=_stream(first, partial(slices.next, _PIECE), tail))


class _Slices:
    """The items, in slices that neither take long nor are large, as bytes to be joined."""

    def __init__(
        self, entries: Sequence[Entry], encode: Callable[[Sequence[Entry]], bytes], separator: bytes, step: int
    ) -> None:
        self._entries = entries
        self._encode = encode
        self._separator = separator
        self._step = step
        self._done = 0

    @property
    def left(self) -> bool:
        """Whether there are more."""
        return self._done < len(self._entries)

    def next(self, most: int = _MOST) -> list[bytes]:
        """The next one; empty when there are no more."""
        parts, size, end = list[bytes](), 0, perf_counter() + SLICE
        while self.left:
            if self._done:
                parts.append(self._separator)
            part = self._encode(self._entries[self._done : self._done + self._step])
            self._done += self._step
            parts.append(part)
            size += len(part)
            if size > most or perf_counter() > end:
                break
        return parts


async def _stream(parts: list[bytes], more: Callable[[], list[bytes]], tail: bytes) -> AsyncIterator[bytes]:
    """The slices; the server waits for the peer between them, and others have their turn."""
    turn = Turn()
    while parts:
        for piece in _pieces(parts):
            yield piece
            await turn.next()
        parts = more()
    yield tail


def _pieces(parts: Sequence[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces that are sent in one go."""
    some, size = list[bytes](), 0
    for part in parts:
        some.append(part)
        size += len(part)
        if size >= _PIECE:
            yield from _cut(b"".join(some))
            some, size = [], 0
    if some:
        yield b"".join(some)


def _cut(whole: bytes) -> Iterator[bytes]:
    if len(whole) < 2 * _PIECE:
        yield whole
    else:
        yield from (whole[start : start + _PIECE] for start in range(0, len(whole), _PIECE))


def _several(call: Call, form: Form) -> Callable[[Sequence[Entry]], bytes]:
    """Encodes some objects, with commas between them."""
    if not form.view:
        return partial(call.cluster.forms.list_items, call.resource)
    return _one_by_one(_encoder(call, form, call.resource), b",")


def _one_by_one(encode: Callable[[Entry], bytes], separator: bytes) -> Callable[[Sequence[Entry]], bytes]:
    return lambda entries: separator.join([encode(entry) for entry in entries])


# --- other forms --------------------------------------------------------------------------------------------------


async def _ordered(call: Call, form: Form, shown: Page, row_order: Callable[..., object]) -> Response:
    """A table whose rows have an order of their own."""
    served, turn = call.resource, Turn()
    ranked = []
    for entry in shown.entries:
        ranked.append((row_order(storage.thaw(served, entry)), entry))
        if turn.over():
            await turn.next()
    entries = [entry for _, entry in sorted(ranked, key=lambda pair: pair[0])]  # type: ignore[arg-type, return-value]
    page = replace(shown, entries=entries)
    return await _yaml(call, form, page) if form.media == YAML else _json(call, form, page)


_ASKED_TOGETHER = 100


async def _asked(call: Call, form: Form, shown: Page) -> Response:
    """Objects that a webhook converts, so many at a time; each is encoded as soon as its answer is there."""
    encode, parts = _encoder(call, form, call.resource), list[bytes]()
    for start in range(0, len(shown.entries), _ASKED_TOGETHER):
        parts += await _converted(call, encode, shown.entries[start : start + _ASKED_TOGETHER])
    head, tail = _frame(form, call.resource, shown)
    found = answers.whole(call, b"".join((head, b",".join(parts), tail)), 200, form, None)
    return found if isinstance(found, Response) else await found


async def _converted(call: Call, encode: Callable[[Entry], bytes], entries: Sequence[Entry]) -> list[bytes]:
    for _ in range(answers.TRIES):
        parts, missing = list[bytes](), list[Missing]()
        for entry in entries:
            try:
                parts.append(encode(entry))
            except Missing as one:
                missing.append(one)
        if not missing:
            return parts
        same = [one for one in missing if one.target == missing[0].target]
        await conversion.ask_for(same, call.outside)
    raise errors.internal("webhooks were asked again and again")


def _coded(call: Call, form: Form, shown: Page) -> Answer:
    """The page in another serialization, from the encoded items that are kept."""
    codec, schema = call.cluster.codecs[form.media], _list_type(call)
    parts: list[bytes] = []
    turn = Turn()
    for number, entry in enumerate(shown.entries):
        if turn.over() or _is_heavy(call, entry, codec):
            return _coded_slowly(call, form, shown, parts, number)
        parts.append(call.cluster.forms.encoded(call.resource, entry, codec))
    return _collected(call, form, shown, codec, schema, parts)


async def _coded_slowly(call: Call, form: Form, shown: Page, parts: list[bytes], number: int) -> Response:
    served, forms, codec = call.resource, call.cluster.forms, call.cluster.codecs[form.media]
    turn = Turn()
    for entry in shown.entries[number:]:
        if _is_heavy(call, entry, codec):
            part = await aside.run(call, True, partial(_part, codec, forms.document(served, entry), served.kind.type))
            forms.keep_encoded(served, entry, codec, part)
        else:
            part = forms.encoded(served, entry, codec)
        parts.append(part)
        if turn.over():
            await turn.next()
    return _collected(call, form, shown, codec, _list_type(call), parts)


def _part(codec: Codec, document: bytes, schema: StructType) -> bytes:
    return codec.part(orjson.loads(document), schema)


def _is_heavy(call: Call, entry: Entry, codec: Codec) -> bool:
    """Whether encoding it takes long and has not been done yet."""
    return aside.size_of(entry) > aside.LONG and not call.cluster.forms.has_encoded(call.resource, entry, codec)


def _collected(
    call: Call, form: Form, shown: Page, codec: Codec, schema: StructType, parts: Sequence[bytes]
) -> Response:
    served = call.resource
    body = codec.collect(served.kind.api_version, served.list_kind, orjson.loads(shown.metadata()), schema, parts)
    found = answers.headers(call, form.media)
    if len(body) <= _MOST:
        return Response(200, found, body)
    return Response(200, found, stream=_stream([body], lambda: [], b""))


def _list_type(call: Call) -> StructType:
    served = call.resource
    schema = call.cluster.catalog.type(served.group, served.version, served.list_kind)
    assert schema is not None
    return schema


async def _other(call: Call, form: Form, shown: Page) -> Response:
    """Any view in any form: made of the JSON document."""
    encode, turn = _encoder(call, form, call.resource), Turn()
    head, tail = _frame(form, call.resource, shown)
    parts = []
    for entry in shown.entries:
        parts.append(encode(entry))
        if turn.over():
            await turn.next()
    found = answers.whole(call, b"".join((head, b",".join(parts), tail)), 200, form, None)
    return found if isinstance(found, Response) else await found


_MARK = "here"


async def _yaml(call: Call, form: Form, shown: Page) -> Response:
    """YAML, which is slow to write: some objects at a time, aside."""
    encode = _encoder(call, form, call.resource)
    head, tail = _frame(form, call.resource, shown)
    if not shown.entries:
        return Response(200, answers.headers(call, YAML), yaml_text.dump(orjson.loads(head + tail)))
    frame = yaml_text.dump(orjson.loads(b"".join((head, orjson.dumps(_MARK), tail))))
    before, _, after = frame.partition(f"\n- {_MARK}\n".encode())
    return Response(200, answers.headers(call, YAML), stream=_yaml_stream(call, before + b"\n", shown, after, encode))


async def _yaml_stream(
    call: Call, head: bytes, shown: Page, tail: bytes, encode: Callable[[Entry], bytes]
) -> AsyncIterator[bytes]:
    yield head
    left = iter(shown.entries)
    while documents := _some(left, encode):
        yield await aside.run(call, True, lambda some=documents: yaml_text.dump(orjson.loads(some)))  # type: ignore[misc]
    yield tail


def _some(left: Iterator[Entry], encode: Callable[[Entry], bytes]) -> bytes:
    """The next objects as a JSON list, up to about `aside.LONG` bytes; empty if there are none."""
    parts, size = list[bytes](), 0
    for entry in left:
        parts.append(encode(entry))
        size += len(parts[-1])
        if size > aside.LONG:
            break
    return b"[" + b",".join(parts) + b"]" if parts else b""


# --- items, and what stands around them ---------------------------------------------------------------------------


def _encoder(call: Call, form: Form, served: Served) -> Callable[[Entry], bytes]:
    forms = call.cluster.forms
    if form.view == "Table":
        included = tables.include(call)
        return lambda entry: tables.row(call, served, entry, form, included)
    if form.view:
        return lambda entry: tables.metadata_object(form.version, forms.metadata(served, entry))
    return lambda entry: forms.list_item(served, entry)


def _frame(form: Form, served: Served, shown: Page) -> tuple[bytes, bytes]:
    """What stands before and after the items."""
    if form.view == "Table":
        whole = tables.table(form.version, shown.metadata(), tables.columns(served), b"")
        return whole[:-2], whole[-2:]
    kind, version = served.list_kind, served.kind.api_version
    if form.view:
        kind, version = "PartialObjectMetadataList", f"meta.k8s.io/{form.version}"
    names = {"kind": kind, "apiVersion": version}
    if not served.kind.builtin and not form.view:  # an unstructured list: a map, written with sorted keys
        api_version = orjson.dumps({"apiVersion": version})[:-1]
        named = orjson.dumps({"kind": kind, "metadata": orjson.Fragment(shown.metadata(custom=True))})[1:]
        return api_version + b',"items":[', b"]," + named
    metadata = shown.metadata()
    return orjson.dumps(names)[:-1] + b',"metadata":' + metadata + b',"items":[', b"]}"


def _indented(encode: Callable[[Entry], bytes], entry: Entry) -> bytes:
    """An item as it stands in an indented list. (Line breaks in texts are escaped.)"""
    return orjson.dumps(orjson.loads(encode(entry)), option=orjson.OPT_INDENT_2).replace(b"\n", b"\n    ")


def _indented_frame(head: bytes, tail: bytes, items: bool) -> tuple[bytes, bytes]:
    whole = orjson.dumps(orjson.loads(head + b"0" * items + tail), option=orjson.OPT_INDENT_2)
    if not items:
        return whole, b""
    before, mark, after = whole.partition(b"[\n    0\n  ]")
    return before + mark[:6], mark[7:] + after
