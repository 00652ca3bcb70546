"""A second recorded scenario: what people do to workloads beyond bringing them up.

``python -m tests.controllers.habits KUBECONFIG`` plays it on a real cluster without nodes and writes what it saw to
tests/golden/habits.json; `test_scenario` plays it on ours. How it works: `scenario`.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from kloster.apimachinery import Object
from kloster.client.resources import (
    CONFIG_MAPS,
    CONTROLLER_REVISIONS,
    CRON_JOBS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    EVENTS,
    JOBS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    REPLICA_SETS,
    SERVICES,
    STATEFUL_SETS,
)

from .scenario import Player, Script, image, main, template

GOLDEN = Path(__file__).parent.parent / "golden" / "habits.json"
COMPARED = (
    DEPLOYMENTS,
    REPLICA_SETS,
    STATEFUL_SETS,
    JOBS,
    CRON_JOBS,
    PODS,
    CONTROLLER_REVISIONS,
    PERSISTENT_VOLUME_CLAIMS,
    CONFIG_MAPS,
    ENDPOINTS,
    ENDPOINT_SLICES,
    EVENTS,
)
WEB, DB = {"app": "web"}, {"app": "db"}


def deployment(**spec: Any) -> Object:
    return {"selector": {"matchLabels": WEB}, "template": template(WEB), **spec}


def stateful_set(**spec: Any) -> Object:
    return {"selector": {"matchLabels": DB}, "serviceName": "db", "template": template(DB), **spec}


async def play(player: Player) -> AsyncIterator[str]:
    for part in (_rollouts, _deployments, _ordered, _updates, _claims, _jobs, _policies, _owners, _endpoints, _cron):
        async for step in part(player):
            yield step


async def _bring_one(player: Player, labels: dict[str, str]) -> None:
    for pod in await player.pods():
        if pod["status"]["phase"] == "Pending" and labels.items() <= pod["metadata"]["labels"].items():
            await player.bring(pod, "Running")
            await player.settle()
            return


async def _rollouts(player: Player) -> AsyncIterator[str]:
    surge = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    await player.make(DEPLOYMENTS, "web", deployment(replicas=4, strategy=surge, revisionHistoryLimit=1))
    await player.converge()
    await player.patch(DEPLOYMENTS, "web", image(2))
    await player.settle()
    yield "one pod more than wanted"
    await _bring_one(player, WEB)
    yield "one pod exchanged"
    await player.patch(DEPLOYMENTS, "web", {"replicas": 8})
    await player.settle()
    yield "scaled in the middle of a rollout"
    await player.converge()
    yield "that rollout done"
    await player.patch(DEPLOYMENTS, "web", {"replicas": 2, **image(3)})
    await player.converge()
    yield "revisions beyond the limit gone"
    await player.patch(DEPLOYMENTS, "web", {"strategy": {"type": "Recreate", "rollingUpdate": None}, **image(4)})
    await player.settle()
    yield "recreating: the old ones leave"
    await player.converge()
    yield "recreated"
    await player.patch(DEPLOYMENTS, "web", {"progressDeadlineSeconds": 1, **image(5)})
    for _ in range(3):
        for pod in await player.pods():
            if "deletionTimestamp" in pod["metadata"]:
                await player.delete(PODS, pod["metadata"]["name"], grace_period_seconds=0)
        await player.settle()
    yield "the deadline of a rollout has passed"
    await player.converge()
    yield "late, but there"


async def _deployments(player: Player) -> AsyncIterator[str]:
    await player.delete(DEPLOYMENTS, "web", propagation_policy="Orphan")
    await player.settle()
    yield "replica sets without their deployment"
    await player.make(DEPLOYMENTS, "web", deployment(replicas=2))
    await player.converge()
    yield "a deployment takes over what its selector selects"
    await player.delete(DEPLOYMENTS, "web", propagation_policy="Foreground")
    await player.settle()
    yield "deleted in the foreground: pods first"
    await player.converge()
    yield "all of the deployment gone"


async def _ordered(player: Player) -> AsyncIterator[str]:
    await player.make(STATEFUL_SETS, "db", stateful_set(replicas=3, ordinals={"start": 5}))
    await player.settle()
    yield "the first pod"
    await _bring_one(player, DB)
    yield "the second pod"
    await player.converge()
    yield "the set is up"
    for pod in await player.pods():
        if pod["metadata"]["name"] == "db-6":
            await player.bring(pod, "Failed")
    await player.settle()
    yield "a pod failed"
    await player.converge()
    await player.patch(STATEFUL_SETS, "db", {"replicas": 1})
    await player.settle()
    yield "the last one leaves first"
    await player.converge()
    yield "the set is smaller"
    await player.delete(STATEFUL_SETS, "db")
    await player.converge()
    await player.make(STATEFUL_SETS, "db", stateful_set(replicas=3, podManagementPolicy="Parallel"))
    await player.settle()
    yield "all at once"
    await player.converge()


async def _updates(player: Player) -> AsyncIterator[str]:
    await player.patch(STATEFUL_SETS, "db", {"updateStrategy": {"type": "OnDelete", "rollingUpdate": None}, **image(2)})
    await player.settle()
    yield "an update waits for deletions"
    await player.delete(PODS, "db-1", grace_period_seconds=0)
    await player.converge()
    yield "one pod updated"
    parted = {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}}
    await player.patch(STATEFUL_SETS, "db", {**parted, **image(3)})
    await player.converge()
    yield "only above the partition"
    await player.patch(STATEFUL_SETS, "db", {"updateStrategy": {"rollingUpdate": {"partition": 0}}})
    await player.converge()
    yield "the whole set updated"
    await player.delete(STATEFUL_SETS, "db")
    await player.converge()


async def _claims(player: Player) -> AsyncIterator[str]:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    policy = {"whenScaled": "Delete", "whenDeleted": "Retain"}
    spec = stateful_set(replicas=2, volumeClaimTemplates=[claim], persistentVolumeClaimRetentionPolicy=policy)
    await player.make(STATEFUL_SETS, "db", spec)
    await player.converge()
    yield "a set with claims"
    await player.patch(STATEFUL_SETS, "db", {"replicas": 1})
    await player.settle()
    yield "a claim that goes with its pod"
    await player.converge()
    yield "the claim gone"
    changed = {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Retain", "whenDeleted": "Delete"}}
    await player.patch(STATEFUL_SETS, "db", changed)
    await player.settle()
    yield "claims that go with the set"
    await player.delete(STATEFUL_SETS, "db")
    await player.converge()
    yield "the set and its claims gone"
    volume = {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"metadata": {"labels": {"a": "b"}}, **claim}}}
    volume["ephemeral"]["volumeClaimTemplate"]["metadata"].pop("name", None)  # type: ignore[index]
    await player.make(PODS, "alone", {"containers": [{"name": "c", "image": "i"}], "volumes": [volume]})
    await player.settle()
    yield "a pod with an ephemeral volume"
    await player.delete(PODS, "alone", grace_period_seconds=0)
    await player.settle()
    yield "it goes with the pod"


def job(**spec: Any) -> Object:
    return {"template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}, **spec}


async def _end(player: Player, name: str, phase: str, count: int = 100) -> None:
    for pod in await player.pods():
        mine = pod["metadata"]["labels"].get("job-name") == name
        if count and mine and pod["status"]["phase"] in ("Pending", "Running"):
            await player.bring(pod, phase)
            count -= 1
    await player.settle()


async def _jobs(player: Player) -> AsyncIterator[str]:
    await player.make(JOBS, "good", job(completions=5, parallelism=3))
    await player.settle()
    await _end(player, "good", "Succeeded", 2)
    yield "two of five"
    await player.patch(JOBS, "good", {"suspend": True})
    await player.settle()
    yield "suspended"
    await player.converge()
    await player.patch(JOBS, "good", {"suspend": False, "parallelism": 1})
    await player.settle()
    yield "resumed, one at a time"
    for _ in range(3):
        await _end(player, "good", "Succeeded")
    yield "five of five"
    await player.make(JOBS, "bad", job(backoffLimit=0, parallelism=2, completions=2))
    await player.settle()
    await _end(player, "bad", "Failed", 1)
    yield "no second try"
    await player.make(JOBS, "again", job(backoffLimit=1))
    await player.settle()
    await _end(player, "again", "Failed")
    yield "a second try in a while"
    for _ in range(6):
        await player.settle()
    await _end(player, "again", "Failed")
    yield "the second try failed"
    await player.make(JOBS, "late", job(activeDeadlineSeconds=1))
    for _ in range(3):
        await player.settle()
    yield "too late"
    await player.converge()
    await player.make(JOBS, "brief", job(ttlSecondsAfterFinished=1))
    await player.settle()
    await _end(player, "brief", "Succeeded")
    for _ in range(2):
        await player.settle()
    yield "finished and forgotten"
    await player.delete(JOBS, "good", "bad", "again", "late", propagation_policy="Background")
    await player.converge()


async def _policies(player: Player) -> AsyncIterator[str]:
    exits = {"operator": "In", "values": [1]}
    rule = {"action": "FailJob", "onExitCodes": exits}
    await player.make(JOBS, "strict", job(backoffLimit=6, podFailurePolicy={"rules": [rule]}))
    await player.settle()
    await _end(player, "strict", "Failed")
    yield "an exit code fails the job"
    rule = {"action": "FailIndex", "onExitCodes": exits}
    spec = job(completionMode="Indexed", completions=3, parallelism=3, backoffLimitPerIndex=1, maxFailedIndexes=1)
    await player.make(JOBS, "indexed", {**spec, "podFailurePolicy": {"rules": [rule]}})
    await player.settle()
    await _end(player, "indexed", "Failed", 1)
    yield "an exit code fails an index"
    await _end(player, "indexed", "Succeeded")
    yield "the other indexes succeed"
    policy = {"rules": [{"succeededIndexes": "0", "succeededCount": 1}]}
    spec = job(completionMode="Indexed", completions=3, parallelism=3, successPolicy=policy)
    await player.make(JOBS, "enough", spec)
    await player.settle()
    for pod in await player.pods():
        if pod["metadata"]["name"].startswith("enough-0-"):
            await player.bring(pod, "Succeeded")
    await player.settle()
    yield "one index is enough"
    await player.converge()
    yield "the rest has left"
    await player.make(JOBS, "foreign", job(managedBy="example.com/somebody"))
    await player.settle()
    yield "somebody else's job"
    await player.delete(JOBS, "strict", "indexed", "enough", "foreign", propagation_policy="Background")
    await player.converge()


async def _owners(player: Player) -> AsyncIterator[str]:
    async def owned(name: str, *owners: Object, **metadata: Any) -> Object:
        references = [
            {"apiVersion": "v1", "kind": "ConfigMap", "name": one["metadata"]["name"], "uid": one["metadata"]["uid"]}
            for one in owners
        ]
        head = {"name": name, "namespace": player.namespace, "ownerReferences": references, **metadata}
        return await player.client.create(CONFIG_MAPS, {"metadata": head})

    for policy in ("Background", "Foreground", "Orphan"):
        top, other = await owned("top"), await owned("other")
        middle = await owned("middle", top)
        await owned("leaf", middle)
        await owned("shared", top, other)
        await player.settle()
        await player.delete(CONFIG_MAPS, "top", propagation_policy=policy)
        await player.settle()
        yield f"deleted with {policy}"
        for name in ("other", "middle", "leaf", "shared"):
            if any(one["metadata"]["name"] == name for one in await player.all(CONFIG_MAPS)):
                await player.delete(CONFIG_MAPS, name)
                await player.settle()
    top = await owned("top")
    leaf = await owned("leaf", top)
    reference = {**leaf["metadata"]["ownerReferences"][0], "blockOwnerDeletion": True}
    change = {"metadata": {"ownerReferences": [reference], "finalizers": ["example.com/hold"]}}
    await player.client.patch(CONFIG_MAPS, player.namespace, "leaf", change)
    await player.settle()
    await player.delete(CONFIG_MAPS, "top", propagation_policy="Foreground")
    await player.settle()
    yield "a dependent that is held keeps its owner"
    await player.client.patch(CONFIG_MAPS, player.namespace, "leaf", {"metadata": {"finalizers": None}})
    await player.settle()
    yield "let go, both are gone"


async def _endpoints(player: Player) -> AsyncIterator[str]:
    ports = [{"name": "web", "port": 80, "targetPort": "http"}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    await player.make(SERVICES, "plain", {"selector": WEB, "ports": ports})
    await player.make(SERVICES, "eager", {"selector": WEB, "ports": ports, "publishNotReadyAddresses": True})
    await player.make(SERVICES, "headless", {"selector": WEB, "clusterIP": "None"})
    await player.settle()
    yield "services without pods"
    named = [{"name": "http", "containerPort": 8080}]
    for number, name in enumerate(("one", "two", "three")):
        container = {"name": "c", "image": "i", "ports": named if name != "three" else []}
        spec = {"containers": [container], "hostname": name, "subdomain": "headless"}
        await player.make(PODS, name, spec, labels=WEB)
        await player.bind(name)
        await player.report(name, f"10.9.1.{number + 1}", ready=name != "two")
    await player.settle()
    yield "ready and not ready"
    await player.report("one", "10.9.1.1", ready=False)
    await player.report("two", "10.9.1.2", ready=True)
    await player.settle()
    yield "the other way round"
    await player.client.patch(PODS, player.namespace, "two", {"metadata": {"labels": {"app": "else"}}})
    await player.settle()
    yield "one pod less"
    await player.client.patch(SERVICES, player.namespace, "plain", {"spec": {"ports": [{"port": 81}]}})
    await player.settle()
    yield "another port"
    await player.report("three", "10.9.1.3", ready=False, phase="Succeeded")
    await player.settle()
    yield "a pod that has ended"
    await player.client.patch(SERVICES, player.namespace, "eager", {"spec": {"selector": None}})
    await player.delete(SERVICES, "headless")
    await player.settle()
    yield "a service loses its selector, another one is deleted"
    await player.delete(PODS, "one", "two", "three", grace_period_seconds=0)
    await player.delete(SERVICES, "plain", "eager")
    await player.settle()
    yield "services gone"


async def _cron(player: Player) -> AsyncIterator[str]:
    made = {"jobTemplate": {"spec": job()}, "schedule": "* * * * *"}
    for policy in ("Allow", "Forbid", "Replace"):
        await player.make(CRON_JOBS, f"cron-{policy.lower()}", {**made, "concurrencyPolicy": policy})
    await player.make(CRON_JOBS, "cron-asleep", {**made, "suspend": True})
    limited = {**made, "successfulJobsHistoryLimit": 0, "failedJobsHistoryLimit": 0}
    await player.make(CRON_JOBS, "cron-limited", limited)
    await player.next_minute()
    yield "the first minute"
    for pod in await player.pods():
        if pod["metadata"]["labels"]["job-name"].startswith("cron-limited"):
            await player.bring(pod, "Succeeded")
    for _ in range(2):
        await player.settle()
    yield "one has ended"
    await player.next_minute()
    yield "the second minute"
    await player.delete(CRON_JOBS, *(f"cron-{name}" for name in ("allow", "forbid", "replace", "asleep", "limited")))
    await player.converge()
    yield "everything gone"


SCRIPT = Script(GOLDEN, COMPARED, play, binds=False)

if __name__ == "__main__":
    main(Path(sys.argv[1]), SCRIPT)
