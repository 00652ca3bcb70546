"""A cluster served by this process: its pipeline as a transport, its objects as a source.

The API server implements two ports: a *handler* that answers a `Request`, and an `ObjectView` through which its
current objects are read without a request and without a copy. Both belong to one cluster.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from kloster.apimachinery import Object
from kloster.client.transport import Request, Response, User

Handler = Callable[[Request], Response | Awaitable[Response]]


class ObjectView(Protocol):
    """A served cluster's current objects, decoded.

    `resource` is ``group/plural`` (``/pods`` for the core group, `Resource.id`); the empty text means every
    resource. Objects are complete (apiVersion, kind, metadata.resourceVersion), in their storage version, shared
    and therefore read-only. The view shows every write that has been acknowledged.
    """

    def get(self, resource: str, namespace: str, name: str) -> Object | None: ...

    def list(self, resource: str, namespace: str = "") -> Sequence[Object]:
        """All objects of `resource`, only those of `namespace` if given, in key order."""
        ...

    def subscribe(self, resource: str, handler: Callable[[Object | None, Object | None], None]) -> Callable[[], None]:
        """Call ``handler(old, new)`` in the event loop for each change after what `list` shows now, in order.

        `old` is None for a creation, `new` for a deletion. No call is made for objects that are present.
        Returns a function that ends it. A handler that raises must not disturb others.
        """
        ...


class InProcessTransport:
    """Requests go straight to a handler, as a user that is trusted."""

    def __init__(self, handler: Handler, user: User) -> None:
        self._handler = handler
        self._user = user

    async def __call__(self, request: Request) -> Response:
        answer = self._handler(dataclasses.replace(request, user=request.user or self._user))
        return await answer if inspect.isawaitable(answer) else answer

    async def aclose(self) -> None:
        """Nothing is held."""
