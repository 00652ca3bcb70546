"""One request on its way through the pipeline: what the stages hand to each other."""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import errors
from kloster.apiserver import negotiation
from kloster.apiserver.audit.trace import Trace
from kloster.apiserver.cluster import ServedCluster
from kloster.apiserver.negotiation import Form
from kloster.apiserver.pending import Outside
from kloster.apiserver.ports import Target
from kloster.apiserver.resources import Served
from kloster.client.transport import Request, User
from kloster.stores.api import Store

NOBODY = User("")


class Call:
    """A request, its cluster, and what the stages found out so far.

    target    set by routing
    user      set by authentication
    served    the resource that a resource path names; set by routing
    warnings  texts of Warning headers, in order
    exchanges what webhooks have been asked (`admission.webhooks`), None as long as there is nothing
    shown     the store that is read from: the cluster's, or what a cache that lags shows of it
    outside   asks a webhook (`pending.Outside`)
    trace     for the audit; None if nobody listens
    """

    __slots__ = (
        "_form",
        "audit_id",
        "cluster",
        "exchanges",
        "outside",
        "request",
        "served",
        "shown",
        "target",
        "trace",
        "user",
        "warnings",
    )

    target: Target

    def __init__(self, cluster: ServedCluster, request: Request) -> None:
        self.cluster = cluster
        self.request = request
        self.user: User = NOBODY
        self.served: Served | None = None
        self.warnings: list[str] = []
        self.exchanges: dict[Any, Any] | None = None
        self.audit_id = ""
        self.shown: Store = cluster.store
        self.trace: Trace | None = None
        self.outside: Outside = cluster.outside
        self._form: Form | None = None

    @property
    def resource(self) -> Served:
        """The resource; only for calls that routing has found to name one."""
        assert self.served is not None
        return self.served

    def flag(self, name: str) -> bool:
        """A boolean parameter as upstream reads it: absent, "false" and "0" are false."""
        for key, value in self.request.query:
            if key == name:
                return value.lower() not in ("false", "0")
        return False

    def integer(self, name: str) -> int | None:
        """An integer parameter; absent or empty is None."""
        text = self.request.param(name)
        if not text:
            return None
        try:
            return int(text)
        except ValueError:
            raise errors.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax') from None

    def offered(self) -> tuple[str, ...]:
        """The media types in which this call can be answered."""
        return self.cluster.offered

    def form(self, views: bool = True) -> Form:
        """The form of the answer. Raises StatusError 406."""
        accept = self.request.headers.get("accept", "")
        if not accept:
            return negotiation.PLAIN
        if not views:
            return negotiation.negotiate(accept, self.offered(), False, self.typed)
        form = self._form
        if form is None:
            form = self._form = negotiation.negotiate(accept, self.offered(), True, self.typed)
        return form

    @property
    def typed(self) -> bool:
        """Whether the answer is of a built-in type."""
        return self.served is None or self.served.kind.builtin

    def pretty(self) -> bool:
        query = self.request.query
        asked = next((value for key, value in query if key == "pretty"), None) if query else None
        return negotiation.wants_pretty(asked, self.request.headers.get("user-agent", ""))
