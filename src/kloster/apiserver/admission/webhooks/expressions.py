"""What expressions of webhooks and policies see of a write, and the match conditions of webhooks.

Source: https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#matching-requests-matchconditions
"""

from __future__ import annotations

from typing import Any

import orjson

from kloster.apimachinery import Object, errors
from kloster.apimachinery.cel.functions.authorization import Asked, AuthorizerValue, ResourceValue
from kloster.apimachinery.policies import conditions
from kloster.apiserver.admission.api import Attempt
from kloster.apiserver.admission.webhooks import matching, review
from kloster.apiserver.admission.webhooks.hooks import Hook
from kloster.apiserver.ports import Target
from kloster.apiserver.resources import Served
from kloster.client.transport import User


def concerned(hook: Hook, attempt: Attempt, item: Object | None) -> Served | None:
    """As `matching.version`, with the webhook's match conditions. Raises StatusError 403 for one that fails closed."""
    seen = matching.version(hook, attempt, item)
    if seen is None or not hook.conditions:
        return seen
    compiled = conditions.compile_match_conditions(hook.conditions, attempt.cluster.catalog.number)
    verdict = conditions.evaluate(compiled, values(attempt, seen, item))
    if verdict.error and not hook.ignore:
        served = attempt.served
        raise errors.forbidden(served.group, served.plural, attempt.name if attempt.single else "", verdict.error)
    return seen if verdict.matches else None


def values(attempt: Attempt, seen: Served, item: Object | None) -> dict[str, Any]:
    """By the names of variables; `item` is the object as it is now, which is seen as `seen`."""
    return {
        "object": _document(attempt, seen, item),
        "oldObject": _document(attempt, seen, attempt.old),
        "request": _request(attempt, seen),
        **_authorizers(attempt),
    }


def _document(attempt: Attempt, seen: Served, item: Object | None) -> Object | None:
    """An object as upstream's types write it."""
    text = review.document(attempt, seen, item)
    return None if text is None else orjson.loads(text)


def _request(attempt: Attempt, seen: Served) -> Object:
    """The AdmissionRequest without its objects."""
    served, shape = attempt.served, attempt.shape
    own = _kind(shape.group, shape.version, shape.kind) if shape is not None else None
    return {
        "uid": "",
        "kind": own or _kind(seen.group, seen.version, seen.kind.kind),
        "resource": {"group": seen.group, "version": seen.version, "resource": seen.plural},
        **({"subResource": attempt.subresource} if attempt.subresource else {}),
        "requestKind": own or _kind(served.group, served.version, served.kind.kind),
        "requestResource": {"group": served.group, "version": served.version, "resource": served.plural},
        **({"requestSubResource": attempt.subresource} if attempt.subresource else {}),
        **({"name": attempt.name} if attempt.name else {}),
        **({"namespace": place} if (place := matching.namespace(attempt)) else {}),
        "operation": attempt.operation,
        "userInfo": attempt.user.info(),
        "object": None,
        "oldObject": None,
        "dryRun": attempt.dry_run,
        "options": None,
    }


def _kind(group: str, version: str, kind: str) -> Object:
    return {"group": group, "version": version, "kind": kind}


def _authorizers(attempt: Attempt) -> dict[str, Any]:
    """`authorizer`, and `authorizer.requestResource` for the resource of the request."""
    authorizer, user = attempt.cluster.authorizer, attempt.user

    def authorize(asked: Asked) -> tuple[bool, str]:
        asking = user
        if asked.user is not None:
            namespace, name = asked.user
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
            asking = User(f"system:serviceaccount:{namespace}:{name}", groups=groups)
        if asked.path:
            target = Target(asked.verb, asked.path)
        else:
            place = (asked.subresource, asked.namespace, asked.name)
            target = Target(asked.verb, "", True, asked.group, "*", asked.resource, *place)
        verdict = authorizer.authorize(asking, target)
        return verdict.allowed, verdict.reason

    served = attempt.served
    own = Asked(
        group=served.group,
        resource=served.plural,
        subresource=attempt.subresource,
        namespace=attempt.namespace,
        name=attempt.name,
    )
    return {
        "authorizer": AuthorizerValue(authorize, Asked()),
        "authorizer.requestResource": ResourceValue(authorize, own),
    }
