"""Forks: a copy-on-write branch of a cluster's whole state, with an identity of its own."""

from __future__ import annotations

import asyncio
import base64
from dataclasses import replace
from typing import Any

import pytest
from tests.fleet.world import World, config_map, eventually, exists, in_fleet, make_namespace, read, write

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Resource
from kloster.client.client import Client
from kloster.client.errors import ConnectionFailed
from kloster.client.resources import (
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    EVENTS,
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
)
from kloster.fleet.assembly import Assembled
from kloster.fleet.lifecycle.flatten import DEEPEST
from kloster.fleet.virtualcluster import FORKABLE, VIRTUAL_CLUSTERS, condition

LEASES = Resource("coordination.k8s.io", "v1", "leases", "Lease", True)
DAEMON_SETS = Resource("apps", "v1", "daemonsets", "DaemonSet", True)
DEPLOYMENTS = Resource("apps", "v1", "deployments", "Deployment", True)


def of(name: str, **more: str) -> dict[str, Any]:
    return {"from": {"name": name, **more}}


def pod(name: str, **spec: Any) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"containers": [{"name": "main", "image": "web:1"}], **spec},
    }


async def phase(client: Client, name: str) -> str:
    return str((await client.get(PODS, "default", name))["status"].get("phase"))


async def until_running(client: Client, name: str) -> Object:
    async def so() -> bool:
        return await phase(client, name) == "Running"

    await eventually(so)
    return await client.get(PODS, "default", name)


@in_fleet
async def test_a_fork_has_what_its_source_had_and_goes_its_own_way(world: World) -> None:
    source = await world.create("dev", kubernetesVersion="1.33")
    dev = await world.client("dev")
    await write(dev, "before", of="source")
    fork = await world.create("branch", **of("dev"))
    branch = await world.client("branch")
    assert await read(branch, "before") == {"of": "source"}
    await write(branch, "mine", of="fork")
    await write(dev, "mine", of="source")
    await branch.delete(CONFIG_MAPS, "default", "before")
    assert await read(branch, "mine") == {"of": "fork"}
    assert await read(dev, "mine") == {"of": "source"}
    assert await read(dev, "before") == {"of": "source"}
    assert not await exists(branch, CONFIG_MAPS, "before", "default")
    assert fork["status"]["version"] == source["status"]["version"]
    assert fork["status"]["port"] != source["status"]["port"]
    assert fork["status"]["from"]["uid"] == source["metadata"]["uid"]
    forked = condition(fork, "Forked")
    assert forked is not None
    assert "PersistentVolumeClaims start empty" in forked["message"]


@in_fleet
async def test_a_forks_identity_is_its_own(world: World) -> None:
    await world.create("dev")
    dev = await world.client("dev")
    system = await dev.get(NAMESPACES, "", "kube-system")
    default = await dev.get(NAMESPACES, "", "default")
    owned = config_map("owned")
    reference = {"apiVersion": "v1", "kind": "Namespace", "name": "kube-system", "uid": system["metadata"]["uid"]}
    owned["metadata"]["ownerReferences"] = [reference]
    kept = await dev.create(CONFIG_MAPS, owned)

    async def published() -> bool:
        return await exists(dev, CONFIG_MAPS, "kube-root-ca.crt", "default")

    await eventually(published)
    await world.create("branch", **of("dev"))
    branch = await world.client("branch")
    forked = await branch.get(NAMESPACES, "", "kube-system")
    assert forked["metadata"]["uid"] != system["metadata"]["uid"]
    assert (await branch.get(NAMESPACES, "", "default"))["metadata"]["uid"] == default["metadata"]["uid"]
    owned = await branch.get(CONFIG_MAPS, "default", "owned")
    assert owned["metadata"]["uid"] == kept["metadata"]["uid"]
    assert owned["metadata"]["ownerReferences"][0]["uid"] == forked["metadata"]["uid"]
    here, there = [(await world.kubeconfig(name))["clusters"][0]["cluster"] for name in ("dev", "branch")]
    assert here["server"] != there["server"]
    authority = base64.b64decode(there["certificate-authority-data"]).decode()
    assert here["certificate-authority-data"] != there["certificate-authority-data"]
    assert await read(branch, "kube-root-ca.crt") == {"ca.crt": authority}
    trusted = await branch.get(CONFIG_MAPS, "kube-system", "extension-apiserver-authentication")
    assert trusted["data"]["client-ca-file"] == authority


