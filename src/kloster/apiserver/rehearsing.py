"""Rehearsals in the pipeline: requests are recorded on their way out, faults are a stage before they are dispatched.

What Kloster's own parts ask in process takes no part: it is neither recorded nor made to fail.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

import orjson

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import StatusError
from kloster.apiserver import answers, auditing, callouts, counting, dispatch
from kloster.apiserver.audit.event import Noted
from kloster.apiserver.call import Call
from kloster.apiserver.rehearsal import SPECTATOR, Rehearsal, faults
from kloster.apiserver.rehearsal.faults import Asked, Effect
from kloster.apiserver.rehearsal.lag import Lag, Timeline
from kloster.apiserver.rehearsal.recording import LONGEST, Recorded, shortened
from kloster.apiserver.watch import WatchStream
from kloster.client.transport import Response

Answer = Response | Awaitable[Response]

ROOT = "/kloster.dev/testing/"
PATIENCE = 3.0
"""Seconds for which a cache is waited for, as upstream does."""
MOST_SECONDS = 100 * 365 * 86400
"""How far a cluster's time may be ahead: nothing that expires lives longer."""


def takes_part(call: Call) -> bool:
    """Whether the request is one that is rehearsed with."""
    return (
        call.cluster.ports.rehearsal is not None
        and call.request.user is None
        and not call.request.headers.get("user-agent", "").startswith(SPECTATOR)
    )


# -- recording --------------------------------------------------------------------------------------------------------


def recorded(answer: Callable[[Call], Answer], call: Call) -> Answer:
    """The answer to `call`, recorded."""
    return auditing.noted(answer, call, _record)


def _record(noted: Noted, call: Call, response: Response) -> None:
    rehearsal = call.cluster.ports.rehearsal
    if rehearsal is None or not hasattr(call, "target"):
        return
    asked, target, param = _asked(call), call.target, call.request.param
    recorded = Recorded(
        noted.received,
        asked.agent,
        call.user.name[:LONGEST],
        asked.verb,
        asked.resource,
        asked.namespace,
        asked.name[:LONGEST],
        param("labelSelector")[:LONGEST],
        param("fieldSelector")[:LONGEST],
        "" if target.is_resource else target.path[:LONGEST],
        response.status,
        round(noted.started - noted.received, 6),
    )
    rehearsal.recording.add(recorded, shortened(noted))


def _asked(call: Call) -> Asked:
    target = call.target
    agent = call.request.headers.get("user-agent", "")[:LONGEST]
    if not target.is_resource:
        return Asked(target.verb, "", "", "", agent)
    verb = counting.kind_of(call).verb if call.served is not None else ""
    resource = f"{target.resource}.{target.group}" if target.group else target.resource
    if target.subresource:
        resource += f"/{target.subresource}"
    return Asked("apply" if verb == "APPLY" else target.verb, resource[:LONGEST], target.namespace, target.name, agent)


# -- faults -----------------------------------------------------------------------------------------------------------


def rehearse(call: Call) -> Answer | None:
    """The stage: answers what a test asks of the rehearsal, and lets requests fail as it has asked for."""
    rehearsal = call.cluster.ports.rehearsal
    if rehearsal is None:
        return None
    if call.target.path.startswith(ROOT) and not call.target.is_resource:
        return _serve(call, rehearsal)
    if not rehearsal.faults.rules or not call.target.is_resource:
        return None
    call.outside = partial(_outside, call, rehearsal)
    timeline = rehearsal.timeline(call.cluster.store)  # it begins with whoever comes first
    if not takes_part(call):
        return None
    effect = rehearsal.faults.effect(_asked(call))
    return None if effect == faults.NONE else _suffer(call, effect, timeline)


async def _suffer(call: Call, effect: Effect, timeline: Timeline | None) -> Response:
    if effect.latency:
        await asyncio.sleep(effect.latency)
    if effect.error:
        raise _error(call, effect.error)
    if effect.stale and timeline is not None:
        await _look_back(call, timeline, effect.stale)
    answer = dispatch.dispatch(call)
    response = answer if isinstance(answer, Response) else await answer
    stream = response.stream
    if isinstance(stream, WatchStream):
        stream.stays = bool(effect.cut or effect.stale)
        if effect.cut:
            asyncio.get_running_loop().call_later(effect.cut, stream.end, _cut(effect.cut_with))
    return response


def _cut(how: str) -> Exception | None:
    if how == faults.RESET:
        return ConnectionResetError("a test has asked for it")
    if how == faults.EXPIRED:
        return errors.expired("The resourceVersion for the provided watch is too old.")
    return None


