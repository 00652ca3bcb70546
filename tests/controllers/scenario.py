"""One long scenario of workloads, played on any cluster: what it leaves after each step is compared with upstream.

``python -m tests.controllers.scenario KUBECONFIG`` plays it on a real cluster (a kube-apiserver and a
kube-controller-manager 1.34, no nodes) and writes what it saw to tests/golden/controllers.json. `test_scenario` plays
it on ours. Pods are brought along by hand, as a kubelet would.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object
from kloster.client.api import Resource
from kloster.client.client import Client
from kloster.client.http import HttpTransport
from kloster.client.kubeconfig import Connection, connection
from kloster.client.resources import (
    CONTROLLER_REVISIONS,
    CRON_JOBS,
    DAEMON_SETS,
    DEPLOYMENTS,
    ENDPOINTS,
    EVENTS,
    JOBS,
    NAMESPACES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICES,
    STATEFUL_SETS,
)

GOLDEN = Path(__file__).parent.parent / "golden" / "controllers.json"
COMPARED = (
    DEPLOYMENTS,
    REPLICA_SETS,
    STATEFUL_SETS,
    DAEMON_SETS,
    REPLICATION_CONTROLLERS,
    JOBS,
    CRON_JOBS,
    PODS,
    CONTROLLER_REVISIONS,
    ENDPOINTS,
    POD_DISRUPTION_BUDGETS,
    EVENTS,
)
Snapshot = dict[str, list[Any]]


@dataclass(frozen=True, slots=True)
class Script:
    """What is played, which kinds are compared after each step, and where what upstream left is kept.

    binds    whether pods are bound to nodes; there are none, so upstream collects such pods after 40 seconds
    """

    golden: Path
    compared: tuple[Resource, ...]
    play: Callable[[Player], AsyncIterator[str]]
    binds: bool = True


class Player:
    """A namespace of a cluster, and how one waits there until controllers have done their work."""

    def __init__(
        self,
        client: Client,
        namespace: str,
        settle: Callable[[], Awaitable[None]],
        now: Callable[[], float],
        binds: bool = True,
    ) -> None:
        self.client = client
        self.namespace = namespace
        self.settle = settle
        self.now = now
        self.binds = binds

    async def make(self, resource: Resource, name: str, spec: Object, **metadata: Any) -> None:
        head = {"name": name, "namespace": self.namespace, **metadata}
        body = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": head, "spec": spec}
        await self.client.create(resource, body)

    async def patch(self, resource: Resource, name: str, spec: Object) -> None:
        await self.client.patch(resource, self.namespace, name, {"spec": spec}, type="strategic")

    async def delete(self, resource: Resource, *names: str, **options: Any) -> None:
        for name in names:
            await self.client.delete(resource, self.namespace, name, **options)

    async def pods(self) -> list[Object]:
        return await self.all(PODS)

    async def all(self, resource: Resource) -> list[Object]:
        return list((await self.client.list(resource, self.namespace)).items)

    async def next_minute(self) -> None:
        """Wait until the minute has turned and controllers have done what was due."""
        turns = (self.now() // 60 + 1) * 60
        while self.now() < turns + 1:
            await self.settle()
        await self.settle()

    async def report(self, name: str, address: str, *, ready: bool, phase: str = "Running") -> None:
        """Say of a pod what a kubelet says."""
        conditions = [{"type": "Ready", "status": str(ready), "lastTransitionTime": rfc3339(self.now())}]
        status = {"phase": phase, "podIP": address, "podIPs": [{"ip": address}], "conditions": conditions}
        await self.client.patch(PODS, self.namespace, name, {"status": status}, subresource="status")

    async def bring(self, pod: Object, phase: str) -> None:
        """Bind the pod to a node of its own (pods on one missing node are collected soon) and report its phase."""
        name, at = pod["metadata"]["name"], rfc3339(self.now())
        if self.binds and not pod["spec"].get("nodeName"):
            await self.bind(name)
        state: Object = {"running": {"startedAt": at}}
        if phase != "Running":
            ended = {"exitCode": int(phase == "Failed"), "finishedAt": at, "startedAt": at}
            state = {"terminated": ended}
        ready = phase == "Running"
        container = {"name": "c", "image": "i", "imageID": "", "ready": ready, "restartCount": 0, "state": state}
        address = f"10.9.0.{1 + sum(name.encode()) % 200}"
        condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": at}
        status = {
            "phase": phase,
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": [condition],
            "containerStatuses": [container],
        }
        await self.client.patch(PODS, self.namespace, name, {"status": status}, subresource="status")

    async def bind(self, name: str) -> None:
        """To a node of its own."""
        target = {"kind": "Node", "name": f"node-of-{name}"}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
        await self.client.create_subresource(PODS, self.namespace, name, "binding", body)

    async def converge(self) -> None:
        for _ in range(20):
            await self.settle()
            touched = False
            for pod in await self.pods():
                if "deletionTimestamp" in pod["metadata"]:
                    await self.delete(PODS, pod["metadata"]["name"], grace_period_seconds=0)
                elif pod["status"]["phase"] == "Pending":
                    await self.bring(pod, "Running")
                else:
                    continue
                touched = True
            if not touched:
                return


def template(labels: dict[str, str], image: str = "example.com/app:1", **spec: Any) -> Object:
    return {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": image}], **spec}}


def image(number: int) -> Object:
    return {"template": {"spec": {"containers": [{"name": "c", "image": f"example.com/app:{number}"}]}}}


async def play(player: Player) -> AsyncIterator[str]:
    """The steps; yields the name of each one when it has settled."""
    for part in (_deployment, _stateful_set, _jobs, _others):
        async for step in part(player):
            yield step


async def _deployment(player: Player) -> AsyncIterator[str]:
    labels = {"app": "web"}
    ports = [{"name": "http", "port": 80, "targetPort": 8080}]
    await player.make(SERVICES, "web", {"selector": labels, "ports": ports}, labels={"team": "a"})
    budget = {"selector": {"matchLabels": labels}, "maxUnavailable": 1}
    await player.make(POD_DISRUPTION_BUDGETS, "budget", budget)
    spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": template(labels)}
    await player.make(DEPLOYMENTS, "web", spec, annotations={"note": "1"})
    await player.settle()
    yield "deployment created"
    await player.converge()
    yield "deployment up"
    await player.patch(DEPLOYMENTS, "web", image(2))
    await player.settle()
    yield "rollout begun"
    await player.converge()
    yield "rollout done"
    await player.patch(DEPLOYMENTS, "web", {"paused": True})
    await player.settle()
    await player.patch(DEPLOYMENTS, "web", {"replicas": 1})
    await player.converge()
    yield "paused and scaled"
    await player.patch(DEPLOYMENTS, "web", {"paused": False, **image(1)})
    await player.converge()
    yield "rolled back"
    await player.delete(DEPLOYMENTS, "web")
    await player.delete(SERVICES, "web")
    await player.converge()
    yield "deployment gone"


async def _stateful_set(player: Player) -> AsyncIterator[str]:
    labels = {"app": "db"}
    spec = {"replicas": 2, "serviceName": "db", "selector": {"matchLabels": labels}, "template": template(labels)}
    await player.make(STATEFUL_SETS, "db", spec)
    await player.make(SERVICES, "db", {"clusterIP": "None", "selector": labels})
    await player.settle()
    yield "stateful set created"
    await player.converge()
    yield "stateful set up"
    await player.patch(STATEFUL_SETS, "db", image(2))
    await player.settle()
    yield "stateful set updating"
    await player.converge()
    yield "stateful set updated"
    await player.delete(STATEFUL_SETS, "db", propagation_policy="Foreground")
    await player.delete(SERVICES, "db")
    await player.converge()
    yield "stateful set gone"


async def _jobs(player: Player) -> AsyncIterator[str]:
    pod = {"template": template({}, restartPolicy="Never")}
    await player.make(JOBS, "good", {"completions": 2, "parallelism": 2, **pod})
    await player.make(JOBS, "bad", {"backoffLimit": 0, **pod})
    await player.make(JOBS, "waiting", {"suspend": True, **pod})
    indexed = {"completions": 3, "parallelism": 3, "completionMode": "Indexed", "backoffLimitPerIndex": 0}
    await player.make(JOBS, "indexed", {**indexed, **pod})
    await player.settle()
    yield "jobs created"
    for made in await player.pods():
        index = (made["metadata"].get("annotations") or {}).get("batch.kubernetes.io/job-completion-index")
        fails = made["metadata"]["labels"]["job-name"] == "bad" or index == "1"
        await player.bring(made, "Failed" if fails else "Succeeded")
    await player.settle()
    await player.settle()
    yield "jobs ended"
    await player.delete(JOBS, "good", "bad", "waiting", "indexed", propagation_policy="Background")
    await player.converge()
    yield "jobs gone"


async def _others(player: Player) -> AsyncIterator[str]:
    labels = {"app": "rs"}
    spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template(labels)}
    await player.make(REPLICA_SETS, "rs", spec)
    labels = {"app": "rc"}
    await player.make(REPLICATION_CONTROLLERS, "rc", {"replicas": 1, "selector": labels, "template": template(labels)})
    labels = {"app": "ds"}
    await player.make(DAEMON_SETS, "ds", {"selector": {"matchLabels": labels}, "template": template(labels)})
    await player.converge()
    yield "sets up"
    await player.patch(REPLICA_SETS, "rs", {"replicas": 1})
    await player.converge()
    yield "replica set smaller"


_VOLATILE = re.compile(
    r"uid|resourceVersion|managedFields|creationTimestamp|deletionTimestamp|ip|podIPs?|clusterIPs?|\w+TransitionTime|"
    r"lastUpdateTime|lastProbeTime|startTime|completionTime|startedAt|finishedAt|nodeName|"
    r"lastScheduleTime|lastSuccessfulTime|batch\.kubernetes\.io/cronjob-scheduled-timestamp"
)
_SAFE = "[bcdfghjklmnpqrstvwxz2456789]"
_HASHED = re.compile(rf"\b(web|db|ds)-{_SAFE}{{6,10}}\b")
_JOBS = "good|bad|again|late|brief|strict|foreign|(?:indexed|enough)-\\d|cron-[a-z]+-MINUTE"
_SUFFIXED = re.compile(rf"\b(web-HASH|rs|rc|plain|eager|headless|db|{_JOBS})-{_SAFE}{{5}}\b")
_MINUTE = re.compile(r"\b(cron-[a-z]+)-\d{8}\b")


async def snapshot(player: Player, compared: tuple[Resource, ...]) -> Snapshot:
    """What there is, without what differs from run to run."""
    found: Snapshot = {}
    for resource in compared:
        items = (await player.client.list(resource, player.namespace)).items
        shown = [_event(item) if resource is EVENTS else _object(item) for item in items if _is_compared(item)]
        text = json.dumps(shown).replace(player.namespace, "NAMESPACE")
        found[resource.kind] = sorted(json.loads(text), key=lambda item: json.dumps(item, sort_keys=True))
    return found


Change = dict[str, dict[str, list[Any]]]
"""By kind: what has gone and what has come since the step before. Most things stay as they are."""


def change(before: Snapshot, after: Snapshot) -> Change:
    found: Change = {}
    for kind, items in after.items():
        known = before.get(kind, [])
        gone, come = _without(known, items), _without(items, known)
        if gone or come:
            found[kind] = {"gone": gone, "come": come}
    return found


def changed(before: Snapshot, what: Change) -> Snapshot:
    """The snapshot after `what`."""
    after = dict(before)
    for kind, part in what.items():
        items = _without(before.get(kind, []), part["gone"]) + part["come"]
        after[kind] = sorted(items, key=lambda item: json.dumps(item, sort_keys=True))
    return after


def _without(items: list[Any], others: list[Any]) -> list[Any]:
    """`items` without those in `others`, each as often as it is there."""
    left, found = list(others), []
    for item in items:
        if item in left:
            left.remove(item)
        else:
            found.append(item)
    return found


def _is_compared(item: Object) -> bool:
    """Left out: events of the scheduler, and those that are said again at each look, however often that was.

    Upstream leaves pods on nodes that it does not know out of slices, and says so; ours do not (decision). That does
    not concern services that publish what is not ready.
    """
    if item["kind"] == "EndpointSlice":
        return bool(item["metadata"]["labels"]["kubernetes.io/service-name"] == "eager")
    if item["kind"] != "Event":
        return True
    component = (item.get("source") or {}).get("component")
    repeated = ("NoPods", "CalculateExpectedPodCountFailed", "FailedToUpdateEndpointSlices")
    belated = ("MissingJob",)  # upstream's controller has looked at an old copy of the CronJob
    others = (None, "", "default-scheduler", "persistentvolume-controller")
    return component not in others and item["reason"] not in (*repeated, *belated)


def _event(item: Object) -> list[Any]:
    about = item["involvedObject"]
    return [about["kind"], _name(about["name"]), item["type"], item["reason"], _name(item["message"]), item["count"]]


def _object(item: Object) -> Object:
    shown: Object = _clean(copy.deepcopy(item), "")
    if item["kind"] == "Pod":
        shown.pop("status", None)
        shown["spec"] = {name: shown["spec"][name] for name in ("hostname", "subdomain") if name in shown["spec"]}
    if item["kind"] in ("Endpoints", "EndpointSlice"):
        shown["metadata"].pop("annotations", None)  # nothing but the time of the last change
    if item["kind"] == "EndpointSlice":
        shown["endpoints"] = _sorted(shown.get("endpoints") or [])
        shown["metadata"].pop("generation", None)  # several changes may be written at once
    for subset in shown.get("subsets") or ():
        subset["ports"] = _sorted(subset.get("ports") or [])
    if "subsets" in shown:
        shown["subsets"] = _sorted(shown["subsets"])  # upstream sorts by hashes of Go structs
    if item["kind"] == "ConfigMap":
        shown.pop("data", None)
    return shown


def _sorted(items: list[Any]) -> list[Any]:
    return sorted(items, key=lambda one: json.dumps(one, sort_keys=True))


def _clean(value: Any, key: str) -> Any:
    if isinstance(value, dict):
        return {name: _clean(item, name) for name, item in value.items() if not _VOLATILE.fullmatch(name)}
    if isinstance(value, list):
        return [_clean(item, key) for item in value]
    if not isinstance(value, str):
        return value
    if re.fullmatch(r"[0-9a-f]{8}-[0-9a-f-]{27}", value):
        return "UID"
    if key in ("pod-template-hash", "controller-revision-hash", "controller.kubernetes.io/hash"):
        return re.sub(rf"{_SAFE}{{6,10}}$", "HASH", value)
    return _name(value)


def _name(text: str) -> str:
    return _SUFFIXED.sub(r"\1-RANDOM", _HASHED.sub(r"\1-HASH", _MINUTE.sub(r"\1-MINUTE", text)))


async def record(target: Connection, script: Script) -> dict[str, Snapshot]:
    """Play on a real cluster; what there was after each step."""
    namespace = f"kloster-scenario-{int(time.time())}"
    async with HttpTransport(target) as transport:
        client = Client(transport)
        await client.create(NAMESPACES, {"metadata": {"name": namespace}})
        player = Player(client, namespace, lambda: asyncio.sleep(2), time.time, script.binds)
        await player.settle()
        steps: dict[str, Snapshot] = {}
        async for step in script.play(player):
            steps[step] = await snapshot(player, script.compared)
        await client.delete(NAMESPACES, "", namespace)
    return steps


def main(kubeconfig: Path, script: Script) -> None:
    target = connection(yaml.safe_load(kubeconfig.read_text()), base=kubeconfig.parent)
    before: Snapshot = {}
    lines: list[str] = []
    for step, found in asyncio.run(record(target, script)).items():
        lines.append(f"{json.dumps(step)}: {json.dumps(change(before, found), sort_keys=True)}")
        before = found
    script.golden.write_text("{\n" + ",\n".join(lines) + "\n}\n")


SCRIPT = Script(GOLDEN, COMPARED, play)

if __name__ == "__main__":
    main(Path(sys.argv[1]), SCRIPT)