@in_fleet
async def test_owners_are_found_wherever_they_are_named_fork_after_fork(world: World) -> None:
    """What was found in a layer is remembered with it: for the source's next fork, and not for a fork's own forks."""
    await world.create("dev")
    dev = await world.client("dev")
    system = await dev.get(NAMESPACES, "", "kube-system")
    reference = {"apiVersion": "v1", "kind": "Namespace", "name": "kube-system", "uid": system["metadata"]["uid"]}

    async def own(name: str, size: int) -> None:
        item = config_map(name)
        item["metadata"]["ownerReferences"] = [reference]
        item["data"] = {"x": "y" * size}
        await dev.create(CONFIG_MAPS, item)

    async def owners(cluster: str) -> dict[str, str]:
        found = await (await world.client(cluster)).list(CONFIG_MAPS, "default")
        return {
            one["metadata"]["name"]: one["metadata"]["ownerReferences"][0]["uid"]
            for one in found.items
            if one["metadata"].get("ownerReferences")
        }

    for number in range(4):
        await own(f"first-{number}", 100_000 * number)
    await world.create("one", **of("dev"))
    await own("second", 10)
    await world.create("two", **of("dev"))
    await world.create("deep", **of("one"))
    for cluster, count in (("dev", 5), ("one", 4), ("two", 5), ("deep", 4)):
        uid = (await (await world.client(cluster)).get(NAMESPACES, "", "kube-system"))["metadata"]["uid"]
        found = await owners(cluster)
        assert len(found) == count
        assert set(found.values()) == {uid}


@in_fleet
async def test_a_fork_is_its_own_from_its_files_first_moment(world: World) -> None:
    """What is made its own needs no write after the file: nothing of its beginning is in the log."""
    await world.create("dev")
    await write(await world.client("dev"), "before")
    for name, spec in (("branch", of("dev")), ("fresh", {})):
        cluster = await world.create(name, controllers=[], **spec)
        slot = world.shard.slots[cluster["metadata"]["uid"]]
        store = (await slot.wake()).store
        assert store.compacted == store.revision
        assert len(list(store.own())) > 2


@in_fleet
async def test_controllers_begin_when_those_who_came_first_are_answered(world: World) -> None:
    await world.create("dev")
    await write(await world.client("dev"), "before")
    cluster = await world.create("branch", **of("dev"))
    slot = world.shard.slots[cluster["metadata"]["uid"]]
    await slot.park()
    slot.busy += 1  # somebody is being answered
    try:
        assembled = await slot.wake()
        await asyncio.sleep(0.2)
        assert not assembled.attachments
    finally:
        slot.busy -= 1
    await eventually(lambda: _begun(assembled))
    await slot.park()
    slot.busy += 1  # and now for ever: nobody holds them off for long
    try:
        assembled = await slot.wake()
        await eventually(lambda: _begun(assembled))
    finally:
        slot.busy -= 1


async def _begun(assembled: Assembled) -> bool:
    return bool(assembled.attachments)


async def token(client: Client) -> str:
    async def there() -> bool:
        return await exists(client, SERVICE_ACCOUNTS, "default", "default")

    await eventually(there)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    answer = await client.create_subresource(SERVICE_ACCOUNTS, "default", "default", "token", request)
    return str(answer["status"]["token"])


