"""The requests that a cluster was asked, for assertions, and faults that some of them are to meet.

    cluster.requests.clear()
    cluster.apply(widget)
    cluster.wait_for("widget/x condition=Ready")
    assert not cluster.requests.find(verb="list", resource="pods", namespace="")
    assert len(cluster.requests.writes(agent="kopf*")) <= 3

What `Cluster` itself asks is left out, and so is what the cluster's controllers do. Patterns are as the shell's.
"""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatchcase
from typing import Any, Protocol

from kloster.apiserver.rehearsal.faults import READING, VERBS
from kloster.apiserver.rehearsal.recording import Recorded
from kloster.testing.errors import TestingError
from kloster.testing.resources import Resources

PATH = "/kloster.dev/testing"
RECORDED = (*VERBS, "post", "put", "head", "options")
"""The last of what is no resource."""


class Cluster(Protocol):
    """Who is asked."""

    @property
    def resources(self) -> Resources: ...

    def request(
        self, method: str, path: str, body: Any = None, kind: str = "application/json", **query: str
    ) -> Any: ...


def full_name(cluster: Cluster, pattern: str) -> str:
    """``deployments.apps`` for ``deployments``, ``deploy`` and ``Deployment``; a real pattern as it is.

    A name that fits nothing would make a test that cannot fail. Raises TestingError.
    """
    if not pattern or any(one in pattern for one in "*?["):
        return pattern
    name, slash, subresource = pattern.partition("/")
    try:
        found = cluster.resources.named(name)
    except TestingError:
        if "." in name:  # its definition may come later
            return pattern
        raise
    return (f"{found.plural}.{found.group}" if found.group else found.plural) + slash + subresource


class Requests:
    """The requests since the cluster was made, or since `clear`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._seen = 0

    def clear(self) -> None:
        """Forget what came until now."""
        self._seen = int(self._ask()["newest"])

    def find(
        self,
        *,
        verb: str = "*",
        resource: str = "*",
        namespace: str | None = None,
        name: str | None = None,
        agent: str = "*",
        user: str = "*",
        status: int | None = None,
    ) -> list[Recorded]:
        """Those that fit, in order. A `namespace` of "" is that of requests for all namespaces, None is any.

        A name of a resource that the cluster knows, such as ``deployments`` or ``deploy``, stands for its full one,
        ``deployments.apps``; pods/log and so on are others.
        """
        resource = full_name(self._cluster, resource)
        if not any(fnmatchcase(one, verb) for one in RECORDED):
            raise TestingError(f"verb: expected one of {', '.join(RECORDED)}, or a pattern for some, found {verb!r}")
        if status is not None and not isinstance(status, int):
            raise TestingError(f"status: expected a number such as 409, found {status!r}")
        return [
            one
            for one in self._all()
            if fnmatchcase(one.verb, verb)
            and fnmatchcase(one.resource, resource)
            and (namespace is None or fnmatchcase(one.namespace, namespace))
            and (name is None or fnmatchcase(one.name, name))
            and fnmatchcase(one.agent, agent)
            and fnmatchcase(one.user, user)
            and status in (None, one.status)
        ]

    def writes(self, **wanted: Any) -> list[Recorded]:
        """Those that change something; arguments as `find`'s."""
        return [one for one in self.find(**wanted) if one.resource and one.verb not in READING]

    def text(self) -> str:
        """One line a request, for reading."""
        return "".join(f"{line(one)}\n" for one in self._all())

    def audit(self) -> list[dict[str, Any]]:
        """The same as events of the audit API (audit.k8s.io/v1), of level Metadata, in order."""
        answer = self._ask("audit")
        self._check(answer)
        return list(answer["events"])

    def _all(self) -> list[Recorded]:
        answer = self._ask()
        self._check(answer)
        return [Recorded(**one) for one in answer["requests"]]

    def _check(self, answer: Any) -> None:
        if answer["lost"]:
            raise TestingError(
                f"{answer['lost']} requests came too long ago to be remembered; clear() before those of interest"
            )

    def _ask(self, what: str = "requests") -> Any:
        return self._cluster.request("GET", f"{PATH}/{what}", after=str(self._seen))


def line(one: Recorded) -> str:
    """A request as a log shows it."""
    about = one.path or "/".join(part for part in (one.resource, one.namespace, one.name) if part)
    chosen = "".join(f" {key}={value}" for key, value in (("labels", one.labels), ("fields", one.fields)) if value)
    return f"{one.time:.3f} {one.status} {one.verb} {about}{chosen} {one.latency * 1000:.1f} ms {one.user} {one.agent}"


class Faults:
    """Requests that are to fail, be late, or (watches) end early."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._rules: builtins.list[dict[str, Any]] = []
        self.seed = 0

    def add(
        self,
        *,
        verbs: str | Sequence[str] = (),
        resources: str | Sequence[str] = (),
        namespaces: str | Sequence[str] = (),
        names: str | Sequence[str] = (),
        agents: str | Sequence[str] = (),
        error: int = 0,
        latency: float = 0.0,
        cut: float = 0.0,
        cut_with: str = "end",
        stale: float = 0.0,
        webhook: str = "",
        probability: float = 1.0,
        times: int = 0,
    ) -> None:
        """One more rule; see `kloster.apiserver.rehearsal.faults.Rule`. What has happened counts anew for all.

        resources  such as ``pods``, ``deployments`` (in full: ``deployments.apps``), ``widgets.example.com/status``
        verbs      get, list, watch, create, update, patch, apply, delete, deletecollection, or read, write
        error      409, 429, 500, 503 or 504
        latency    seconds
        cut        seconds after which a watch ends
        cut_with   how: end, reset (the connection) or expired (an ERROR event, 410)
        stale      seconds that reads with resourceVersion=0, and watches, are behind
        webhook    timeout or refused: what becomes of calls to webhooks that such requests cause, whoever makes them
        times      how often at most; 0: without end
        """
        chosen = [resources] if isinstance(resources, str) else resources
        rule = {
            "verbs": verbs,
            "resources": [full_name(self._cluster, one) for one in chosen],
            "namespaces": namespaces,
            "names": names,
            "agents": agents,
            "error": error,
            "latency": latency,
            "cut": cut,
            "cut_with": cut_with,
            "stale": stale,
            "webhook": webhook,
            "probability": probability,
            "times": times,
        }
        self._put([*self._rules, rule])

    def clear(self) -> None:
        """No faults any longer."""
        self._put([])

    def hits(self) -> builtins.list[int]:
        """How often each rule has applied."""
        return [rule["hits"] for rule in self._cluster.request("GET", f"{PATH}/faults")["rules"]]

    @contextmanager
    def during(self, **rule: Any) -> Iterator[None]:
        """A rule for as long as the block runs; arguments as `add`'s."""
        before = self._rules
        self.add(**rule)
        try:
            yield
        finally:
            self._put(before)

    def _put(self, rules: builtins.list[dict[str, Any]]) -> None:
        self._cluster.request("PUT", f"{PATH}/faults", {"seed": self.seed, "rules": rules})
        self._rules = rules
