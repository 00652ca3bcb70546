"""TokenReview and SelfSubjectReview: whose token is this, and who am I?

Source: https://kubernetes.io/docs/reference/access-authn-authz/authentication/
"""

from __future__ import annotations

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object, errors
from kloster.apiserver.authentication.tokens import InvalidToken
from kloster.apiserver.call import Call
from kloster.apiserver.reviews import question
from kloster.client.transport import Response


async def token(call: Call) -> Response:
    """TokenReview."""
    item = await question.read(call)
    spec = item.get("spec") or {}
    given = spec.get("token")
    if not given:
        raise errors.bad_request("token is required for TokenReview in authentication")
    return question.answer(call, {**item, "status": _review(call, given, spec.get("audiences") or None)})


def _review(call: Call, given: str, audiences: list[str] | None) -> Object:
    tokens, others = call.cluster.ports.tokens, call.cluster.ports.bootstrap_tokens
    known = None if others is None else others.identify(given)
    if known is not None:
        return {"authenticated": True, "user": known.info(), "audiences": audiences or []}
    if tokens is None:
        return {"user": {}, "error": "invalid bearer token"}
    try:
        found = tokens.authenticate(given, audiences)
    except InvalidToken as error:
        return {"user": {}, "error": str(error)}
    return {"authenticated": True, "user": found.user.info(), "audiences": list(found.audiences)}


async def own(call: Call) -> Response:
    """SelfSubjectReview."""
    item = await question.read(call)
    now = rfc3339(call.cluster.clock.now())
    status = {"userInfo": call.user.info()}
    return question.answer(call, {**item, "metadata": {"creationTimestamp": now}, "status": status})