async def knows(world: World, client: Client, cluster: str, text: str) -> int:
    """What a cluster answers to a token: by its own port, and whether its TokenReview knows it."""
    admin = await world.connection(cluster)
    user = world.connect(replace(admin, certificate=None, key=None, token=text))
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": text}}
    answer = await client.json("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body=review)
    try:
        await user.list(PODS, "default")
        code = 200
    except StatusError as error:
        code = error.code
    assert bool(answer["status"].get("authenticated")) == (code != 401)
    return code


@in_fleet
async def test_attack_tokens_and_certificates_of_the_source_are_refused_by_the_fork(world: World) -> None:
    await world.create("dev")
    dev = await world.client("dev")
    before = await token(dev)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "legacy",
            "namespace": "default",
            "annotations": {"kubernetes.io/service-account.name": "default"},
        },
        "type": "kubernetes.io/service-account-token",
        "stringData": {"token": before, "mine": "kept"},
    }
    await dev.create(SECRETS, secret)
    await world.create("branch", **of("dev"))
    branch = await world.client("branch")
    assert await knows(world, dev, "dev", before) == 403
    assert await knows(world, branch, "branch", before) == 401
    fresh = await token(branch)
    assert await knows(world, branch, "branch", fresh) == 403
    assert await knows(world, dev, "dev", fresh) == 401
    found = await branch.get(SECRETS, "default", "legacy")
    assert set(found["data"]) == {"mine"}, "a token of the source would open the source to whoever reads the fork"
    admin, there = await world.connection("dev"), await world.connection("branch")
    stranger = world.connect(replace(there, certificate=admin.certificate, key=admin.key))
    with pytest.raises(ConnectionFailed):
        await stranger.list(PODS)


@in_fleet
async def test_pods_of_the_fork_start_anew(world: World) -> None:
    await world.create("dev")
    dev = await world.client("dev")
    await dev.create(PODS, pod("web"))
    ended = pod("ended", restartPolicy="Never")
    ended["metadata"]["annotations"] = {"simulated.kloster.dev/run-seconds": "0"}
    await dev.create(PODS, ended)
    before = await until_running(dev, "web")

    async def has_ended() -> bool:
        return await phase(dev, "ended") == "Succeeded"

    await eventually(has_ended)
    await world.create("branch", **of("dev"))
    branch = await world.client("branch")
    after = await until_running(branch, "web")
    assert after["metadata"]["uid"] == before["metadata"]["uid"]
    assert after["status"]["podIP"] != before["status"]["podIP"]
    hosts = [one["metadata"]["name"] for one in (await world.host.list(PODS, "vc-branch")).items]
    assert hosts == ["web-x-default-x-branch"]
    assert await phase(branch, "ended") == "Succeeded", "what has ended does not run again"
    again = await dev.get(PODS, "default", "web")
    assert again["status"] == before["status"], "the source did not notice"
    mine = {one["message"] for one in (await branch.list(EVENTS, "default")).items}
    assert all("-x-dev" not in text for text in mine)


@in_fleet
async def test_workloads_of_the_fork_are_not_ready_before_their_pods_are(world: World) -> None:
    await world.create("dev")
    dev = await world.client("dev")
    template = {"metadata": {"labels": {"app": "web"}}, "spec": pod("web")["spec"]}
    selector = {"matchLabels": {"app": "web"}}
    for resource in (DEPLOYMENTS, DAEMON_SETS):
        spec: Object = {"selector": selector, "template": template}
        if resource is DEPLOYMENTS:
            spec["replicas"] = 2
        body = {"apiVersion": "apps/v1", "kind": resource.kind, "metadata": {"name": "web", "namespace": "default"}}
        await dev.create(resource, {**body, "spec": spec})

    async def available(client: Client) -> bool:
        status = (await client.get(DEPLOYMENTS, "default", "web"))["status"]
        found = {one["type"]: one["status"] for one in status.get("conditions") or ()}
        return found.get("Available") == "True" and status.get("availableReplicas") == 2

    await eventually(lambda: available(dev))
    await world.create("frozen", controllers=[], **of("dev"))
    frozen = await world.client("frozen")
    status = (await frozen.get(DEPLOYMENTS, "default", "web"))["status"]
    assert not await available(frozen)
    assert (status.get("readyReplicas", 0), status["unavailableReplicas"], status["replicas"]) == (0, 2, 2)
    assert (await frozen.get(DAEMON_SETS, "default", "web"))["status"]["numberReady"] == 0
    await world.create("branch", **of("dev"))
    branch = await world.client("branch")
    await eventually(lambda: available(branch))


