"""SubjectAccessReview and its kin: may somebody do something?

Source: https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError, invalid_value
from kloster.apiserver.call import Call
from kloster.apiserver.ports import Authorization, Target
from kloster.apiserver.reviews import question
from kloster.client.transport import Response, User

_BOTH = "cannot be specified in combination with resourceAttributes"
_NEITHER = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


async def subject(call: Call) -> Response:
    """SubjectAccessReview: about anybody."""
    item = await question.read(call)
    spec = item.get("spec") or {}
    question.refuse(call, [*_attributes(spec), *_who(spec)])
    return _answer(call, item, _user(spec))


async def local_subject(call: Call) -> Response:
    """LocalSubjectAccessReview: about anybody, in one namespace."""
    item = await question.read(call)
    spec = item.get("spec") or {}
    found = [*_attributes(spec), *_who(spec)]
    asked = spec.get("nonResourceAttributes")
    if asked is not None:
        found = [invalid_value("spec.nonResourceAttributes", _shown(asked), "disallowed on this kind of request")]
    namespace = (spec.get("resourceAttributes") or {}).get("namespace", "")
    if not found and namespace != call.target.namespace:
        path = "spec.resourceAttributes.namespace"
        found.append(invalid_value(path, namespace, "must match metadata.namespace"))
    question.refuse(call, found)
    return _answer(call, item, _user(spec))


async def own(call: Call) -> Response:
    """SelfSubjectAccessReview: about the one who asks."""
    item = await question.read(call)
    question.refuse(call, list(_attributes(item.get("spec") or {})))
    return _answer(call, item, call.user)


async def rules(call: Call) -> Response:
    """SelfSubjectRulesReview: everything that the one who asks may do in a namespace."""
    item = await question.read(call)
    namespace = (item.get("spec") or {}).get("namespace", "")
    if not namespace:
        raise errors.bad_request("no namespace on request")
    authorizer: Any = call.cluster.authorizer
    if not hasattr(authorizer, "rules"):
        raise errors.internal("this cluster's authorizer cannot list rules")
    known: Authorization = authorizer
    resources, others, incomplete = known.rules(call.user, namespace)
    status = {"resourceRules": resources, "nonResourceRules": others, "incomplete": incomplete}
    return question.answer(call, {**item, "metadata": {}, "spec": {}, "status": status})


def _attributes(spec: Object) -> Iterable[FieldError]:
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and other is not None:
        yield invalid_value("spec.nonResourceAttributes", _shown(other), _BOTH)
    elif resource is None and other is None:
        yield invalid_value("spec.resourceAttributes", None, _NEITHER)


def _shown(other: Object) -> Object:
    """Go's field names, as upstream's text has them."""
    return {"Path": other.get("path", ""), "Verb": other.get("verb", "")}


def _who(spec: Object) -> Iterable[FieldError]:
    if not spec.get("user") and not spec.get("groups"):
        yield invalid_value("spec.user", spec.get("user", ""), "at least one of user or group must be specified")


def _user(spec: Object) -> User:
    extra = {name.lower(): tuple(values) for name, values in (spec.get("extra") or {}).items()}
    return User(spec.get("user", ""), spec.get("uid", ""), tuple(spec.get("groups") or ()), extra)


def target(spec: Object) -> Target:
    """What the question is about."""
    other = spec.get("nonResourceAttributes")
    if other is not None:
        return Target(other.get("verb", ""), other.get("path", ""))
    asked = spec["resourceAttributes"]
    names = ("group", "version", "resource", "subresource", "namespace", "name")
    return Target(asked.get("verb", ""), "", True, *(asked.get(name, "") for name in names))


def _answer(call: Call, item: Object, user: User) -> Response:
    verdict = call.cluster.authorizer.authorize(user, target(item["spec"]))
    status: Object = {"allowed": verdict.allowed}
    if verdict.denied:
        status["denied"] = True
    if verdict.reason:
        status["reason"] = verdict.reason
    return question.answer(call, {**item, "status": status})
