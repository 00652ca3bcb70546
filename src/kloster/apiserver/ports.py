"""What the stages of the pipeline hand to each other, and the ports that a served cluster plugs in.

A `Call` is one request on its way: the raw request, which cluster it is for, what it asks (`Target`), who asks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kloster.client.transport import Request, User


@dataclass(slots=True)
class Target:
    """What a request asks for: upstream's RequestInfo. Never changed once made, but not frozen, for one is made for
    every request and making a frozen one takes three times as long.

    verb    get, list, watch, create, update, patch, delete, deletecollection; for other paths the HTTP method
            in lower case
    path    the URL path, within the cluster
    """

    verb: str
    path: str
    is_resource: bool = False
    group: str = ""
    version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """An authorizer's answer. `reason` explains (for SubjectAccessReview and the audit log)."""

    allowed: bool
    reason: str = ""
    denied: bool = False


class Authenticator(Protocol):
    """Finds out who asks. None: no credentials that this one understands. Raises StatusError 401 for bad ones."""

    def __call__(self, request: Request) -> User | None: ...


class Authorizer(Protocol):
    """Decides whether `user` may do `target`. Must answer in microseconds when asked again: it sits on every GET."""

    def authorize(self, user: User, target: Target) -> Verdict: ...


class Authorization(Authorizer, Protocol):
    """An authorizer that can list what a user may do (SelfSubjectRulesReview)."""

    def rules(self, user: User, namespace: str) -> tuple[list[dict[str, list[str]]], list[dict[str, list[str]]], bool]:
        """(resource rules, non-resource rules, incomplete)."""
        ...
