"""Which form an answer takes, and in which form a body came.

A client lists media types in ``Accept`` with weights; the best one that can be made wins. A parameter ``as`` asks
for another view of the same objects: ``Table`` (what kubectl prints) or ``PartialObjectMetadata`` (metadata alone).
Upstream checks twice: its router first (is any type offered at all? ``*/*`` counts, ``application/*`` does not),
its serializer then (does a clause fit with its parameters?); the two have different texts.

`Codec` is the seam for other serializations: JSON is what is stored and needs none; YAML is here; protobuf is
plugged in.

Source: https://kubernetes.io/docs/reference/using-api/api-concepts/#alternate-representations-of-resources
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

from kloster.apimachinery import Object, errors
from kloster.apimachinery.schema.model import StructType

JSON = "application/json"
YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"

_META_GROUP = "meta.k8s.io"
_META_VERSIONS = frozenset({"v1", "v1beta1"})
VIEWS = frozenset({"Table", "PartialObjectMetadata", "PartialObjectMetadataList"})


class Unreadable(ValueError):
    """Bytes in which a codec finds no object; the message is upstream's."""


class Codec(Protocol):
    """A serialization other than JSON, of objects whose type is known. `media_type` is its name in Accept."""

    media_type: str

    def encode(self, value: Object, schema: StructType) -> bytes:
        """One complete object (with kind and apiVersion)."""
        ...

    def part(self, value: Object, schema: StructType) -> bytes:
        """An object as it stands in others; what is kept of an entry."""
        ...

    def complete(self, api_version: str, kind: str, part: bytes) -> bytes:
        """The complete object of a part."""
        ...

    def collect(
        self, api_version: str, kind: str, metadata: Object, schema: StructType, parts: Iterable[bytes]
    ) -> bytes:
        """A list (of type `schema`) of parts."""
        ...

    def frame(self, type: str, value: bytes) -> bytes:
        """One watch event of a complete object."""
        ...

    def identity(self, data: bytes) -> tuple[str, str]:
        """(apiVersion, kind) that `data` says it has, empty where it says nothing. Raises Unreadable."""
        ...

    def decode(self, data: bytes, schema: StructType) -> Object:
        """The object in `data`, complete. Raises Unreadable."""
        ...


@dataclass(frozen=True, slots=True)
class Form:
    """The form that was agreed on.

    media    a media type without parameters
    view     "" for the object itself, otherwise one of `VIEWS`
    version  of meta.k8s.io, for a view
    """

    media: str = JSON
    view: str = ""
    version: str = "v1"

    @property
    def plain(self) -> bool:
        return not self.view and self.media == JSON


PLAIN = Form()


@dataclass(frozen=True, slots=True)
class _Clause:
    type: str
    subtype: str
    parameters: Mapping[str, str]
    quality: float


_MOST_CLAUSES = 64
_LONGEST_KEPT = 1024


def parse_accept(header: str) -> tuple[_Clause, ...]:
    """The clauses of an Accept header, best first. What a client wants stands among the first of them: a header may
    have a megabyte, and nobody else should wait for it to be read."""
    clauses = []
    for part in header.split(",", _MOST_CLAUSES)[:_MOST_CLAUSES]:
        media, *parameters = (piece.strip() for piece in part.split(";"))
        type_, _, subtype = media.partition("/")
        values = dict(pair.split("=", 1) for pair in parameters if "=" in pair)
        try:
            quality = float(values.pop("q", "1"))
        except ValueError:
            quality = 1.0
        if type_ == "*" and not subtype:
            subtype = "*"
        clauses.append(_Clause(type_, subtype, values, quality))
    clauses.sort(key=lambda clause: (-clause.quality, clause.type == "*", clause.subtype == "*"))
    return tuple(clauses)


def negotiate(accept: str, offered: tuple[str, ...], views: bool = True, typed: bool = True) -> Form:
    """The form for an Accept header, from what is `offered`, best first. Raises StatusError 406.

    `views`: the answer exists as Table and PartialObjectMetadata as well. `typed`: it is of a built-in type; of
    others there is nothing but bare metadata in protobuf, and they have no router in front.
    """
    agree = _negotiate if len(accept) > _LONGEST_KEPT else _kept
    return agree(accept, offered, views, typed)


def _negotiate(accept: str, offered: tuple[str, ...], views: bool, typed: bool) -> Form:
    if not accept:
        return PLAIN
    clauses = parse_accept(accept)
    listed = ", ".join(offered)
    if typed and not any((c.type, c.subtype) == ("*", "*") or f"{c.type}/{c.subtype}" in offered for c in clauses):
        error = errors.not_acceptable(f"406: Not Acceptable\n\nAvailable representations: {listed}")
        error.details = {}
        raise error
    for clause in clauses:
        for media in offered:
            type_, _, subtype = media.partition("/")
            if clause.type not in (type_, "*") or clause.subtype not in (subtype, "*"):
                continue
            form = _with_view(clause, media, views)
            if form is not None and (media != PROTOBUF or _has_message(form, typed)):
                return form
    raise errors.not_acceptable(f"only the following media types are accepted: {listed}")


_kept = lru_cache(maxsize=4096)(_negotiate)


def _with_view(clause: _Clause, media: str, views: bool) -> Form | None:
    view = clause.parameters.get("as", "")
    if not view:
        return Form(media)
    version = clause.parameters.get("v", "")
    known = view in VIEWS and clause.parameters.get("g") == _META_GROUP and version in _META_VERSIONS
    return Form(media, view, version) if views and known else None


def _has_message(form: Form, typed: bool) -> bool:
    """Tables exist in text only."""
    return form.view != "Table" and (typed or bool(form.view))


def body_type(header: str) -> str:
    """The media type of a body, without parameters. No header means JSON."""
    return header.partition(";")[0].strip().lower() or JSON


def wants_pretty(parameter: str | None, user_agent: str) -> bool:
    """Whether JSON is indented: asked for, or for people with curl, wget or a browser."""
    if parameter is not None:
        return parameter.lower() not in ("0", "false", "")
    return user_agent.startswith(("curl", "Wget", "Mozilla/5.0"))


def unsupported_body(media: str, offered: tuple[str, ...]) -> errors.StatusError:
    """415 for a body in a form that nobody reads."""
    listed = ", ".join(offered)
    return errors.unsupported_media_type(
        f"the body of the request was in an unknown format - accepted media types include: {listed}"
    )


def shape_of(value: Any) -> str:
    """Go's word for a JSON value, as decoding errors use it."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    if isinstance(value, list):
        return "array"
    return "object" if isinstance(value, dict) else "null"
