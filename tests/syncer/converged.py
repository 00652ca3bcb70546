"""What must hold between a virtual cluster and the host when nothing is left to do."""

from __future__ import annotations

from tests.syncer.world import Counter, Virtual, World

from kloster.apimachinery import Object
from kloster.client.api import Resource
from kloster.client.resources import (
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SECRETS,
    SERVICES,
)
from kloster.syncer.names import NAME, NAMESPACE, TOKENS_OF, UID
from kloster.syncer.references import of_pod
from kloster.workloads.pods import is_terminal

KINDS = {"ConfigMap": CONFIG_MAPS, "Secret": SECRETS}


def key(item: Object) -> tuple[str, str]:
    return item["metadata"]["namespace"], item["metadata"]["name"]


async def check(cluster: Virtual) -> None:
    """Nothing lost, nothing orphaned, nothing doubled, and both sides say the same."""
    pods = {key(one): one for one in await cluster.all(PODS)}
    wanted: dict[Resource, dict[tuple[str, str], str]] = {
        PODS: {name: one["metadata"]["uid"] for name, one in pods.items() if not one["spec"].get("schedulingGates")},
        CONFIG_MAPS: {},
        SECRETS: {},
    }
    for resource in (PERSISTENT_VOLUME_CLAIMS, SERVICES):
        found = {key(one): one["metadata"]["uid"] for one in await cluster.all(resource)}
        found.pop(("default", "kubernetes"), None)
        wanted[resource] = found
    for pod in pods.values():
        for kind, name in of_pod(pod) if not is_terminal(pod) else ():
            item = await cluster.find(KINDS[kind], name, pod["metadata"]["namespace"]) if kind in KINDS else None
            if item is not None:
                wanted[KINDS[kind]][key(item)] = item["metadata"]["uid"]
    for resource, objects in wanted.items():
        hosts = [one for one in await cluster.on_host(resource) if TOKENS_OF not in one["metadata"]["annotations"]]
        found = {}
        for one in hosts:
            annotations = one["metadata"]["annotations"]
            name = (annotations[NAMESPACE], annotations[NAME])
            assert name not in found, f"{resource.plural} {name} is there twice"
            found[name] = annotations[UID]
        if resource is PODS:  # a finished pod may have lost its host pod
            objects = {name: uid for name, uid in objects.items() if name in found or not is_terminal(pods[name])}
        assert found == objects, resource.plural
    await _tokens(cluster, pods)
    await _statuses(cluster, pods)
    await _services(cluster)
    nodes = {one["spec"]["nodeName"] for one in pods.values() if one["spec"].get("nodeName")}
    assert set(await cluster.names(NODES)) == nodes


async def _tokens(cluster: Virtual, pods: dict[tuple[str, str], Object]) -> None:
    hosts = [one for one in await cluster.on_host(SECRETS) if TOKENS_OF in one["metadata"]["annotations"]]
    found = sorted((one["metadata"]["annotations"][TOKENS_OF], one["metadata"]["annotations"][UID]) for one in hosts)
    wanted = sorted((f"{n[0]}/{n[1]}", one["metadata"]["uid"]) for n, one in pods.items() if not is_terminal(one))
    assert found == wanted


async def _statuses(cluster: Virtual, pods: dict[tuple[str, str], Object]) -> None:
    for (namespace, name), pod in pods.items():
        host = await cluster.host(PODS, name, namespace)
        if host is None:
            continue
        for field in ("phase", "podIP", "startTime", "hostIP"):
            assert pod["status"].get(field) == host["status"].get(field), (name, field)
        assert pod["spec"].get("nodeName") == host["spec"].get("nodeName")
        assert bool(pod["metadata"].get("deletionTimestamp")) == bool(host["metadata"].get("deletionTimestamp"))
        images = [one["image"] for one in pod["spec"]["containers"]]
        assert [one["image"] for one in host["spec"]["containers"]] == images


async def _services(cluster: Virtual) -> None:
    addresses = []
    for service in await cluster.all(SERVICES):
        if key(service) == ("default", "kubernetes"):
            continue
        host = await cluster.host(SERVICES, service["metadata"]["name"], service["metadata"]["namespace"])
        assert host is not None
        assert service["spec"].get("clusterIP") == host["spec"].get("clusterIP")
        addresses.append(service["spec"].get("clusterIP"))
    real = [one for one in addresses if one not in (None, "None")]
    assert len(real) == len(set(real))
    for one in await cluster.all(ENDPOINT_SLICES):
        assert one["metadata"]["name"]


async def quiet(world: World, cluster: Virtual) -> None:
    """A new syncer finds nothing to do: not a single write on either side."""
    await cluster.stop_syncer()
    await world.settle(1)
    counter = Counter()
    cluster.start_syncer(counter=counter)
    await world.settle(1)
    assert counter.writes == []
