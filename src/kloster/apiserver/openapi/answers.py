"""Answers to GETs below /openapi: the index, documents under their hash, the one document of version 2.

The index of version 3 names each document with the hash of its content. Under that address it may be kept for ever;
under another hash it is a redirection, without one it has an ETag only. What must first be made is made in a thread,
so that no other request waits for it.
Source: https://kubernetes.io/docs/concepts/overview/kubernetes-api/#openapi-interface-definition
"""

from __future__ import annotations

import asyncio
import hashlib
import zlib
from collections.abc import Awaitable, Callable, Sequence
from email.utils import formatdate

import orjson

from kloster.apimachinery.openapi.definitions import Form
from kloster.apimachinery.openapi.swagger import Swagger
from kloster.apiserver import answers, negotiation
from kloster.apiserver.cluster import ServedCluster
from kloster.apiserver.http import encoding
from kloster.apiserver.openapi import custom
from kloster.apiserver.openapi.builtin import BuiltIn, built_in
from kloster.apiserver.openapi.custom import Part, Remembered
from kloster.client.transport import Request, Response

_JSON = "application/json"
_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_WORTH_PACKING = 16 << 10
_YEAR = 365 * 86400


class OpenAPI:
    """The port `OpenAPIDocuments`. One serves all clusters of a process."""

    def __init__(self) -> None:
        self._remembered = Remembered()

    def answer(self, cluster: ServedCluster, request: Request) -> Response | Awaitable[Response]:
        version, _, path = request.path.removeprefix("/openapi/").partition("/")
        shared = built_in(cluster.catalog)
        if version == "v2" and not path:
            return self._swagger(cluster, shared, request)
        if version != "v3":
            return _plain(404, request, "404 page not found\n")
        if not path:
            return _bare(404, request) if request.path.endswith("/") else _index(cluster, shared, request)
        return self._document(cluster, shared, request, path)

    def _document(
        self, cluster: ServedCluster, shared: BuiltIn, request: Request, path: str
    ) -> Response | Awaitable[Response]:
        brought: Sequence[Part] = ()
        if path in shared.paths:
            mark, made = shared.hash(path), shared.has(path)
        else:
            brought = custom.parts(cluster).get(path, ())
            if not brought:
                return _bare(404, request)
            mark, made = custom.hash_of(shared, brought), False
        refused = _negotiated(request, mark)
        if refused is not None:
            return refused
        asked = request.param("hash")
        if asked and asked != mark:
            found = _headers(request, mark) | {"location": f"/openapi/v3/{path}?hash={mark}"}
            return Response(301, found)
        found = _headers(request, mark)
        if asked:
            expires = formatdate(cluster.clock.now() + _YEAR, usegmt=True)
            found |= {"cache-control": "public, immutable", "expires": expires}

        packed = encoding.accepts_gzip(request.headers.get("accept-encoding", ""))

        def make() -> bytes:
            document = self._remembered.document(shared, brought) if brought else shared.document(path)
            if packed and len(document) > _WORTH_PACKING:  # it is kept as the client wants it
                found["Content-Encoding"] = "gzip"
                return document
            return zlib.decompress(document, 31)

        custom.look_into(brought)
        return _made(found, make) if made else _later(found, make)

    def _swagger(self, cluster: ServedCluster, shared: BuiltIn, request: Request) -> Response | Awaitable[Response]:
        brought = [part for parts in custom.parts(cluster).values() for part in parts]
        mark = custom.hash_of(shared, brought) if brought else shared.hash("v2")
        refused = _negotiated(request, mark, _PROTOBUF)
        if refused is not None:
            return refused
        media = _agreed(request, _PROTOBUF)

        def make() -> bytes:
            swagger = shared.swagger
            if not brought:
                return swagger.protobuf() if media else swagger.text
            paths, schemas = custom.collected(Form.V2, brought, shared.catalog.descriptions())
            added = Swagger()
            added.add(paths, custom=True)
            return swagger.protobuf(added, schemas) if media else swagger.with_custom(added, schemas)

        custom.look_into(brought)
        found = _headers(request, mark)
        if media:
            found["content-type"] = media
        return _made(found, make) if shared.is_made and not brought else _later(found, make)


def _made(headers: dict[str, str], make: Callable[[], bytes]) -> Response:
    return Response(200, headers, make())


async def _later(headers: dict[str, str], make: Callable[[], bytes]) -> Response:
    return Response(200, headers, await asyncio.to_thread(make))


def _index(cluster: ServedCluster, shared: BuiltIn, request: Request) -> Response:
    marks = {path: shared.hash(path) for path in shared.paths}
    marks |= {path: custom.hash_of(shared, brought) for path, brought in custom.parts(cluster).items()}
    paths = {path: {"serverRelativeURL": f"/openapi/v3/{path}?hash={mark}"} for path, mark in sorted(marks.items())}
    body = orjson.dumps({"paths": paths})
    mark = hashlib.sha512(body).hexdigest().upper()
    return Response(200, _headers(request, mark) | {"content-type": "text/plain; charset=utf-8"}, body)


def _negotiated(request: Request, mark: str, binary: str = "") -> Response | None:
    """The answer if no document is to be sent: nothing acceptable, or nothing new."""
    if _agreed(request, binary) is None:
        found = _headers(request, mark)
        del found["content-type"]
        return Response(406, found)
    if f'"{mark}"' in request.headers.get("if-none-match", ""):
        found = _headers(request, mark)
        del found["content-type"]
        return Response(304, found)
    return None


def _agreed(request: Request, binary: str) -> str | None:
    """`binary` if it is asked for (it has two names), "" for JSON, None if neither will do."""
    accept = request.headers.get("accept", "")
    if not accept:
        return ""
    for clause in negotiation.parse_accept(accept):
        name = f"{clause.type}/{clause.subtype}"
        if name in (_JSON, "application/*", "*/*"):
            return ""
        if binary and name in (binary, binary.replace(".v1.0", "@v1.0")):
            return binary
    return None


def _headers(request: Request, mark: str) -> dict[str, str]:
    return {
        "audit-id": request.headers.get("audit-id") or answers.audit_id(),
        "cache-control": "no-cache, private",
        "content-type": _JSON,
        "etag": f'"{mark}"',
        "vary": "Accept",
    }


def _bare(status: int, request: Request) -> Response:
    audit = request.headers.get("audit-id") or answers.audit_id()
    return Response(status, {"audit-id": audit, "cache-control": "no-cache, private"})


def _plain(status: int, request: Request, text: str) -> Response:
    found = _bare(status, request)
    found.headers |= {"content-type": "text/plain; charset=utf-8", "x-content-type-options": "nosniff"}
    found.body = text.encode()
    return found
