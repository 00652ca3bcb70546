"""A whole Kubernetes cluster for a test.

    with Cluster("1.34") as cluster:
        cluster.apply("deploy/")
        cluster.wait_for("deployment/operator condition=Available", timeout=30)
        assert cluster.get("configmap", "settings")["data"]["mode"] == "fast"

It is a virtual cluster of a fleet that the test run has for itself (`fleets`). Objects are dictionaries, as the API
gives them; what the API refuses is raised as StatusError with the complete Status.
"""

from __future__ import annotations

import errno
import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from kloster.apimachinery.errors import StatusError
from kloster.client.api import Resource
from kloster.client.blocking import Blocking
from kloster.testing import conditions, documents, reports, virtualclusters
from kloster.testing.clock import Clock
from kloster.testing.errors import TestingError, WaitTimeout
from kloster.testing.fleets import AGENT, Fleet, common
from kloster.testing.libraries import Libraries
from kloster.testing.nodes import Nodes
from kloster.testing.pods import Pods
from kloster.testing.resources import ACCEPT, Resources, bare
from kloster.testing.traffic import Faults, Requests
from kloster.testing.waiting import Trials, checked, pauses

T = TypeVar("T")

DEFAULT_NAMESPACE = "default"
PATCHES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
}
_APPLY = "application/apply-patch+yaml"
_LATER = frozenset({"fleet", "version", "kubeconfig", "kubeconfig_dict", "resources"})
"""What a cluster has once it is started."""