@in_fleet
async def test_suspended_workloads_start_when_the_spec_says_so(world: World) -> None:
    await world.create("dev")
    dev = await world.client("dev")
    await dev.create(PODS, pod("web"))
    await until_running(dev, "web")
    fork = await world.create("branch", workloads="suspended", **of("dev"))
    assert fork["status"]["workloads"] == "suspended"
    forked = condition(fork, "Forked")
    assert forked is not None
    assert "spec.workloads" in forked["message"]
    branch = await world.client("branch")
    await branch.create(PODS, pod("more"))
    await asyncio.sleep(0.3)
    for name in ("web", "more"):
        found = await branch.get(PODS, "default", name)
        assert found["status"]["phase"] == "Pending"
        assert "nodeName" not in found["spec"]
        assert "podIP" not in found["status"]
    assert not (await world.host.list(PODS, "vc-branch")).items
    await world.host.patch(VIRTUAL_CLUSTERS, "default", "branch", {"spec": {"workloads": "run"}})
    await until_running(branch, "web")
    await until_running(branch, "more")
    await world.host.patch(VIRTUAL_CLUSTERS, "default", "branch", {"spec": {"workloads": "suspended"}})

    def refused(cluster: Object) -> bool:
        accepted = condition(cluster, "Accepted")
        return accepted is not None and accepted["reason"] == "WorkloadsRun"

    await world.until("branch", so=refused)
    assert await phase(branch, "web") == "Running"


@in_fleet
async def test_claims_start_empty(world: World) -> None:
    await world.create("dev")
    dev = await world.client("dev")
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "default"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    await dev.create(PERSISTENT_VOLUME_CLAIMS, claim)
    volumes = [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]
    await dev.create(PODS, pod("db", volumes=volumes))
    await until_running(dev, "db")

    async def bound(client: Client) -> Object | None:
        found = await client.get(PERSISTENT_VOLUME_CLAIMS, "default", "data")
        return found if (found.get("status") or {}).get("phase") == "Bound" else None

    await eventually(lambda: bound(dev))
    await world.create(
        "branch", controllers=[], sync={"toHost": {"persistentVolumeClaims": {"enabled": False}}}, **of("dev")
    )
    branch = await world.client("branch")
    assert (await dev.list(PERSISTENT_VOLUMES)).items
    assert not (await branch.list(PERSISTENT_VOLUMES)).items
    claim = await branch.get(PERSISTENT_VOLUME_CLAIMS, "default", "data")
    assert claim["status"] == {"phase": "Pending"}
    assert "volumeName" not in claim["spec"]
    await world.host.patch(VIRTUAL_CLUSTERS, "default", "branch", {"spec": {"sync": None}})
    await eventually(lambda: bound(branch))
    await until_running(branch, "db")
    claims = [
        (await world.host.list(PERSISTENT_VOLUME_CLAIMS, namespace)).items[0]["spec"]["volumeName"]
        for namespace in ("vc-dev", "vc-branch")
    ]
    assert claims[0] != claims[1], "the fork's claim is no second name of the source's volume"


@in_fleet
async def test_nobody_leads_the_fork(world: World) -> None:
    await world.create("dev", controllers=[])
    dev = await world.client("dev")
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "operator", "namespace": "default"},
        "spec": {
            "holderIdentity": "operator-1",
            "leaseDurationSeconds": 3600,
            "renewTime": "2026-11-25T00:00:00.000000Z",
            "leaseTransitions": 3,
        },
    }
    await dev.create(LEASES, lease)
    older = config_map("older")
    record = '{"holderIdentity":"operator-1","leaseDurationSeconds":3600,"leaderTransitions":3}'
    older["metadata"]["annotations"] = {"control-plane.alpha.kubernetes.io/leader": record}
    await dev.create(CONFIG_MAPS, older)
    await world.create("branch", **of("dev"))
    branch = await world.client("branch")
    spec = (await branch.get(LEASES, "default", "operator"))["spec"]
    assert (spec["holderIdentity"], spec["leaseDurationSeconds"], spec["leaseTransitions"]) == ("", 1, 3)
    found = await branch.get(CONFIG_MAPS, "default", "older")
    assert '"holderIdentity":""' in found["metadata"]["annotations"]["control-plane.alpha.kubernetes.io/leader"]
    assert (await dev.get(LEASES, "default", "operator"))["spec"]["holderIdentity"] == "operator-1"


