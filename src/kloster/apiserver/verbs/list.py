"""LIST: stored bytes, joined.

A list reads one consistent state: the newest, or an older one that the log can still rebuild (an exact
resourceVersion, the later pages of a paged list). Long lists are sent in slices, so that nobody else waits for them.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

import orjson

from kloster.apimachinery import errors
from kloster.apiserver import answers, options, selection, storage, tables
from kloster.apiserver.call import Call
from kloster.apiserver.negotiation import JSON, Form
from kloster.apiserver.options import InconsistentContinue, ListOptions, Token
from kloster.apiserver.resources import Served
from kloster.apiserver.selection import Selection
from kloster.client.transport import Response
from kloster.stores.api import Compacted, Entry, FutureRevision, View

_SLICE = 500


@dataclass(frozen=True, slots=True)
class Page:
    """What one answer shows. `remaining` is None when it is not told (selectors, last page)."""

    entries: Sequence[Entry]
    revision: int
    token: str = ""
    remaining: int | None = None

    def metadata(self, custom: bool = False) -> bytes:
        """ListMeta as JSON. Lists of custom resources are maps: sorted, with an empty continue."""
        about: dict[str, str | int] = {"resourceVersion": str(self.revision)}
        if custom:
            about["continue"] = self.token
            if self.remaining:
                about["remainingItemCount"] = self.remaining
            return orjson.dumps(about, option=orjson.OPT_SORT_KEYS)
        if self.token:
            about["continue"] = self.token
        if self.remaining:
            about["remainingItemCount"] = self.remaining
        return orjson.dumps(about)


def serve(call: Call) -> Response:
    asked = options.parse(call)
    form = check_form(call)
    return answer(call, form, page(call, asked, selection.select(call, asked)))


def check_form(call: Call) -> Form:
    """The form of a list. Raises StatusError 406."""
    form = call.form()
    if form.view:
        tables.check(form, call.resource, is_list=True)
    return form


def page(call: Call, asked: ListOptions, selected: Selection) -> Page:
    """The page asked for."""
    view, revision, after = _position(call, asked)
    found = selected.scan(view, after)
    if not asked.limit:
        return Page(list(found), revision)
    entries = list(islice(found, asked.limit))
    rest = sum(1 for _ in found)
    if not rest:
        return Page(entries, revision)
    token = options.encode_token(Token(revision, entries[-1].key[1:]))
    return Page(entries, revision, token, rest if selected.labels is None and selected.fields is None else None)


def _position(call: Call, asked: ListOptions) -> tuple[View, int, tuple[str, str] | None]:
    """The state to read, its revision, and the key to go on after."""
    store = call.cluster.store
    if asked.token:
        token = options.decode_token(asked.token)
        if asked.version and asked.version != "0":
            raise errors.bad_request("specifying resource version is not allowed when using continue")
        if token.revision < 0:
            return store, store.revision, token.after
        try:
            return store.at(token.revision), token.revision, token.after
        except (Compacted, FutureRevision):
            raise InconsistentContinue(options.encode_token(Token(-1, token.after))) from None
    try:
        version = options.parse_version(asked.version)
    except ValueError as error:
        raise errors.bad_request(f"invalid resource version: {error}") from None
    if version > store.revision:
        raise errors.too_large_resource_version(version, store.revision)
    exact = asked.match == "Exact" or (asked.limit and not asked.match)
    if not version or not exact or version == store.revision:
        return store, store.revision, None
    try:
        return store.at(version), version, None
    except Compacted:
        raise errors.expired("The resourceVersion for the provided list is too old.") from None


def answer(call: Call, form: Form, shown: Page) -> Response:
    """The page in its form."""
    served = call.resource
    if form.media in call.cluster.codecs and not form.view:
        return _coded(call, form, shown)
    row_order = served.kind.strategy.row_order
    if form.view == "Table" and row_order is not None:
        ranked = [(row_order(storage.thaw(served, entry)), entry) for entry in shown.entries]
        shown = replace(shown, entries=[entry for _, entry in sorted(ranked, key=lambda pair: pair[0])])
    encode = _encoder(call, form, served)
    head, tail = _frame(form, served, shown)
    if form.media != JSON or call.pretty():
        document = b"".join((head, b",".join(encode(entry) for entry in shown.entries), tail))
        kind = call.cluster.catalog.type(served.group, served.version, served.list_kind)
        return answers.json_document(call, document, 200, form, None if form.view else kind)
    tail += b"\n"
    if len(shown.entries) <= _SLICE:
        body = b"".join((head, b",".join([encode(entry) for entry in shown.entries]), tail))
        return Response(200, answers.headers(call), body)
    return Response(200, answers.headers(call), stream=_stream(head, shown.entries, tail, encode))


def _coded(call: Call, form: Form, shown: Page) -> Response:
    """The page in another serialization, from the encoded items that are kept."""
    served, forms, codec = call.resource, call.cluster.forms, call.cluster.codecs[form.media]
    schema = call.cluster.catalog.type(served.group, served.version, served.list_kind)
    assert schema is not None
    parts = [forms.encoded(served, entry, codec) for entry in shown.entries]
    metadata = orjson.loads(shown.metadata())
    body = codec.collect(served.kind.api_version, served.list_kind, metadata, schema, parts)
    return Response(200, answers.headers(call, form.media), body)


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


async def _stream(
    head: bytes, entries: Sequence[Entry], tail: bytes, encode: Callable[[Entry], bytes]
) -> AsyncIterator[bytes]:
    """The same in slices; the server waits for the peer between them."""
    yield head
    for start in range(0, len(entries), _SLICE):
        joined = b",".join([encode(entry) for entry in entries[start : start + _SLICE]])
        yield joined if start == 0 else b"," + joined
    yield tail
