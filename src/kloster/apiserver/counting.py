"""Counts what a cluster is asked, on the way out of its pipeline, by upstream's labels.

It sits on every request, so it does two clock readings and a few dictionary operations, and wraps nothing: a watch
tells its own end.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import lru_cache, partial
from time import perf_counter

from kloster.apiserver.call import Call
from kloster.apiserver.observability.tally import Kind, Tally
from kloster.apiserver.ports import Target
from kloster.apiserver.watch import WatchStream
from kloster.client.transport import Response

Answer = Response | Awaitable[Response]

_VERBS: Mapping[str, str] = {
    "get": "GET",
    "list": "LIST",
    "watch": "WATCH",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETECOLLECTION",
}
_CONNECTING = frozenset({"exec", "attach", "portforward", "proxy", "log"})
_READING = frozenset({"GET", "LIST", "WATCH"})
_PATHS = ("/healthz", "/livez", "/readyz", "/metrics", "/version", "/api", "/apis")
_APPLY = "application/apply-patch"


def counted(tally: Tally, call: Call, answer: Callable[[Call], Answer]) -> Answer:
    """The answer to `call`, counted in `tally`."""
    began = perf_counter()
    found = answer(call)
    ended = perf_counter()
    tally.cpu += ended - began
    if isinstance(found, Response):
        _count(tally, call, found, ended - began)
        return found
    return _later(tally, call, found, began)


async def _later(tally: Tally, call: Call, answer: Awaitable[Response], began: float) -> Response:
    reading = kind_of(call).verb in _READING
    if reading:
        tally.reading += 1
    else:
        tally.mutating += 1
    try:
        response = await answer
    finally:
        if reading:
            tally.reading -= 1
        else:
            tally.mutating -= 1
    _count(tally, call, response, perf_counter() - began)
    return response


def _count(tally: Tally, call: Call, response: Response, seconds: float) -> None:
    kind = kind_of(call)
    stream = response.stream
    if isinstance(stream, WatchStream):
        tally.opened(kind)
        stream.on_close = partial(_closed, tally, kind, response.status, stream.on_close)
    else:
        tally.observe(kind, response.status, seconds, len(response.body))


def _closed(tally: Tally, kind: Kind, status: int, before: Callable[[], None] | None) -> None:
    tally.closed(kind, status)
    if before is not None:
        before()


def kind_of(call: Call) -> Kind:
    """Which sort of request it is. Unknown resources and paths are not told apart: anybody can make up names."""
    target: Target | None = getattr(call, "target", None)
    if target is None:
        return Kind(call.request.method)
    if not target.is_resource:
        return Kind(call.request.method, subresource=target.path if target.path in _PATHS else "")
    if call.served is None:
        return Kind(_VERBS.get(target.verb, call.request.method), resource="unknown")
    subresource = target.subresource
    query = call.request.query
    verb = _VERBS.get(target.verb, call.request.method)
    if not subresource and not query and verb != "PATCH":
        return _plain(verb, target.group, target.version, target.resource, _scope(target))
    if subresource:
        subresource = subresource.partition("/")[0]
    if subresource in _CONNECTING:
        verb = "CONNECT"
    elif verb == "PATCH" and call.request.headers.get("content-type", "").startswith(_APPLY):
        verb = "APPLY"
    dry_run = "All" if query and call.request.param("dryRun") == "All" else ""
    return Kind(verb, target.group, target.version, target.resource, subresource, _scope(target), dry_run)


@lru_cache(maxsize=1024)
def _plain(verb: str, group: str, version: str, resource: str, scope: str) -> Kind:
    """The sort of nearly all requests, made once."""
    return Kind(verb, group, version, resource, scope=scope)


def _scope(target: Target) -> str:
    if target.name or target.verb == "create":
        return "resource"
    return "namespace" if target.namespace else "cluster"