@in_fleet
async def test_services_of_the_fork_do_not_lead_to_the_source(world: World) -> None:
    await world.create("dev")
    dev = await world.client("dev")
    labelled = pod("web")
    labelled["metadata"]["labels"] = {"app": "web"}
    await dev.create(PODS, labelled)
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]},
    }
    await dev.create(SERVICES, service)

    async def addresses(client: Client) -> list[str]:
        slices = (await client.list(ENDPOINT_SLICES, "default")).items
        return [address for one in slices for end in one.get("endpoints") or () for address in end["addresses"]]

    await until_running(dev, "web")
    await eventually(lambda: addresses(dev))
    before = (await addresses(dev))[0]
    await world.create("branch", workloads="suspended", **of("dev"))
    branch = await world.client("branch")
    assert not await addresses(branch)
    await world.host.patch(VIRTUAL_CLUSTERS, "default", "branch", {"spec": {"workloads": "run"}})
    await eventually(lambda: addresses(branch))
    assert before not in await addresses(branch)

    async def own_address() -> bool:
        ours = (await branch.get(SERVICES, "default", "web"))["spec"]["clusterIP"]
        return bool(ours != (await dev.get(SERVICES, "default", "web"))["spec"]["clusterIP"])

    await eventually(own_address)


@in_fleet
async def test_watches_of_the_source_go_on_through_a_fork(world: World) -> None:
    await world.create("dev")
    dev = await world.client("dev")
    listed = await dev.list(CONFIG_MAPS, "default")
    seen: list[str] = []

    async def follow() -> None:
        async for event in dev.watch(CONFIG_MAPS, "default", resource_version=listed.resource_version):
            name = event.object["metadata"]["name"]
            if name.startswith("w-"):
                seen.append(name)

    following = asyncio.create_task(follow())
    await asyncio.sleep(0.1)
    for number in range(6):
        await write(dev, f"w-{number}")
        if number % 2:
            await world.create(f"branch-{number}", **of("dev"))

    async def complete() -> bool:
        return len(seen) == 6

    await eventually(complete)
    assert seen == [f"w-{number}" for number in range(6)]
    assert not following.done()
    following.cancel()


@in_fleet
async def test_a_fork_under_load_is_the_state_of_one_revision(world: World) -> None:
    """Writes are numbered; whatever was acknowledged before the fork was asked for is in it, and nothing has a gap."""
    await world.create("dev", controllers=[])
    dev = await world.client("dev")
    acknowledged: list[int] = []
    stop = False

    async def load() -> None:
        number = 0
        while not stop:
            await write(dev, f"w-{number:05}")
            acknowledged.append(number)
            number += 1

    loading = asyncio.create_task(load())
    await asyncio.sleep(0.2)
    for turn in range(3):
        before = acknowledged[-1]
        fork = await world.create(f"branch-{turn}", **of("dev"))
        branch = await world.client(f"branch-{turn}")
        items = (await branch.list(CONFIG_MAPS, "default")).items
        found = sorted(int(one["metadata"]["name"][2:]) for one in items if one["metadata"]["name"].startswith("w-"))
        assert found == list(range(len(found))), "no gap"
        assert len(found) > before
        revision = int(fork["status"]["from"]["resourceVersion"])
        mine = [one for one in items if one["metadata"]["name"].startswith("w-")]
        assert max(int(one["metadata"]["resourceVersion"]) for one in mine) <= revision
        made = await write(branch, "new")
        assert int(made["metadata"]["resourceVersion"]) > revision
    stop = True
    await loading


@in_fleet
async def test_forks_of_forks_and_of_parked_clusters_outlive_their_sources(world: World) -> None:
    dev = await world.create("dev", controllers=[])
    await write(await world.client("dev"), "of-dev")
    await world.park(dev)
    first = await world.create("first", controllers=[], **of("dev"))
    await write(await world.client("first"), "of-first")
    second = await world.create("second", controllers=[], **of("first"))
    await world.delete("dev")
    await world.delete("first")
    await world.park(second)
    client = await world.client("second")
    for name in ("of-dev", "of-first"):
        assert await exists(client, CONFIG_MAPS, name, "default")
    assert first["status"]["from"]["name"] == "dev"
    assert len(layers(world)) == 2
    await world.delete("second")
    assert layers(world) == [], "a layer on which nobody stands is deleted"


