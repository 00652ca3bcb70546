"""A node in the API, and the shell that runs the agent for its pods.

`NodeConfig` is what the node says of itself; `registration` and `heartbeat` give the objects. `agent_controller` is
one controller for all nodes of a host: it is called for a pod, observes, decides, performs, and writes status.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from kloster.aio.clock import rfc3339, rfc3339_micro
from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change
from kloster.client.resources import LEASES, NAMESPACES, NODES, PODS
from kloster.nodes import agent
from kloster.nodes.ports import Executor
from kloster.runtime.api import Context, Controller, Key, Result, Watch

LEASE_SECONDS = 40
RENEW_SECONDS = 10.0
LEASE_NAMESPACE = "kube-node-lease"


@dataclass(frozen=True, slots=True)
class NodeConfig:
    """One node of the embedded host. Quantities as Kubernetes writes them."""

    name: str
    ip: str
    pod_cidr: str
    runtime_version: str
    kubelet_version: str
    capacity: Mapping[str, str] = field(
        default_factory=lambda: {"cpu": "64", "memory": "256Gi", "ephemeral-storage": "1Ti", "pods": "5000"}
    )
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Node:
    """A node and what performs its actions."""

    config: NodeConfig
    executor: Executor


def registration(config: NodeConfig) -> Object:
    """The Node as the kubelet registers it."""
    labels = {
        "beta.kubernetes.io/arch": "amd64",
        "beta.kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": config.name,
        "kubernetes.io/os": "linux",
        **config.labels,
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": config.name, "labels": labels},
        "spec": {"podCIDR": config.pod_cidr, "podCIDRs": [config.pod_cidr]},
    }


def node_status(config: NodeConfig, old: Object, now: float) -> Object:
    """The node's status: ready, with capacity and the runtime's name."""
    before = {one["type"]: one for one in old.get("conditions", ())}
    checks = (
        ("MemoryPressure", "False", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("DiskPressure", "False", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("PIDPressure", "False", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("Ready", "True", "KubeletReady", "kubelet is posting ready status"),
    )
    conditions = [
        {
            "type": name,
            "status": status,
            "lastHeartbeatTime": rfc3339(now),
            "lastTransitionTime": before[name]["lastTransitionTime"]
            if before.get(name, {}).get("status") == status
            else rfc3339(now),
            "reason": reason,
            "message": message,
        }
        for name, status, reason, message in checks
    ]
    return {
        "capacity": dict(config.capacity),
        "allocatable": dict(config.capacity),
        "conditions": conditions,
        "addresses": [
            {"type": "InternalIP", "address": config.ip},
            {"type": "Hostname", "address": config.name},
        ],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 10250}},
        "nodeInfo": {
            "machineID": "",
            "systemUUID": "",
            "bootID": "",
            "kernelVersion": "",
            "osImage": "Kloster",
            "containerRuntimeVersion": config.runtime_version,
            "kubeletVersion": config.kubelet_version,
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": "amd64",
        },
    }


def heartbeat_controller(nodes: Mapping[str, Node]) -> Controller:
    """Registers the nodes and renews their leases (kubelet: every 10 s; the status every 5 min is not needed,
    because nobody reads its heartbeat time where leases are)."""

    def present(_: Change) -> Iterable[Key]:
        return [Key("", name) for name in nodes]

    def own(change: Change) -> Iterable[Key]:
        name = change.object["metadata"]["name"]
        return [Key("", name)] if name in nodes else []

    async def reconcile(context: Context, key: Key) -> Result | None:
        node = nodes[key.name]
        await _register(context, node.config)
        await _renew(context, node.config.name)
        return Result(after=RENEW_SECONDS)

    def leases_exist(change: Change) -> bool:
        return change.new is not None and change.new["metadata"]["name"] == LEASE_NAMESPACE

    def gone(change: Change) -> bool:
        return change.new is None

    watches = (Watch(NAMESPACES, present, leases_exist), Watch(NODES, own, gone))
    return Controller("node-heartbeat", watches, reconcile)


async def _register(context: Context, config: NodeConfig) -> None:
    current = context.source.get(NODES, "", config.name)
    if current is None:
        try:
            current = await context.client.create(NODES, registration(config))
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
            current = await context.client.get(NODES, "", config.name)
    ready = any(one["type"] == "Ready" and one["status"] == "True" for one in current["status"].get("conditions", ()))
    same_version = current["status"].get("nodeInfo", {}).get("kubeletVersion") == config.kubelet_version
    if not ready or not same_version:
        status = node_status(config, current["status"], context.clock.now())
        await context.client.patch(NODES, "", config.name, {"status": status}, subresource="status")


async def _renew(context: Context, name: str) -> None:
    now = rfc3339_micro(context.clock.now())
    lease = context.source.get(LEASES, LEASE_NAMESPACE, name)
    if lease is not None:
        await context.client.patch(LEASES, LEASE_NAMESPACE, name, {"spec": {"renewTime": now}})
        return
    node = context.source.get(NODES, "", name)
    owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": node["metadata"]["uid"] if node else ""}
    body = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": name,
            "namespace": LEASE_NAMESPACE,
            **({"ownerReferences": [owner]} if node else {}),
        },
        "spec": {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": now},
    }
    try:
        await context.client.create(LEASES, body)
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise


def agent_controller(nodes: Mapping[str, Node]) -> Controller:
    """Runs the pods that are bound to `nodes`."""
    uids: dict[Key, tuple[str, str]] = {}
    writing: dict[str, Object] = {}  # statuses that are on their way, by UID

    def bound(change: Change) -> bool:
        return change.object["spec"].get("nodeName") in nodes and not _own(change, writing)

    async def reconcile(context: Context, key: Key) -> Result | None:
        pod = context.source.get(PODS, key.namespace, key.name)
        known = uids.get(key)
        if known is not None and (pod is None or pod["metadata"]["uid"] != known[1]):
            _forget(nodes, uids.pop(key))
        if pod is None or pod["spec"].get("nodeName") not in nodes:
            return None
        node = nodes[pod["spec"]["nodeName"]]
        uids[key] = (node.config.name, pod["metadata"]["uid"])
        after = await _run(context, node, pod, writing)
        return Result(after) if after is not None else None

    return Controller("node-agent", (Watch(PODS, relevant=bound),), reconcile)


def _own(change: Change, writing: Mapping[str, Object]) -> bool:
    """Whether the change is nothing but a status that is just being written: whoever writes it goes on by himself."""
    old, new = change.old, change.new
    if old is None or new is None or new["metadata"]["uid"] not in writing:
        return False
    if new.get("status") != writing[new["metadata"]["uid"]] or new["spec"] != old["spec"]:
        return False
    return all(new["metadata"].get(name) == old["metadata"].get(name) for name in _LOOKED_AT)


_LOOKED_AT = ("uid", "generation", "deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations")


def _forget(nodes: Mapping[str, Node], known: tuple[str, str]) -> None:
    node = nodes.get(known[0])
    if node is not None:
        node.executor.forget(known[1])


async def _run(context: Context, node: Node, pod: Object, writing: dict[str, Object] | None = None) -> float | None:
    """Decide and perform until nothing is left to do now; write the status that results. Seconds to the next look.

    `writing` says, while a status is being written, which.
    """
    writing = {} if writing is None else writing
    executor, uid = node.executor, pod["metadata"]["uid"]
    recorder = context.recorder.for_component("kubelet")
    for _ in range(3):
        now = context.clock.now()
        state = executor.observe(pod)
        decision = agent.decide(pod, state, now, node.config.ip)
        if decision.status != pod.get("status"):
            writing[uid] = decision.status
            try:
                written = await _write_status(context, pod, decision.status)
            finally:
                writing.pop(uid, None)
            if written is None:
                return None
            pod = written
        for action in decision.actions:
            await executor.perform(pod, action)
        for event in executor.take_events(uid):
            path = _field_path(pod, event.container) if event.container else ""
            recorder.event(pod, event.type, event.reason, event.message, field_path=path)
        if decision.remove:
            await _remove(context, pod)
            return None
        if not decision.actions:
            # Counted from the observation that was decided on: what changed while its status was being written is due.
            changes = [after for after in (state.changes_in, decision.after) if after is not None]
            return max(0.0, now + min(changes) - context.clock.now()) if changes else None
    return 0.0


def _field_path(pod: Object, container: str) -> str:
    """How events name a container."""
    init = any(one["name"] == container for one in pod["spec"].get("initContainers", ()))
    return f"spec.{'initContainers' if init else 'containers'}{{{container}}}"


async def _write_status(context: Context, pod: Object, status: Object) -> Object | None:
    """Patch the status of this very pod; None if it is gone or another one by now."""
    old = pod.get("status", {})
    patch: Object = {name: value for name, value in status.items() if old.get(name) != value}
    patch.update({name: None for name in old if name not in status})
    body = {"metadata": {"uid": pod["metadata"]["uid"]}, "status": patch}
    namespace, name = pod["metadata"].get("namespace", ""), pod["metadata"]["name"]
    try:
        return await context.client.patch(PODS, namespace, name, body, subresource="status")
    except StatusError as error:
        if error.code in (404, 409):
            return None
        raise


async def _remove(context: Context, pod: Object) -> None:
    """The pod has ended: take it out of the API."""
    namespace, name = pod["metadata"].get("namespace", ""), pod["metadata"]["name"]
    try:
        await context.client.delete(PODS, namespace, name, uid=pod["metadata"]["uid"], grace_period_seconds=0)
    except StatusError as error:
        if error.code not in (404, 409):
            raise