class Cluster(Libraries):
    """A virtual cluster. Use it as a context manager, or call `start` and `close`.

    version   its Kubernetes version, such as ``1.34``; "": the newest
    name      its name, in which ``*`` stands for random letters
    fleet     who serves it; None: the fleet that this process has for all such clusters
    spec      more of its VirtualCluster's spec, in vcluster.yaml's keys

    requests  what it has been asked by others
    faults    requests that are to fail
    clock     its time
    pods      what happens to them
    nodes     those that are lost
    """

    def __init__(
        self,
        version: str = "",
        *,
        name: str = "test-*",
        fleet: Fleet | None = None,
        spec: Mapping[str, Any] | None = None,
    ) -> None:
        self.name = virtualclusters.named(name)
        self.spec = {"testing": {"enabled": True}, **(spec or {})}
        self.requests = Requests(self)
        self.faults = Faults(self)
        self.clock = Clock(self)
        self.pods = Pods(self)
        self.nodes = Nodes(self)
        if version:
            self.spec["kubernetesVersion"] = virtualclusters.version(version)
        self._fleet = fleet
        self._known: Resources | None = None
        self._begun = self._started = self._closed = False

    # -- being there ------------------------------------------------------------------------------------------------

    def begin(self) -> Self:
        """Have the cluster made in the background; `start` waits for it."""
        if self._closed:
            raise TestingError(f"cluster {self.name} is closed, and deleted; make a new Cluster, or fork another one")
        if not self._begun:
            self.fleet = self._fleet or common()
            virtualclusters.begin(self.fleet, self.name, self.spec)
            self._begun = True
        return self

    def start(self) -> Self:
        """Make the cluster; when this returns, it answers."""
        self.begin()
        if self._started:
            return self
        return self._reach(virtualclusters.wait_ready(self.fleet, self.name))

    def join(self) -> Self:
        """Use the cluster of this name that the fleet serves already."""
        self.fleet = self._fleet or common()
        return self._reach(virtualclusters.get(self.fleet, self.name))

    def fork(self, *, name: str = "test-*", workloads: str = "run") -> Cluster:
        """A copy of the cluster as it is now, with everything in it; to be started, or used as a context manager.

        workloads   ``run``, or ``suspended``: its pods are not run until its VirtualCluster says so
        """
        self._check_started()
        spec = {**self.spec, "from": {"name": self.name}, "workloads": workloads}
        fork = Cluster(name=name, fleet=self.fleet, spec=spec)
        fork._known = self.resources
        return fork

    def _reach(self, made: Mapping[str, Any]) -> Self:
        self.version: str = made["status"]["version"]
        self.kubeconfig_dict, text = virtualclusters.kubeconfig(self.fleet, self.name)
        self.kubeconfig = self.fleet.root / f"{self.name}.kubeconfig"
        try:
            self.kubeconfig.touch(mode=0o600)
            self.kubeconfig.write_bytes(text)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise virtualclusters.no_space(self.fleet, self.name) from error
            raise TestingError(f"{self.kubeconfig} cannot be written: {error.strerror}") from error
        self._api = Blocking(self.kubeconfig_dict, AGENT)
        self.resources = Resources(self._discover, self._known)
        self._started = True
        return self

    def close(self) -> None:
        """Have the cluster deleted, in the background. Idempotent."""
        if self._started:
            self._started, self._closed = False, True
            self._api.close()
            self.kubeconfig.unlink(missing_ok=True)
            if self.fleet.running:  # otherwise it went with the fleet
                self.fleet.deletions.begin(self.name)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Cluster {self.name} {self.__dict__.get('version', '(not started)')}>"

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """What is there when it is started was asked for before."""
            if name in _LATER:
                self._check_started()
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _check_started(self) -> None:
        """Raises TestingError."""
        if self._closed:
            raise TestingError(f"cluster {self.name} is closed, and deleted")
        if not self._started:
            raise TestingError(f"cluster {self.name} is not started; use it as a context manager, or call start()")

    # -- objects ----------------------------------------------------------------------------------------------------

    def request(self, method: str, path: str, body: Any = None, kind: str = "application/json", **query: str) -> Any:
        """Ask the cluster's API anything, as cluster-admin. Raises StatusError, FleetGone."""
        return self._ask(method, path, query, body, kind)

    def _ask(self, method: str, path: str, query: Mapping[str, str], *rest: Any, **options: Any) -> Any:
        self._check_started()
        if not path.startswith("/"):
            raise TestingError(f'request: expected a path such as "/version", found {path!r}')
        try:
            return self._api.request(method.upper(), path, query, *rest, **options)
        except OSError as error:
            raise self.fleet.gone(error) from error

    def apply(
        self, source: documents.Source, *, namespace: str = DEFAULT_NAMESPACE, timeout: float = 30.0
    ) -> list[dict[str, Any]]:
        """Server-side apply of an object, YAML text, a file or a folder; of several, too. Returns what is stored.

        Namespaces and CustomResourceDefinitions go first and are waited for, so that what needs them can follow.
        namespace   for namespaced objects that name none
        """
        objects = documents.read(source)
        first, rest = documents.ordered(objects)
        stored = {id(one): self._apply(one, namespace) for one in first}
        for one in first:
            self._wait_usable(one, timeout)
        stored.update({id(one): self._apply(one, namespace) for one in rest})
        return [stored[id(one)] for one in objects]

    def _apply(self, document: dict[str, Any], namespace: str) -> dict[str, Any]:
        metadata = document["metadata"]
        resource = self.resources.of_kind(document["apiVersion"], document["kind"])
        path = resource.path(metadata.get("namespace") or namespace, metadata["name"])
        applied: dict[str, Any] = self.request("PATCH", path, document, _APPLY, fieldManager=AGENT, force="true")
        return applied

    def _wait_usable(self, document: dict[str, Any], timeout: float) -> None:
        name = document["metadata"]["name"]
        if document["kind"] == "Namespace":
            self.wait_for("serviceaccount/default create", timeout, namespace=name)
        else:
            self.wait_for(f"customresourcedefinition/{name} condition=Established", timeout)

    def get(self, resource: str, name: str = "", *, namespace: str = DEFAULT_NAMESPACE) -> dict[str, Any]:
        """The object, by ``get("deployment", "web")`` or ``get("deployment/web")``. Raises StatusError (404)."""
        found: dict[str, Any] = self.request("GET", self._path(resource, name, namespace))
        return found

    def exists(self, resource: str, name: str = "", *, namespace: str = DEFAULT_NAMESPACE) -> bool:
        """Whether there is such an object."""
        return self._found(self._path(resource, name, namespace)) is not None

    def list(
        self, resource: str, *, namespace: str = "", labels: str = "", fields: str = ""
    ) -> Sequence[dict[str, Any]]:
        """All objects, or those of a namespace, or those that selectors choose."""
        wanted = self.resources.named(resource)
        query = {"labelSelector": labels, "fieldSelector": fields}
        answer = self.request("GET", wanted.path(namespace), **{key: value for key, value in query.items() if value})
        kind = {"apiVersion": wanted.api_version, "kind": wanted.kind}
        return [{**kind, **item} for item in answer["items"]]

    def patch(
        self,
        resource: str,
        name: Any = "",
        body: Any = None,
        *,
        type: str = "merge",
        namespace: str = DEFAULT_NAMESPACE,
        subresource: str = "",
    ) -> dict[str, Any]:
        """Change an object by a merge, strategic or json patch. Returns it.

        By ``patch("deployment", "web", {…})`` or ``patch("deployment/web", {…})``.
        """
        if not isinstance(name, str):
            name, body = "", name
        if type not in PATCHES or body is None:
            what = f"type {type!r}" if body is not None else "nothing to change"
            raise TestingError(f"patch: expected a body and type={' or '.join(map(repr, PATCHES))}, found {what}")
        path = self._path(resource, name, namespace, subresource)
        changed: dict[str, Any] = self.request("PATCH", path, body, PATCHES[type])
        return changed

    def delete(self, resource: str, name: str = "", *, namespace: str = DEFAULT_NAMESPACE, wait: float = 30.0) -> None:
        """Delete an object and wait until it has gone (`wait` seconds, 0 for not at all). None there: nothing to do."""
        path = self._path(resource, name, namespace)
        try:
            self.request("DELETE", path)
        except StatusError as error:
            if error.code != 404:
                raise
            return
        if wait:
            self.wait_for(f"{resource}/{name} delete" if name else f"{resource} delete", wait, namespace=namespace)

    def _path(self, resource: str, name: str, namespace: str, subresource: str = "") -> str:
        if not name:
            resource, _, name = resource.partition("/")
        if not name:
            raise TestingError(f'which {resource}? Name it: "{resource}/NAME"; for all of them: list("{resource}")')
        return self.resources.named(resource).path(namespace or DEFAULT_NAMESPACE, name, subresource)

    def _found(self, path: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = self.request("GET", path)
            return found
        except StatusError as error:
            if error.code != 404:
                raise
            return None

    # -- waiting ----------------------------------------------------------------------------------------------------

    def wait_for(
        self, condition: str | Callable[[], T], timeout: float | str = 30.0, *, namespace: str = DEFAULT_NAMESPACE
    ) -> T | Any:
        """Wait until a condition is true. Raises WaitTimeout, which shows what was there instead.

        condition   as ``kubectl wait`` has it, such as ``deployment/web condition=Available`` (see `conditions`):
                    returns the object (None after a deletion); or something to call: returns its first true result.
                    What is not found (keys and items, too), and failed assertions, count as not yet true
        timeout     in seconds, or such as ``"2m"``
        """
        __tracebackhide__ = True  # pytest shows the caller's line, not what waits below it
        limit = checked(condition, timeout)
        if isinstance(condition, str):
            return self._wait_object(conditions.parse(condition), condition, limit, namespace)
        return self._wait_called(condition, limit)

    def _wait_object(self, wanted: conditions.Wanted, text: str, timeout: float, namespace: str) -> Any:
        __tracebackhide__ = True
        path = self._path(wanted.resource, wanted.name, namespace)
        found: dict[str, Any] | None = None
        for pause in pauses(timeout):
            found = self._found(path)
            if wanted.holds(found):
                return found
            time.sleep(pause)
        raise WaitTimeout(
            f"{text}: not true after {timeout:g} s; {wanted.instead(found)}"
            + reports.about(self.events(f"{wanted.resource}/{wanted.name}", namespace=namespace))
            + ("" if found else self._others(wanted.resource, namespace))
        )

    def _wait_called(self, condition: Callable[[], T], timeout: float) -> T:
        __tracebackhide__ = True
        trials = Trials()
        for pause in pauses(timeout):
            with trials.one():
                trials.result = result = condition()
            if inspect.iscoroutine(trials.result):
                trials.result.close()
                raise TestingError(f"{condition!r} has to be awaited: await AsyncCluster.of(cluster).wait_for(…)")
            if trials.result:
                return result
            time.sleep(pause)
        raise self.timed_out(condition, timeout, trials.seen)

    def timed_out(self, condition: Callable[[], object], timeout: float, seen: str) -> WaitTimeout:
        """What to raise when a condition that is called did not come true."""
        name = getattr(condition, "__qualname__", repr(condition))
        warnings = [one for one in self.events() if one.get("type") == "Warning"]
        return WaitTimeout(f"{name}: not true after {timeout:g} s; {seen}{reports.about(warnings)}")

    def _others(self, resource: str, namespace: str) -> str:
        names = [one["metadata"]["name"] for one in self.list(resource, namespace=namespace)]
        return f"\n  there are: {', '.join(names[:20])}" if names else f"\n  there is no {resource} in {namespace}"

    # -- what happened ----------------------------------------------------------------------------------------------

    def events(self, about: str = "", *, namespace: str = "") -> Sequence[dict[str, Any]]:
        """The events, oldest first: all, those of a namespace, or those about an object (``pod/web``)."""
        fields = ""
        if about:
            resource, _, name = about.partition("/")
            if not name:
                raise TestingError(f'events: expected something like "pod/web-1", found {about!r}')
            wanted: Resource = self.resources.named(resource)
            fields = f"involvedObject.kind={wanted.kind},involvedObject.name={name}"
            namespace = namespace if wanted.namespaced else DEFAULT_NAMESPACE
        return sorted(self.list("events", namespace=namespace, fields=fields), key=reports.order)

    def logs(
        self, pod: str = "", *, namespace: str = DEFAULT_NAMESPACE, container: str = "", previous: bool = False
    ) -> str:
        """A pod's log (``web-1`` or ``pod/web-1``); without a pod that of the fleet, which serves the cluster."""
        if not pod:
            return self.fleet.directory.log.read_text(errors="replace")
        query = {"container": container, "previous": "true" if previous else ""}
        path = self._path("pods", bare("pod", pod), namespace, "log")
        return str(self.request("GET", path, **{key: value for key, value in query.items() if value}))

    def dump(self, folder: str | Path) -> Path:
        """Write objects, events and logs into a folder, for reading after a failure. Secrets' values are left out."""
        return reports.dump(self, Path(folder))

    def _discover(self, path: str) -> Any:
        return self._ask("GET", path, {}, accept=ACCEPT)
