"""The same controllers on informers, whose copies lag behind what was written: the end is the same."""

from __future__ import annotations

import random

from kloster.client.informers import InformerSource
from kloster.client.resources import (
    DAEMON_SETS,
    DEPLOYMENTS,
    JOBS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    REPLICA_SETS,
    SERVICE_ACCOUNTS,
    STATEFUL_SETS,
)
from kloster.workloads import ownership

from . import test_deployments, test_jobs, test_sets
from .world import World, world


@world
async def test_controllers_converge_on_lagging_copies(cluster: World) -> None:
    async with InformerSource(cluster.client, cluster.clock, rng=random.Random(1)) as source:
        cluster.run("*", "-garbagecollector", source=source)
        await source.wait_synced(20)
        await cluster.settle()
        assert await cluster.exists(SERVICE_ACCOUNTS, "default")
        for name in "ab":
            await cluster.node(name)
        await cluster.create(DEPLOYMENTS, "web", spec=test_deployments.spec(3))
        labels = {"app": "db"}
        sets = test_sets.spec(replicas=2, volumeClaimTemplates=[test_sets.claim()])
        await cluster.create(STATEFUL_SETS, "db", spec=sets)
        daemon = {"metadata": {"labels": {"app": "ds"}}, "spec": test_sets.spec()["template"]["spec"]}
        await cluster.create(DAEMON_SETS, "ds", spec={"selector": {"matchLabels": {"app": "ds"}}, "template": daemon})
        await cluster.create(JOBS, "j", spec={"template": test_jobs.template(), "completions": 3, "parallelism": 3})
        await cluster.converge()
        for pod in await cluster.all(PODS):
            if (ownership.controller_of(pod) or {}).get("kind") == "Job":
                await cluster.set_phase(pod["metadata"]["name"], "Succeeded")
        await test_deployments.change_image(cluster, "example.com/app:2")
        await cluster.converge()
        await cluster.advance(20)
        await cluster.converge()
        owners = [(ownership.controller_of(pod) or {}).get("kind") for pod in await cluster.all(PODS)]
        counts = {kind: owners.count(kind) for kind in ("ReplicaSet", "StatefulSet", "DaemonSet")}
        assert counts == {"ReplicaSet": 3, "StatefulSet": 2, "DaemonSet": 2}
        assert labels.items() <= (await cluster.get(PODS, "db-1"))["metadata"]["labels"].items()
        assert sorted(await cluster.names(PERSISTENT_VOLUME_CLAIMS)) == ["data-db-0", "data-db-1"]
        assert sorted(item["spec"]["replicas"] for item in await cluster.all(REPLICA_SETS)) == [0, 3]
        job = await cluster.get(JOBS, "j")
        assert job["status"]["succeeded"] == 3
        assert test_jobs.conditions(job)[-1] == ("Complete", "CompletionsReached")
        assert cluster.attachment is not None
        await cluster.dispatcher.detach(cluster.attachment)
