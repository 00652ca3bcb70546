"""Asking whether somebody may do something: `authorizer.group('apps').resource('deployments').check('create')`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

from kloster.apimachinery.cel import types
from kloster.apimachinery.cel.values import Opaque, size

from . import costs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from kloster.apimachinery.cel.declarations import Collection

_PREFIX = "kubernetes.authorization."
AUTHORIZER = types.struct(f"{_PREFIX}Authorizer")
PATH = types.struct(f"{_PREFIX}PathCheck")
GROUP = types.struct(f"{_PREFIX}GroupCheck")
RESOURCE = types.struct(f"{_PREFIX}ResourceCheck")
DECISION = types.struct(f"{_PREFIX}Decision")
_CHECK = 350_000


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody may or may not do. Without `path` it is about a resource; without `user` about the request's."""

    verb: str = ""
    path: str = ""
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    user: tuple[str, str] | None = None
    selectors: Mapping[str, str] = field(default_factory=dict)


class Authorize(Protocol):
    """Answers (allowed, why)."""

    def __call__(self, asked: Asked) -> tuple[bool, str]: ...


class _Subject(Opaque):
    """A question that is being put together."""

    __slots__ = ("asked", "authorize")

    def __init__(self, authorize: Authorize, asked: Asked) -> None:
        self.authorize = authorize
        self.asked = asked

    def same(self, other: Any) -> bool:
        return bool(self.asked == other.asked)


class AuthorizerValue(_Subject):
    __slots__ = ()
    type = AUTHORIZER


class _PathValue(_Subject):
    __slots__ = ()
    type = PATH


class _GroupValue(_Subject):
    __slots__ = ()
    type = GROUP


class ResourceValue(_Subject):
    __slots__ = ()
    type = RESOURCE


class _Decision(Opaque):
    __slots__ = ("allowed", "reason")
    type = DECISION

    def __init__(self, allowed: bool, reason: str) -> None:
        self.allowed = allowed
        self.reason = reason

    def same(self, other: Any) -> bool:
        return bool(self.allowed == other.allowed and self.reason == other.reason)


def _as(kind: type[_Subject], name: str) -> Any:
    return lambda subject, value: kind(subject.authorize, replace(subject.asked, **{name: value}))


def _account(subject: _Subject, namespace: str, name: str) -> AuthorizerValue:
    return AuthorizerValue(subject.authorize, replace(subject.asked, user=(namespace, name)))


def _selecting(name: str) -> Any:
    def selecting(subject: _Subject, text: str) -> ResourceValue:
        chosen = {**subject.asked.selectors, name: text}
        return ResourceValue(subject.authorize, replace(subject.asked, selectors=chosen))

    return selecting


def _check(subject: _Subject, verb: str) -> _Decision:
    return _Decision(*subject.authorize(replace(subject.asked, verb=verb)))


def _check_cost(_: costs.Arguments, __: Any) -> int:
    return _CHECK


def _selector_cost(arguments: costs.Arguments, _: Any) -> int:
    length = size(arguments[1])
    return 10 + costs.share(length) + costs.share(costs.share(length, 0.5), 50.0)


def declare(into: Collection) -> None:
    names = {each: each.name for each in (AUTHORIZER, PATH, GROUP, RESOURCE, DECISION)}
    authorizer, path, group, resource, decision = names.values()
    into.add("authorizer_path", f"{authorizer}::path(string) -> {path}", _as(_PathValue, "path"))
    into.add("authorizer_group", f"{authorizer}::group(string) -> {group}", _as(_GroupValue, "group"))
    into.add("authorizer_serviceaccount", f"{authorizer}::serviceAccount(string, string) -> {authorizer}", _account)
    into.add("groupcheck_resource", f"{group}::resource(string) -> {resource}", _as(ResourceValue, "resource"))
    for part in ("subresource", "namespace", "name"):
        into.add(f"resourcecheck_{part}", f"{resource}::{part}(string) -> {resource}", _as(ResourceValue, part))
    for part in ("fieldSelector", "labelSelector"):
        signature = f"{resource}::{part}(string) -> {resource}"
        into.add(f"authorizer_{part.lower()}", signature, _selecting(part), _selector_cost)
    into.add("pathcheck_check", f"{path}::check(string) -> {decision}", _check, _check_cost)
    into.add("resourcecheck_check", f"{resource}::check(string) -> {decision}", _check, _check_cost)
    into.add("decision_errored", f"{decision}::errored() -> bool", lambda _: False)
    into.add("decision_error", f"{decision}::error() -> string", lambda _: "")
    into.add("decision_allowed", f"{decision}::allowed() -> bool", lambda each: each.allowed)
    into.add("decision_reason", f"{decision}::reason() -> string", lambda each: each.reason)
