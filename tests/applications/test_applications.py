"""Applications as people write them, applied to a virtual cluster: what can run runs, and goes without a trace.

A new one is a file in `manifests`; what else must hold of it stands below.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import uvloop
import yaml
from tests.fleet.world import World, eventually, exists, fleet

from kloster.apimachinery import Object
from kloster.client.api import Resource
from kloster.client.client import Client
from kloster.client.resources import (
    CONFIG_MAPS,
    CRON_JOBS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    INGRESSES,
    JOBS,
    LIMIT_RANGES,
    NAMESPACES,
    NETWORK_POLICIES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    ROLE_BINDINGS,
    ROLES,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    STATEFUL_SETS,
    STORAGE_CLASSES,
)

MANIFESTS = Path(__file__).parent / "manifests"
AUTOSCALERS = Resource("autoscaling", "v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler", True)
KNOWN = {
    resource.kind: resource
    for resource in (
        *(CONFIG_MAPS, CRON_JOBS, DEPLOYMENTS, INGRESSES, LIMIT_RANGES, NAMESPACES, NETWORK_POLICIES, ROLES),
        *(PERSISTENT_VOLUME_CLAIMS, POD_DISRUPTION_BUDGETS, ROLE_BINDINGS, SECRETS, SERVICE_ACCOUNTS, SERVICES),
        *(STATEFUL_SETS, AUTOSCALERS),
    )
}
HOST_NAMESPACE = "vc-dev"


def documents(name: str) -> list[Object]:
    """The objects of one application, each in a namespace."""
    found = [one for one in yaml.safe_load_all((MANIFESTS / f"{name}.yaml").read_text()) if one]
    for one in found:
        if KNOWN[one["kind"]].namespaced:
            one["metadata"].setdefault("namespace", "default")
    return found


async def apply(client: Client, name: str) -> list[Object]:
    return [await client.apply(KNOWN[one["kind"]], one, field_manager="kubectl") for one in documents(name)]


async def is_up(client: Client, item: Object) -> bool:
    """Whether what the object asks for is there."""
    spec, status = item.get("spec") or {}, item.get("status") or {}
    namespace, name = item["metadata"].get("namespace", ""), item["metadata"]["name"]
    match item["kind"]:
        case "Deployment" | "StatefulSet":
            counts = {status.get(field) for field in ("replicas", "readyReplicas", "updatedReplicas")}
            return counts == {spec["replicas"]} and status.get("observedGeneration") == item["metadata"]["generation"]
        case "PersistentVolumeClaim":
            return bool(status.get("phase") == "Bound")
        case "PodDisruptionBudget":
            return bool(status.get("currentHealthy") and status["disruptionsAllowed"])
        case "Service":
            endpoints = await client.get(ENDPOINTS, namespace, name)
            return any(subset.get("addresses") for subset in endpoints.get("subsets") or ())
    return True


async def runs(client: Client, applied: list[Object]) -> None:
    for item in applied:
        metadata = item["metadata"]

        async def so(item: Object = item, metadata: Object = metadata) -> bool:
            kind = KNOWN[item["kind"]]
            return await is_up(client, await client.get(kind, metadata.get("namespace", ""), metadata["name"]))

        await eventually(so)


async def guestbook(world: World, client: Client) -> None:
    frontend = await client.get(SERVICES, "default", "frontend")
    assert frontend["spec"]["ports"][0]["nodePort"] == 30888
    pods = await client.list(PODS, "default", label_selector="app=guestbook")
    assert len({pod["spec"]["nodeName"] for pod in pods.items}) > 1
    slices = await client.list(ENDPOINT_SLICES, "default", label_selector="kubernetes.io/service-name=frontend")
    addresses = {one["addresses"][0] for part in slices.items for one in part["endpoints"]}
    assert addresses == {pod["status"]["podIP"] for pod in pods.items}


async def blog(world: World, client: Client) -> None:
    claims = {one["metadata"]["name"]: one for one in (await client.list(PERSISTENT_VOLUME_CLAIMS, "default")).items}
    assert len(claims) == 3  # two of its own, and the one of the ephemeral volume
    assert {one["status"]["phase"] for one in claims.values()} == {"Bound"}
    volumes = {one["metadata"]["name"]: one for one in (await client.list(PERSISTENT_VOLUMES)).items}
    assert {one["spec"]["volumeName"] for one in claims.values()} == set(volumes)
    (storage_class,) = (await client.list(STORAGE_CLASSES)).items
    assert {one["spec"]["storageClassName"] for one in claims.values()} == {storage_class["metadata"]["name"]}
    # Nothing on the embedded host balances load; the day something does, its address comes back.
    status = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}}
    await world.host.patch(SERVICES, HOST_NAMESPACE, "blog-x-default-x-dev", status, subresource="status")

    async def balanced() -> bool:
        found = await client.get(SERVICES, "default", "blog")
        ingress = ((found.get("status") or {}).get("loadBalancer") or {}).get("ingress") or [{}]
        return bool(ingress[0].get("ip") == "192.0.2.1")

    await eventually(balanced)


async def cluster(world: World, client: Client) -> None:
    claims = {one["metadata"]["name"] for one in (await client.list(PERSISTENT_VOLUME_CLAIMS, "default")).items}
    assert claims == {f"data-members-{number}" for number in range(3)}
    before = await client.get(PODS, "default", "members-1")
    volume = (await client.get(PERSISTENT_VOLUME_CLAIMS, "default", "data-members-1"))["spec"]["volumeName"]
    await client.delete(PODS, "default", "members-1")

    async def back() -> bool:
        found = [pod for pod in (await client.list(PODS, "default")).items if pod["metadata"]["name"] == "members-1"]
        return any(
            pod["metadata"]["uid"] != before["metadata"]["uid"] and pod["status"]["phase"] == "Running" for pod in found
        )

    await eventually(back)
    again = await client.get(PERSISTENT_VOLUME_CLAIMS, "default", "data-members-1")
    assert again["spec"]["volumeName"] == volume


async def shop(world: World, client: Client) -> None:
    for pod in (await client.list(PODS, "shop")).items:
        limits = pod["spec"]["containers"][0]["resources"]
        assert limits == {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"memory": "128Mi"}}
    more = {"name": "shop", "env": [{"name": "LOG", "value": "debug"}]}  # as ``kubectl set env``
    change = {"spec": {"template": {"spec": {"containers": [more]}}}}
    await client.patch(DEPLOYMENTS, "shop", "shop", change, type="strategic")
    await runs(client, [await client.get(DEPLOYMENTS, "shop", "shop")])
    scale = await client.get(DEPLOYMENTS, "shop", "shop", subresource="scale")
    assert scale["status"]["replicas"] == 2
    for resource in (INGRESSES, NETWORK_POLICIES, AUTOSCALERS):
        assert await exists(client, resource, "shop", "shop")


async def reports(world: World, client: Client) -> None:
    """As ``kubectl create job --from=cronjob/report``."""
    cron = await client.get(CRON_JOBS, "reports", "report")
    body = {
        "metadata": {"name": "now", "annotations": {"cronjob.kubernetes.io/instantiate": "manual"}},
        "spec": cron["spec"]["jobTemplate"]["spec"],
    }
    await client.create(JOBS, body, namespace="reports")

    async def complete() -> bool:
        return bool(((await client.get(JOBS, "reports", "now")).get("status") or {}).get("succeeded"))

    await eventually(complete)
    review = {"resource": "jobs", "group": "batch", "namespace": "reports"}
    for verb, allowed in (("list", True), ("delete", False)):
        asked = {
            "spec": {"user": "system:serviceaccount:reports:reporter", "resourceAttributes": {**review, "verb": verb}}
        }
        answer = await client.json("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=asked)
        assert answer["status"]["allowed"] is allowed


CHECKS: Mapping[str, Callable[[World, Client], Awaitable[None]]] = {
    "guestbook": guestbook,
    "blog": blog,
    "cluster": cluster,
    "shop": shop,
    "reports": reports,
}


async def live_through(world: World, name: str) -> None:
    """Apply it, see it run, apply it again, take it away."""
    await world.create("dev")
    client = await world.client("dev")
    applied = await apply(client, name)
    await runs(client, applied)
    await CHECKS[name](world, client)
    once, twice = await apply(client, name), await apply(client, name)
    assert twice == once, "applying again changes nothing"
    for item in reversed(applied):
        metadata = item["metadata"]
        await client.delete(KNOWN[item["kind"]], metadata.get("namespace", ""), metadata["name"])
    await client.delete_collection(PERSISTENT_VOLUME_CLAIMS, "default")

    async def gone() -> bool:
        resources: list[Any] = [PODS, SERVICES, PERSISTENT_VOLUME_CLAIMS, SECRETS]
        left = [await world.host.list(resource, HOST_NAMESPACE) for resource in resources]
        return not any(part.items for part in left)

    await eventually(gone)


@pytest.mark.parametrize("name", sorted(path.stem for path in MANIFESTS.glob("*.yaml")))
def test_it_runs(tmp_path: Path, name: str) -> None:
    async def body() -> None:
        async with fleet(tmp_path / "data", nodes=3) as world:
            await live_through(world, name)

    uvloop.run(asyncio.wait_for(body(), 100))
