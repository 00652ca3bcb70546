"""Audit in the pipeline: what is noted about a request on its way, and told when it is answered.

Nothing is noted unless somebody listens. A request is noted when it has been answered, a watch when it has begun and
once more when it has ended; what the body said is kept meanwhile (`Call.trace`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

import orjson

from kloster.apiserver import answers
from kloster.apiserver.audit.event import About, Noted
from kloster.apiserver.audit.trace import Trace
from kloster.apiserver.call import Call
from kloster.apiserver.watch import WatchStream
from kloster.client.transport import Response

Answer = Response | Awaitable[Response]
Told = Callable[[Noted, Call, Response], None]
"""Told of a request that has been answered; of a watch that has begun (`Noted.then` is called when it has ended)."""

_STATUS = b'{"kind":"Status"'
_LONGEST_STATUS = 64 << 10


def noted(answer: Callable[[Call], Answer], call: Call, tell: Told, *, bodies: bool = False) -> Answer:
    """The answer to `call`, of which `tell` is told."""
    received = call.cluster.clock.now()
    if call.trace is None:
        call.trace = Trace()
    call.trace.bodies |= bodies
    if not call.audit_id:
        call.audit_id = call.request.headers.get("audit-id") or answers.audit_id()
    found = answer(call)
    if isinstance(found, Response):
        tell(_note(call, call.trace, found, received), call, found)
        return found
    return _later(call, call.trace, found, received, tell)


async def _later(call: Call, trace: Trace, answer: Awaitable[Response], received: float, tell: Told) -> Response:
    response = await answer
    tell(_note(call, trace, response, received), call, response)
    return response


def _note(call: Call, trace: Trace, response: Response, received: float) -> Noted:
    target, now = getattr(call, "target", None), call.cluster.clock.now()
    made = Noted(
        id=call.audit_id,
        uri=uri(call),
        verb=target.verb if target is not None else call.request.method.lower(),
        agent=call.request.headers.get("user-agent", ""),
        sources=sources(call),
        received=received,
        started=now,
        user=trace.authenticated,
        acting=trace.acting,
        code=response.status,
        status=_status(trace, response),
        sent=trace.sent,
    )
    if target is not None and target.is_resource:
        place, given = (target.namespace, target.name), trace.given
        made.about = About(target.group, target.version, target.resource, target.subresource, *place, given)
    if trace.verdict is not None:
        made.decision, made.reason = "allow" if trace.verdict.allowed else "forbid", trace.verdict.reason
    stream = response.stream
    if isinstance(stream, WatchStream):
        stream.on_close = partial(_ended, made, call, stream.on_close)
    else:
        made.completed = now
    return made


def _ended(made: Noted, call: Call, before: Callable[[], None] | None) -> None:
    made.completed = call.cluster.clock.now()
    if made.then is not None:
        made.then(made)
    if before is not None:
        before()


def uri(call: Call) -> str:
    """The request's target, as it was sent or as it might have been."""
    request = call.request
    path = quote(request.path, safe="/:@!$&'()*+,;=~")
    return f"{path}?{urlencode(request.query)}" if request.query else path


def sources(call: Call) -> tuple[str, ...]:
    """Where the request came from: what proxies say of that first, then the peer."""
    headers, found = call.request.headers, list[str]()
    for name in ("x-forwarded-for", "x-real-ip"):
        found += [one.strip() for one in headers.get(name, "").split(",") if one.strip()]
    remote = call.request.remote.rpartition(":")[0].strip("[]")
    if remote and remote not in found[-1:]:
        found.append(remote)
    return tuple(found)


def _status(trace: Trace, response: Response) -> dict[str, Any]:
    """What a Status that was the answer says: an error, or how a deletion went."""
    if trace.failure is not None:
        return _told(trace.failure.status())
    if response.body.startswith(_STATUS) and len(response.body) < _LONGEST_STATUS:
        return _told(orjson.loads(response.body))
    return {}


def _told(status: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in status.items() if key not in ("kind", "apiVersion", "metadata", "code")}