async def _look_back(call: Call, timeline: Timeline, seconds: float) -> None:
    """Let the answer come from a cache that is so late, if upstream's would come from its cache.

    It is asked for a state not older than a resourceVersion, and waits until it has that, for three seconds at most.
    """
    param, verb = call.request.param, call.target.verb
    if verb not in faults.READING:
        return
    asked = param("resourceVersion")
    if verb == "list":
        match = param("resourceVersionMatch")
        exact = match == "Exact" or (param("limit") not in ("", "0") and not match and asked not in ("", "0"))
        if exact or param("continue"):
            return
    if not asked:
        if verb == "watch":
            call.shown = Lag(timeline, seconds, current=True)
        return
    wanted = int(asked) if asked.isdecimal() and (verb != "watch" or param("sendInitialEvents")) else 0
    if timeline.visible(seconds) < wanted <= timeline.store.revision:
        left = timeline.due(wanted, seconds) - asyncio.get_running_loop().time()
        await asyncio.sleep(min(max(left, 0.0) + 0.001, PATIENCE))
    call.shown = Lag(timeline, seconds)


async def _outside(call: Call, rehearsal: Rehearsal, client: Object, body: bytes, timeout: float) -> bytes:
    """Asks a webhook, unless a test wants that to fail (`pending.Outside`)."""
    fate = rehearsal.faults.webhook(_asked(call))
    if fate == faults.TIMEOUT:
        raise await callouts.time_out(client, timeout)
    if fate == faults.REFUSED:
        raise callouts.refused(call.cluster, client, timeout)
    return await call.cluster.outside(client, body, timeout)


def _error(call: Call, code: int) -> StatusError:
    target, text = call.target, "a test has asked for this error"
    if code == 409:
        return errors.conflict(target.group, target.resource, target.name, text)
    if code == 429:
        return errors.too_many_requests(text)
    if code == 503:
        return errors.unavailable(text)
    if code == 504:
        return StatusError(504, "Timeout", text)
    return errors.internal(text)


# -- what a test asks -------------------------------------------------------------------------------------------------


def _serve(call: Call, rehearsal: Rehearsal) -> Answer:
    """``requests``, ``audit``, ``faults``, ``stand-ins`` and ``clock`` below ROOT; the authorizer decided who may."""
    method, what = call.request.method, call.target.path.removeprefix(ROOT)
    if what == "requests" and method == "GET":
        after = call.request.param("after") or "0"
        if not after.isdecimal():
            raise errors.bad_request(f"after: expected a number, found {after!r}")
        return _json(call, rehearsal.recording.since(int(after)))
    if what == "audit" and method == "GET":
        after = call.request.param("after") or "0"
        if not after.isdecimal():
            raise errors.bad_request(f"after: expected a number, found {after!r}")
        return _json(call, rehearsal.recording.trail(int(after)))
    if what == "faults" and method == "GET":
        return _json(call, rehearsal.faults.to_json())
    if what == "faults" and method == "PUT":
        try:
            rehearsal.faults.replace(*faults.parse(orjson.loads(call.request.body)))
            rehearsal.timeline(call.cluster.store)
        except ValueError as error:
            raise errors.bad_request(str(error)) from error
        return _json(call, rehearsal.faults.to_json())
    if what == "stand-ins" and method in ("GET", "PUT"):
        try:
            if method == "PUT":
                rehearsal.stand_ins.replace(orjson.loads(call.request.body))
        except ValueError as error:
            raise errors.bad_request(str(error)) from error
        return _json(call, rehearsal.stand_ins.to_json())
    if what == "clock" and method == "GET":
        return _json(call, _time(rehearsal))
    if what == "clock" and method == "POST":
        return _advance(call, rehearsal)
    raise errors.path_not_found()


async def _advance(call: Call, rehearsal: Rehearsal) -> Response:
    """Move the cluster's time on, by the seconds that the body says. It never goes back."""
    try:
        seconds = orjson.loads(call.request.body)["seconds"]
        left = MOST_SECONDS - rehearsal.clock.ahead
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 0 <= seconds <= left:
            raise ValueError(f"expected a number from 0 to {left:.0f}, found {seconds!r}")
    except (ValueError, KeyError, TypeError) as error:
        raise errors.bad_request(f"seconds: {error}") from error
    async with rehearsal.advancing:
        rehearsal.clock.ahead += seconds
        await rehearsal.advanced()
    return _json(call, _time(rehearsal))


def _time(rehearsal: Rehearsal) -> dict[str, float]:
    return {"now": rehearsal.clock.now(), "ahead": rehearsal.clock.ahead}


def _json(call: Call, body: Any) -> Response:
    return Response(200, answers.headers(call), orjson.dumps(body))
