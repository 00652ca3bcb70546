"""What happens to pods: a test makes simulated ones crash, hang, be killed for their memory, be evicted.

    cluster.pods.crash("web-1")
    cluster.wait_for("pod/web-1 condition=Ready")     # it was restarted

Each call returns when the pod's status shows it.

Nothing runs in them. Where the API server itself connects to a pod, for a webhook by Service, a process of the test can
stand in for it, so that an operator's manifests are applied as they are:

    cluster.apply("operator.yaml")                                  # with its Service and webhook configurations
    cluster.pods.serve("service/webhooks", 443, "127.0.0.1:9443", namespace="operator-system")
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any, Protocol, Self

from kloster.nodes.simulated.executor import FAULT
from kloster.testing.errors import TestingError
from kloster.testing.resources import bare

NAMESPACE = "default"
STAND_INS = "/kloster.dev/testing/stand-ins"


class Cluster(Protocol):
    """Whose pods they are."""

    def get(self, resource: str, name: str = "", *, namespace: str = NAMESPACE) -> dict[str, Any]: ...

    def patch(
        self,
        resource: str,
        name: str,
        body: Any,
        *,
        type: str = "merge",
        namespace: str = NAMESPACE,
        subresource: str = "",
    ) -> dict[str, Any]: ...

    def request(
        self, method: str, path: str, body: Any = None, kind: str = "application/json", **query: str
    ) -> Any: ...

    def wait_for(
        self, condition: str | Callable[[], Any], timeout: float = 30.0, *, namespace: str = NAMESPACE
    ) -> Any: ...


class StandIn:
    """A process that stands in for a port, until `end` is called or the context is left."""

    def __init__(self, cluster: Cluster, wanted: dict[str, Any]) -> None:
        self._cluster = cluster
        self._wanted = wanted
        self._write([*self._others(), wanted])

    def end(self) -> None:
        """Connections to the port go to the pod again."""
        self._write(self._others())

    def _others(self) -> list[dict[str, Any]]:
        """Those for other ports."""
        place = ("kind", "namespace", "name", "port")
        known = self._cluster.request("GET", STAND_INS)["standIns"]
        return [one for one in known if any(one[key] != self._wanted[key] for key in place)]

    def _write(self, stand_ins: list[dict[str, Any]]) -> None:
        self._cluster.request("PUT", STAND_INS, {"standIns": stand_ins})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()


class Pods:
    """The pods of a cluster, which run on simulated nodes."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._numbers = itertools.count(1)

    def crash(self, pod: str, *, code: int = 1, container: str = "", namespace: str = NAMESPACE) -> None:
        """Its containers (or one) end with this exit code."""
        if not isinstance(code, int) or not 0 <= code <= 255:
            raise TestingError(f"crash: expected an exit code from 0 to 255, found {code!r}")
        self._end(pod, "crash", code, container, namespace)

    def oom_kill(self, pod: str, *, container: str = "", namespace: str = NAMESPACE) -> None:
        """Its containers (or one) are killed because they use too much memory: OOMKilled, exit code 137."""
        self._end(pod, "oom", 137, container, namespace)

    def hang(self, pod: str, *, container: str = "", namespace: str = NAMESPACE) -> None:
        """Its containers (or one) run on and are ready no longer, as if their readiness probes failed."""
        pod = bare("pod", pod)
        self._write(pod, "hang", container, namespace)
        self._cluster.wait_for(f"pod/{pod} condition=Ready=False", namespace=namespace)

    def recover(self, pod: str, *, container: str = "", namespace: str = NAMESPACE) -> None:
        """What hung is ready again."""
        pod = bare("pod", pod)
        self._write(pod, "recover", container, namespace)
        self._cluster.wait_for(f"pod/{pod} condition=Ready", namespace=namespace)

    def evict(self, pod: str, *, namespace: str = NAMESPACE) -> None:
        """By the Eviction API, which keeps PodDisruptionBudgets: StatusError 429 if they do not allow it."""
        pod = bare("pod", pod)
        body = {
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": {"name": pod, "namespace": namespace},
        }
        uid = self._cluster.get("pod", pod, namespace=namespace)["metadata"]["uid"]
        self._cluster.request("POST", f"/api/v1/namespaces/{namespace}/pods/{pod}/eviction", body)
        self._cluster.wait_for(lambda: self._is_gone(pod, uid, namespace))

    def _is_gone(self, pod: str, uid: str, namespace: str) -> bool:
        """Whether that pod has gone; another of its name may have come."""
        path = f"/api/v1/namespaces/{namespace}/pods"
        found = self._cluster.request("GET", path, fieldSelector=f"metadata.name={pod}")["items"]
        return not found or found[0]["metadata"]["uid"] != uid

    def serve(self, what: str, port: int, address: str, *, namespace: str = NAMESPACE) -> StandIn:
        """Let the API server reach a process at `address` (``127.0.0.1:9443``) where it calls a webhook in a pod.

        what   ``service/webhooks``: whichever pod is behind it, even if none is; ``web-1`` or ``pod/web-1``: that pod,
               while it is a ready endpoint of the Service that the webhook names
        port   of the Service, or of the pod (``targetPort``); 0 for all

        The process needs the certificate that the webhook's caBundle demands, for ``SERVICE.NAMESPACE.svc``.
        Returns what ends it, which can be a context; otherwise it lasts as long as the cluster. Forks begin without.
        """
        kind, _, name = what.rpartition("/")
        host, _, at = str(address).rpartition(":")
        if kind not in ("", "pod", "service") or not host or "/" in host or not at.isdecimal():
            raise TestingError(f'serve: expected "service/NAME" or "POD" and "HOST:PORT", found {what!r}, {address!r}')
        wanted = {"kind": kind or "pod", "namespace": namespace, "name": name, "port": port}
        return StandIn(self._cluster, {**wanted, "host": host.strip("[]"), "at": int(at)})

    def _end(self, pod: str, kind: str, code: int, container: str, namespace: str) -> None:
        pod = bare("pod", pod)
        before = self._write(pod, f"{kind} code={code}", container, namespace)
        self._cluster.wait_for(
            lambda: _ended(self._cluster.get("pod", pod, namespace=namespace), before), namespace=namespace
        )

    def _write(self, pod: str, fault: str, container: str, namespace: str) -> dict[str, str]:
        """Write the fault onto the pod. Returns the running containers' IDs before it."""
        seen = self._cluster.get("pod", pod, namespace=namespace)
        running = {
            one["name"]: one.get("containerID", "")
            for one in seen.get("status", {}).get("containerStatuses", ())
            if "running" in one["state"] and container in ("", one["name"])
        }
        if not running:
            what = f'container "{container}" of pod "{pod}"' if container else f'pod "{pod}"'
            raise TestingError(f'{what} does not run; wait for it: cluster.wait_for("pod/{pod} condition=Ready")')
        words = [fault, *([f"container={container}"] if container else []), f"id={next(self._numbers)}"]
        body = {"metadata": {"annotations": {FAULT: " ".join(words)}}}
        self._cluster.patch("pod", pod, body, namespace=namespace)
        return running


def _ended(pod: dict[str, Any], before: dict[str, str]) -> bool:
    """Whether every container that ran has ended, or runs again."""
    return all(
        "running" not in one["state"] or one.get("containerID") != before[one["name"]]
        for one in pod["status"]["containerStatuses"]
        if one["name"] in before
    )
