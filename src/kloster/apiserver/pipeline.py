"""The way of a request through the API server, top to bottom.

    which cluster     decided by the listener: each cluster is a `ServedCluster` of its own
    route             path → what is asked for: resource, verb, namespace, name (`routing`, `resources`)
    authenticate      certificate, token, or anonymous → user
    authorize         may this user do this?
    rehearse          where a test has asked for it: let the request fail
    dispatch          the verb's or the path's handler (`verbs/`, `subresources/`, `endpoints`), which for writes goes
                      on: decode (`bodies`) → admit (`admission/`) → validate → store, in one transaction

A stage gets the `Call` and returns None to go on, or the answer. Reading an object is synchronous from end to end;
whoever must wait returns an awaitable instead. Errors of the API are raised as `StatusError` and answered here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import structlog

from kloster.apimachinery import errors
from kloster.apimachinery.errors import StatusError
from kloster.apiserver import answers, counting, dispatch, rehearsing, routing
from kloster.apiserver.authentication import impersonation
from kloster.apiserver.authorization import messages
from kloster.apiserver.call import Call
from kloster.apiserver.cluster import ServedCluster
from kloster.apiserver.pending import Pending
from kloster.client.inprocess import Handler
from kloster.client.transport import Request, Response
from kloster.stores.api import StoreClosed, StoreFailed
from kloster.stores.disk import disk_full

log = structlog.get_logger()

Answer = Response | Awaitable[Response]
Stage = Callable[[Call], Answer | None]


def route(call: Call) -> Answer | None:
    """Finds out what is asked for. Whether it exists is told only to those who may ask (`dispatch`)."""
    target = call.target = routing.target(call.request)
    if target.is_resource:
        call.served = call.cluster.resources.lookup(target.group, target.version, target.resource)
    return None


def authenticate(call: Call) -> Answer | None:
    """Finds out who asks, and whom they want to act as. A trusted transport has said so already."""
    request, trace = call.request, call.trace
    call.user = request.user or call.cluster.authenticator(request)
    if trace is not None:
        trace.authenticated = call.user
    if impersonation.asked_for(request.headers):
        try:
            call.user = impersonation.impersonate(request, call.user, call.cluster.authorizer)
        except impersonation.WithoutUser as error:
            return answers.text(call, error.text, 500)
        if trace is not None:
            trace.acting = call.user
    return None


def authorize(call: Call) -> Answer | None:
    """Asks the cluster's authorizer. Refusals are worded as upstream's."""
    verdict = call.cluster.authorizer.authorize(call.user, call.target)
    if call.trace is not None:
        call.trace.verdict = verdict
    if verdict.allowed:
        return None
    raise messages.forbidden(call.user, call.target, verdict.reason)


STAGES: tuple[Stage, ...] = (route, authenticate, authorize, rehearsing.rehearse, dispatch.dispatch)
AGAIN: tuple[Stage, ...] = tuple(stage for stage in STAGES if stage is not rehearsing.rehearse)


def handler(cluster: ServedCluster) -> Handler:
    """What answers a cluster's requests: for a listener's site, for a transport in process."""
    return partial(handle, cluster)


def handle(cluster: ServedCluster, request: Request) -> Answer:
    """Answers one request of one cluster."""
    call = Call(cluster, request)
    answer = partial(rehearsing.recorded, _answer) if rehearsing.takes_part(call) else _answer
    auditor = cluster.ports.auditor
    if auditor is not None and request.user is None:
        answer = partial(auditor.audited, answer)
    tally = cluster.ports.tally
    return answer(call) if tally is None else counting.counted(tally, call, answer)


def answer_again(cluster: ServedCluster, request: Request) -> Answer:
    """Answers a request that has been counted and rehearsed before: a watch goes on where it was."""
    return _answer(Call(cluster, request), AGAIN)


def _answer(call: Call, stages: Sequence[Stage] = STAGES) -> Answer:
    try:
        for stage in stages:
            answer = stage(call)
            if answer is not None:
                return answer if isinstance(answer, Response) else _wait(call, answer)
    except Pending as pending:
        return _wait(call, _asked(call, pending))
    except Exception as failure:
        return _failed(call, failure)
    return answers.not_found_text(call)


async def _wait(call: Call, answer: Awaitable[Response]) -> Response:
    try:
        try:
            return await answer
        except Pending as pending:
            return await _asked(call, pending)
    except Exception as failure:
        return _failed(call, failure)


async def _asked(call: Call, pending: Pending) -> Response:
    """The answer to a request that needs another answer first, from a webhook. Nothing has been written yet: whoever
    writes waits by itself (`aside.transact`, `answers.settled`)."""
    await pending.ask(call.outside)
    return await answers.settled(call, partial(dispatch.dispatch, call))


def _failed(call: Call, failure: Exception) -> Response:
    """The answer to a request that could not be fulfilled. What is not an error of the API is logged, not shown."""
    if isinstance(failure, StatusError):
        if call.trace is not None:
            call.trace.failure = failure
        return answers.error(call, failure)
    if isinstance(failure, StoreClosed):
        return answers.error(call, errors.unavailable("the cluster is being stopped; nothing was written"))
    if isinstance(failure, StoreFailed):
        log.error("write failed", cluster=call.cluster.id, path=call.request.path, error=str(failure))
        why = ", since its disk is full" if disk_full(failure) else ""
        return answers.error(
            call, errors.unavailable(f"the server could not store the change{why}; nothing was written")
        )
    log.exception("request failed", cluster=call.cluster.id, method=call.request.method, path=call.request.path)
    return answers.error(call, errors.internal("an unexpected error occurred; the server's log has the details"))