def layers(world: World) -> list[str]:
    return sorted(path.name for path in world.directory.layers.iterdir() if not path.name.startswith("template-"))


@in_fleet
async def test_forking_what_has_not_changed_makes_no_layer(world: World) -> None:
    await world.create("dev", controllers=[])
    for number in range(3):
        await world.create(f"branch-{number}", controllers=[], **of("dev"))
    assert len(layers(world)) == 1


@in_fleet
async def test_what_cannot_be_forked_says_why(world: World) -> None:
    await make_namespace(world.host, "team")
    await world.create("dev", kubernetesVersion="1.33")
    await world.ask("none", **of("nope"))
    assert await world.refused("none") == (
        "ForkSourceMissing",
        'spec.from: there is no cluster "default/nope" on the host',
    )
    await world.ask("self", **of("self"))
    assert await world.refused("self") == ("ForkRefused", "spec.from: a cluster cannot be a fork of itself")
    await world.ask("newer", kubernetesVersion="1.34", **of("dev"))
    reason, message = await world.refused("newer")
    assert reason == "ForkRefused"
    assert message == (
        "spec.kubernetesVersion: default/dev has Kubernetes 1.33, and a fork has the version of its source; "
        "ask for 1.33 or for none, not for 1.34"
    )
    await world.create("nope")
    await world.until("none")  # it was only waiting


@in_fleet
async def test_attack_another_namespaces_cluster_is_forked_only_if_it_says_so(world: World) -> None:
    await make_namespace(world.host, "team")
    await world.create("dev")
    await write(await world.client("dev"), "secret")
    await world.ask("thief", "team", **of("dev", namespace="default"))
    told = await world.refused("thief", "team")
    await world.ask("blind", "team", **of("nope", namespace="default"))
    other = await world.refused("blind", "team")
    assert told[0] == other[0] == "ForkSourceMissing"
    assert told[1].replace("dev", "nope") == other[1].replace("dev", "nope"), "nothing is learnt of what there is"
    patch = {"metadata": {"annotations": {FORKABLE: "others, team"}}}
    await world.host.patch(VIRTUAL_CLUSTERS, "default", "dev", patch)
    await world.until("thief", "team")
    assert await exists(await world.client("thief", "team"), CONFIG_MAPS, "secret", "default")


@in_fleet
async def test_what_a_cluster_is_a_fork_of_cannot_be_changed(world: World) -> None:
    for name in ("dev", "other"):
        await world.create(name)
    await world.create("branch", **of("dev"))
    await world.host.patch(VIRTUAL_CLUSTERS, "default", "branch", {"spec": {"from": {"name": "other"}}})

    def refused(cluster: Object) -> bool:
        accepted = condition(cluster, "Accepted")
        return accepted is not None and accepted["reason"] == "FromFixed"

    await world.until("branch", so=refused)


@in_fleet
async def test_many_forks_of_a_changing_cluster_do_not_make_it_deep(world: World) -> None:
    dev = await world.create("dev", controllers=[])
    client = await world.client("dev")
    last = dev
    for number in range(12):
        await write(client, f"w-{number:02}")
        if number:
            await client.delete(CONFIG_MAPS, "default", f"w-{number - 1:02}")
        last = await world.create(f"branch-{number}", controllers=[], **of("dev"))

    async def shallow() -> bool:
        clusters = [world.slot(one).cluster for one in (dev, last)]
        return all(one is not None and len(one.store.layers) <= DEEPEST for one in clusters)

    await eventually(shallow)
    for name in ("dev", "branch-11"):
        found = await (await world.client(name)).list(CONFIG_MAPS, "default")
        assert [one["metadata"]["name"] for one in found.items] == ["w-11"]
    await world.park(dev)
    assert await exists(client, CONFIG_MAPS, "w-11", "default"), "opened again on what was merged"
    for number in range(12):
        await world.delete(f"branch-{number}")
    record = world.slot(dev).cluster
    assert record is not None
    assert set(layers(world)) == {f"{id}.db" for id in record.record.layers if not id.startswith("template-")}
