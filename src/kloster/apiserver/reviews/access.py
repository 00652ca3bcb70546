"""SubjectAccessReview and its kin: may somebody do something?

Source: https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError, StatusError, invalid_value
from kloster.apimachinery.selectors.fields import parse_fields
from kloster.apimachinery.selectors.parsing import parse_labels
from kloster.apiserver.call import Call
from kloster.apiserver.ports import Authorization, Target
from kloster.apiserver.reviews import question
from kloster.client.transport import Response, User
from kloster.kinds import selector

_FIRST = ("name", "generateName", "namespace")
_BOTH = "cannot be specified in combination with resourceAttributes"
_NEITHER = "exactly one of nonResourceAttributes or resourceAttributes must be specified"


async def subject(call: Call) -> Response:
    """SubjectAccessReview: about anybody."""
    item = await question.read(call)
    spec = item.get("spec") or {}
    question.refuse(call, [*_attributes(spec), *_who(spec), *_selectors(spec), *_empty(item["metadata"])])
    return _answer(call, item, _user(spec))


async def local_subject(call: Call) -> Response:
    """LocalSubjectAccessReview: about anybody, in one namespace."""
    item = await question.read(call)
    spec = item.get("spec") or {}
    found = [*_attributes(spec), *_who(spec), *_selectors(spec), *_empty(item["metadata"], but="namespace")]
    resource, other = spec.get("resourceAttributes"), spec.get("nonResourceAttributes")
    if resource is not None and (namespace := resource.get("namespace", "")) != call.target.namespace:
        path = "spec.resourceAttributes.namespace"
        found.append(invalid_value(path, namespace, "must match metadata.namespace"))
    if other is not None:
        found.append(invalid_value("spec.nonResourceAttributes", _shown(other), "disallowed on this kind of request"))
    question.refuse(call, found)
    return _answer(call, item, _user(spec))


async def own(call: Call) -> Response:
    """SelfSubjectAccessReview: about the one who asks."""
    item = await question.read(call)
    spec = item.get("spec") or {}
    question.refuse(call, [*_attributes(spec), *_selectors(spec), *_empty(item["metadata"])])
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


def _empty(meta: Object, but: str = "") -> Iterable[FieldError]:
    """A question is about nobody's object, so its metadata must be empty."""
    if any(value not in ("", None, {}, []) for name, value in meta.items() if name not in ("managedFields", but)):
        shown = {name: meta[name] for name in (*_FIRST, *meta) if name in meta}  # a namespace is the path's
        yield invalid_value("metadata", shown, f"must be empty{but and f' except for {but}'}")


def _selectors(spec: Object) -> Iterable[FieldError]:
    for name, check in (("fieldSelector", _field_requirement), ("labelSelector", _label_requirement)):
        asked = (spec.get("resourceAttributes") or {}).get(name)
        if asked is None:
            continue
        path = f"spec.resourceAttributes.{name}"
        raw, requirements = asked.get("rawSelector") or "", asked.get("requirements") or []
        if raw and requirements:
            yield invalid_value(f"{path}.rawSelector", raw, "may not specified at the same time as requirements")
        if not raw and not requirements:
            text = f"when {path} is specified, requirements or rawSelector is required"
            yield errors.required(f"{path}.requirements", text)
        for index, requirement in enumerate(requirements):
            yield from check(requirement, f"{path}.requirements[{index}]")


def _unreadable(spec: Object) -> str:
    """What of the question was left out when it was answered."""
    asked = spec.get("resourceAttributes") or {}
    ignored = []
    for name, parse in (("fieldSelector", parse_fields), ("labelSelector", parse_labels)):
        chosen = asked.get(name) or {}
        try:
            parse(chosen.get("rawSelector") or "")
            readable = all(_is_readable(name, requirement) for requirement in chosen.get("requirements") or ())
        except StatusError:
            readable = False
        if not readable:
            ignored.append(f"spec.resourceAttributes.{name} ignored due to parse error")
    return f"[{', '.join(ignored)}]" if len(ignored) > 1 else "".join(ignored)


def _is_readable(name: str, requirement: Object) -> bool:
    """Fields can only be compared with one value."""
    operators = ("In", "NotIn") if name == "fieldSelector" else ("In", "NotIn", "Exists", "DoesNotExist")
    several = name == "fieldSelector" and len(requirement.get("values") or ()) != 1
    return requirement.get("operator") in operators and not several


def _label_requirement(requirement: Object, path: str) -> Iterable[FieldError]:
    return (found for found in selector.validate_expression(requirement, path) if not _is_operator(found, path))


def _field_requirement(requirement: Object, path: str) -> Iterable[FieldError]:
    if not requirement.get("key"):
        yield errors.required(f"{path}.key", "must be specified")
    yield from (found for found in selector.validate_values(requirement, path) if not _is_operator(found, path))


def _is_operator(found: FieldError, path: str) -> bool:
    """Operators that are not known are let through: a newer client may know them."""
    return found.field == f"{path}.operator"


def _shown(other: Object) -> Object:
    """Go's field names, as upstream's text has them."""
    return {"Path": other.get("path", ""), "Verb": other.get("verb", "")}


def _who(spec: Object) -> Iterable[FieldError]:
    if not spec.get("user") and not spec.get("groups"):
        yield invalid_value("spec.user", spec.get("user", ""), "at least one of user or group must be specified")


def _user(spec: Object) -> User:
    extra = {name.lower(): tuple(values or ()) for name, values in (spec.get("extra") or {}).items()}
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
    if ignored := _unreadable(item["spec"]):
        status["evaluationError"] = ignored
    return question.answer(call, {**item, "status": status})
