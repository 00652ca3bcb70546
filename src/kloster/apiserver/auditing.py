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
import yaml

from kloster.aio.clock import Clock
from kloster.apiserver import answers, yaml_text
from kloster.apiserver.audit import policy as policies
from kloster.apiserver.audit.event import (
    COMPLETE,
    RECEIVED,
    REQUEST,
    REQUEST_RESPONSE,
    STARTED,
    About,
    Noted,
    event,
)
from kloster.apiserver.audit.policy import Policy, Rule
from kloster.apiserver.audit.trace import Trace
from kloster.apiserver.call import Call
from kloster.apiserver.negotiation import JSON, YAML, Unreadable
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
        deprecated=call.served is not None and bool(call.served.deprecation),
        sent=trace.sent,
        annotations=trace.annotations,
    )
    if target is not None and target.is_resource:
        place, given = (target.namespace, target.name), trace.given
        made.about = About(target.group, target.version, target.resource, target.subresource, *place, given)
    if trace.verdict is not None:
        made.decision, made.reason = "allow" if trace.verdict.allowed else "forbid", trace.verdict.reason
    stream = response.stream
    if isinstance(stream, WatchStream):
        stream.on_close = partial(_ended, made, call.cluster.clock, stream.on_close)
    else:
        made.completed = now
    return made


def _ended(made: Noted, clock: Clock, before: Callable[[], None] | None) -> None:
    made.completed = clock.now()
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


# -- by a policy ------------------------------------------------------------------------------------------------------


class Auditor:
    """Tells a sink of requests, as a policy says."""

    def __init__(self, policy: Policy, sink: Callable[[dict[str, Any]], None]) -> None:
        self._policy = policy
        self._sink = sink

    def audited(self, answer: Callable[[Call], Answer], call: Call) -> Answer:
        """The answer to `call`, told."""
        return noted(answer, call, self._tell, bodies=self._policy.bodies)

    def _tell(self, found: Noted, call: Call, response: Response) -> None:
        if not hasattr(call, "target"):
            return
        rule = self._policy.rule(found.user, call.target)
        if rule.level == policies.NONE:
            return
        if rule.level in (REQUEST, REQUEST_RESPONSE):
            found.sent = _body(_options(call) or found.sent, rule.bare)
        if rule.level == REQUEST_RESPONSE:
            found.answered = _body(_answered(call, response), rule.bare)
        if found.user is None:  # it went no further
            self._say(found, STARTED, rule)
            return
        self._say(found, RECEIVED, rule)
        if call.target.verb == "watch" or call.target.subresource in _LONG_RUNNING:
            self._say(found, STARTED, rule)
        if isinstance(response.stream, WatchStream):
            found.then = partial(self._say, stage=COMPLETE, rule=rule)
        else:
            self._say(found, COMPLETE, rule)

    def _say(self, found: Noted, stage: str, rule: Rule) -> None:
        if stage not in rule.omitted:
            self._sink(event(found, stage, rule.level))


_LONG_RUNNING = frozenset({"log", "exec", "attach", "portforward", "proxy"})
_LONGEST_YAML = 256 << 10


def _options(call: Call) -> bytes:
    """The options of a deletion, as JSON, with the name that upstream gives them there."""
    if not call.request.body or call.target.verb not in ("delete", "deletecollection"):
        return b""
    try:
        value = orjson.loads(call.request.body)
    except orjson.JSONDecodeError:
        return b""
    if not isinstance(value, dict):
        return b""
    rest = {key: one for key, one in value.items() if key not in ("kind", "apiVersion")}
    return orjson.dumps({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/__internal", **rest})


def _answered(call: Call, response: Response) -> bytes:
    """The object in the answer, as JSON; nothing if it was no object, or so large that it is sent in pieces."""
    media = response.headers.get("content-type", "").partition(";")[0]
    if call.trace is not None and call.trace.failure is not None:
        return orjson.dumps(call.trace.failure.status())
    if response.stream is not None or not response.body:
        return b""
    if media == JSON:
        return _on_one_line(response.body.rstrip()) if response.body.startswith(b"{") else b""
    codec = call.cluster.codecs.get(media)
    try:
        if media == YAML and len(response.body) < _LONGEST_YAML:
            return orjson.dumps(yaml_text.load(response.body)[0])
        if codec is None:
            return b""
        version, kind = codec.identity(response.body)
        group, _, short = version.rpartition("/")
        schema = call.cluster.catalog.type(group, short, kind)
        return b"" if schema is None else orjson.dumps(codec.decode(response.body, schema))
    except (Unreadable, yaml.YAMLError, ValueError, TypeError):
        return b""


def _on_one_line(document: bytes) -> bytes:
    """What was indented for a reader is not in a log. (Line breaks in texts are escaped.)"""
    return orjson.dumps(orjson.loads(document)) if b"\n" in document else document


def _body(document: bytes, bare: bool) -> bytes:
    """Without managedFields, if they are to be left out."""
    if not bare or b'"managedFields"' not in document:
        return document
    value = orjson.loads(document)
    items = value.get("items")
    for one in (value, *(items if isinstance(items, list) else ())):
        if isinstance(one, dict) and isinstance(one.get("metadata"), dict):
            one["metadata"].pop("managedFields", None)
    return orjson.dumps(value)
