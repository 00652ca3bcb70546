"""Which pods stand behind a Service, and at which ports: what Endpoints and EndpointSlices have in common. Pure.

https://kubernetes.io/docs/concepts/services-networking/service/
"""

from __future__ import annotations

from collections.abc import Iterable

from kloster.apimachinery import Object
from kloster.client.api import Change
from kloster.client.resources import SERVICES
from kloster.kinds import times
from kloster.runtime.api import Context, Key
from kloster.workloads import pods

TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
HEADLESS = "service.kubernetes.io/headless"


def addresses(pod: Object) -> list[str]:
    """The pod's addresses, the primary one first."""
    status = pod.get("status") or {}
    found = [entry["ip"] for entry in status.get("podIPs") or () if entry.get("ip")]
    if not found and status.get("podIP"):
        found = [status["podIP"]]
    return found


def is_included(pod: Object, include_deleting: bool) -> bool:
    """It has an address and has not ended; while it is being deleted only if that is asked for."""
    if pods.is_terminal(pod) or not addresses(pod):
        return False
    return include_deleting or not pods.is_deleting(pod)


def is_headless(service: Object) -> bool:
    return service["spec"].get("clusterIP") in (None, "", "None")


def publishes_unready(service: Object) -> bool:
    return bool(service["spec"].get("publishNotReadyAddresses"))


def selects(service: Object, labels: dict[str, str] | None) -> bool:
    selector = service["spec"].get("selector")
    return bool(selector) and selector.items() <= (labels or {}).items()


def hostname(service: Object, pod: Object) -> str:
    """The name under which the pod is found in DNS: only if its subdomain is the Service's name."""
    spec = pod["spec"]
    if spec.get("hostname") and spec.get("subdomain") == service["metadata"]["name"]:
        return str(spec["hostname"])
    return ""


def target_port(pod: Object, port: Object) -> int | None:
    """The number of the port in the pod; a name is looked up among its containers' ports."""
    wanted = port.get("targetPort", port.get("port"))
    if isinstance(wanted, int):
        return wanted or int(port["port"])
    spec, protocol = pod["spec"], port.get("protocol", "TCP")
    sidecars = [item for item in spec.get("initContainers") or () if item.get("restartPolicy") == "Always"]
    for container in [*(spec.get("containers") or ()), *sidecars]:
        for candidate in container.get("ports") or ():
            if candidate.get("name") == wanted and candidate.get("protocol", "TCP") == protocol:
                return int(candidate["containerPort"])
    return None


def target_reference(pod: Object) -> Object:
    metadata = pod["metadata"]
    return {
        "kind": "Pod",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }


def trigger_time(service: Object, behind: Iterable[Object]) -> str | None:
    """The latest change that made endpoints change: a pod's readiness, or the Service's creation."""
    found = [service["metadata"].get("creationTimestamp")]
    for pod in behind:
        ready = pods.condition(pod, "Ready")
        found.append((ready or {}).get("lastTransitionTime") or pod["metadata"].get("creationTimestamp"))
    known = [(at, text) for text in found if (at := times.parse(text)) is not None]
    return str(max(known)[1]) if known else None


def services_of_pod(context: Context, change: Change) -> Iterable[Key]:
    """Services that select the pod, before or after the change, if the change can matter to them."""
    old, new = change.old, change.new
    if old is not None and new is not None and _visible(old) == _visible(new):
        return ()
    namespace = change.object["metadata"]["namespace"]
    labels = [item["metadata"].get("labels") for item in (old, new) if item is not None]
    return [
        Key(namespace, service["metadata"]["name"])
        for service in context.source.list(SERVICES, namespace)
        if any(selects(service, each) for each in labels)
    ]


def _visible(pod: Object) -> tuple[object, ...]:
    metadata, spec = pod["metadata"], pod["spec"]
    return (
        metadata.get("labels"),
        addresses(pod),
        pods.is_ready(pod),
        pods.is_deleting(pod),
        pods.is_terminal(pod),
        spec.get("nodeName"),
        spec.get("hostname"),
        spec.get("subdomain"),
    )
