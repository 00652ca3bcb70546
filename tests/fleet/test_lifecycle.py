"""VirtualCluster objects come true, and go without a trace."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop
from tests.fleet.world import World, config_map, eventually, exists, fleet, gone, in_fleet, make_namespace, read, write

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Resource
from kloster.client.client import Client
from kloster.client.resources import CONFIG_MAPS, NAMESPACES, PODS, SECRETS
from kloster.fleet import assembly
from kloster.fleet.virtualcluster import FINALIZER, VIRTUAL_CLUSTERS, condition


@in_fleet
async def test_a_cluster_comes_up_and_says_so(world: World) -> None:
    cluster = await world.create("dev", kubernetesVersion="1.33")
    status = cluster["status"]
    assert status["phase"] == "Ready"
    assert status["version"].startswith("v1.33.")
    assert status["hostNamespace"] == "vc-dev"
    assert status["endpoint"] == f"https://127.0.0.1:{status['port']}"
    assert status["commonEndpoint"] == world.running.common
    assert status["serverName"] == "dev.default.kloster.internal"
    assert status["observedGeneration"] == 1
    assert FINALIZER in cluster["metadata"]["finalizers"]
    accepted = condition(cluster, "Accepted")
    assert accepted is not None
    assert (accepted["status"], accepted["reason"]) == ("True", "Accepted")
    client = await world.client("dev")
    assert (await client.json("GET", "/version"))["gitVersion"] == status["version"] + "+kloster.1"
    assert await exists(world.host, NAMESPACES, "vc-dev")
    secret = await world.host.get(SECRETS, "default", "kubeconfig-dev")
    assert secret["type"] == "kloster.dev/kubeconfig"
    assert secret["metadata"]["ownerReferences"][0]["uid"] == cluster["metadata"]["uid"]


@in_fleet
async def test_a_deleted_cluster_leaves_nothing(world: World) -> None:
    cluster = await world.create("dev")
    client = await world.client("dev")
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"containers": [{"name": "web", "image": "web:1"}]},
    }
    await client.create(PODS, pod)

    async def on_host() -> object:
        return (await world.host.list(PODS, "vc-dev")).items

    await eventually(on_host)
    files, port = world.files(cluster), cluster["status"]["port"]
    assert files.is_dir()
    await world.delete("dev")
    assert not await exists(world.host, NAMESPACES, "vc-dev")
    assert not files.exists()
    assert next(world.running.fleet.ports.candidates()) > port, "a freed port rests"
    assert not world.shard.slots
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    await gone(world.host, SECRETS, "kubeconfig-dev", "default")  # by the garbage collector


@in_fleet
async def test_a_cluster_that_could_not_be_opened_is_opened_at_the_next_attempt(world: World) -> None:
    fails = iter([True])

    async def expire(served: object) -> None:
        if next(fails, False):
            raise OSError("the disk hiccupped")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(assembly, "expire_events", expire)
        await world.create("dev")
    await write(await world.client("dev"), "mine")


@in_fleet
async def test_nothing_is_made_before_it_is_certain_to_be_cleaned_up(world: World) -> None:
    """The finalizer comes first: whoever deletes the object before that finds nothing left of it."""
    await world.create("dev")
    source = await world.client("dev")
    await write(source, "changed")
    asked, go_on = asyncio.Event(), asyncio.Event()
    with pytest.MonkeyPatch.context() as change:
        change.setattr(Client, "patch", _finalizer_after(asked, go_on.wait))
        cluster = await world.ask("branch", **{"from": {"name": "dev"}})
        await asyncio.wait_for(asked.wait(), 10)

        async def frozen() -> bool:  # which changes nothing that anybody sees
            return any(not path.name.startswith("template-") for path in world.directory.layers.iterdir())

        await eventually(frozen)
        assert not world.files(cluster).exists()
        assert not await exists(world.host, NAMESPACES, "vc-branch")
        assert world.running.fleet.ports.get(cluster["metadata"]["uid"]) is None
        await world.delete("branch")
        go_on.set()
        await world.create("other", **{"from": {"name": "dev"}})
    assert not world.files(cluster).exists()
    assert not await exists(world.host, NAMESPACES, "vc-branch")


@in_fleet
async def test_an_object_that_changes_meanwhile_is_looked_at_again(world: World) -> None:
    async def label() -> None:
        await patch(world.host, VIRTUAL_CLUSTERS, "default", "dev", {"metadata": {"labels": {"a": "b"}}})

    asked, patch = asyncio.Event(), Client.patch
    with pytest.MonkeyPatch.context() as change:
        change.setattr(Client, "patch", _finalizer_after(asked, label))
        cluster = await world.create("dev")
    assert FINALIZER in cluster["metadata"]["finalizers"]
    assert cluster["metadata"]["labels"] == {"a": "b"}
    assert [one["type"] for one in cluster["status"]["conditions"] if one["status"] == "False"] == []


def _finalizer_after(asked: asyncio.Event, first: Callable[[], Awaitable[object]]) -> Callable[..., Awaitable[Object]]:
    """`Client.patch`, which does `first` before the first finalizer is written."""
    patch = Client.patch

    async def later(self: Client, resource: Resource, namespace: str, name: str, body: Object, **more: Any) -> Object:
        if FINALIZER in body["metadata"].get("finalizers", ()) and not asked.is_set():
            asked.set()
            await first()
        return await patch(self, resource, namespace, name, body, **more)

    return later


@in_fleet
async def test_a_name_can_be_used_again(world: World) -> None:
    first = await world.create("dev")
    await write(await world.client("dev"), "mine")
    await world.delete("dev")
    second = await world.create("dev")
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    client = await world.client("dev")
    assert not await exists(client, CONFIG_MAPS, "mine", "default")


@in_fleet
async def test_two_clusters_with_the_same_name_are_two(world: World) -> None:
    await make_namespace(world.host, "team")
    await world.create("dev", kubernetesVersion="1.31")
    await world.create("dev", "team", kubernetesVersion="1.36")
    here, there = await world.client("dev"), await world.client("dev", "team")
    await write(here, "mine", of="default")
    assert not await exists(there, CONFIG_MAPS, "mine", "default")
    assert (await there.json("GET", "/version"))["minor"] == "36"
    await world.delete("dev", "team")
    assert await read(here, "mine") == {"of": "default"}


@in_fleet
async def test_names_that_collide_after_translation_do_not(world: World) -> None:
    for namespace in ("b", "x-b"):
        await make_namespace(world.host, namespace)
    names = [("a-x-b", "default"), ("a", "b"), ("a-x", "b"), ("a", "x-b")]
    made = [await world.create(name, namespace) for name, namespace in names]
    assert len({one["status"]["hostNamespace"] for one in made}) == len(names)


@in_fleet
async def test_names_of_63_characters(world: World) -> None:
    name = "a" * 63
    cluster = await world.create(name)
    assert len(cluster["status"]["hostNamespace"]) <= 63
    client = await world.client(name)
    await write(client, "mine")
    await world.delete(name)


LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', "
    "regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("a.b", "must not contain dots", id="dots"),
        pytest.param("a" * 64, "must be no more than 63 characters", id="long"),
    ],
)
@in_fleet
async def test_names_that_are_no_labels_make_nothing(world: World, name: str, text: str) -> None:
    """Object names may have dots and 253 characters, cluster names may not."""
    await world.ask(name)
    assert await world.refused(name) == ("InvalidName", f'metadata.name: Invalid value: "{name}": {text}')
    assert not list((world.directory.root / "clusters").glob("*-*"))
    spaces = [one["metadata"]["name"] for one in (await world.host.list(NAMESPACES)).items]
    assert not [one for one in spaces if one.startswith("vc-")]
    await world.delete(name)


@in_fleet
async def test_upper_case_is_refused_by_the_api(world: World) -> None:
    with pytest.raises(StatusError, match="a lowercase RFC 1123 subdomain"):
        await world.ask("Dev")


@in_fleet
async def test_a_spec_that_is_wrong_is_refused_and_can_be_corrected(world: World) -> None:
    await world.ask("dev", kubernetesVerson="1.34")
    reason, message = await world.refused("dev")
    assert reason == "InvalidSpec"
    assert message == "spec.kubernetesVerson is not supported; did you mean spec.kubernetesVersion?"
    patch = {"spec": {"kubernetesVerson": None, "kubernetesVersion": "1.35"}}
    await world.host.patch(VIRTUAL_CLUSTERS, "default", "dev", patch)
    cluster = await world.until("dev")
    assert cluster["status"]["version"].startswith("v1.35.")


@in_fleet
async def test_a_version_stays_and_the_condition_says_so(world: World) -> None:
    await world.create("dev", kubernetesVersion="1.34")
    await world.host.patch(VIRTUAL_CLUSTERS, "default", "dev", {"spec": {"kubernetesVersion": "1.35"}})

    def fixed(cluster: dict[str, object]) -> bool:
        accepted = condition(cluster, "Accepted")
        return accepted is not None and accepted["reason"] == "VersionFixed"

    cluster = await world.until("dev", so=fixed)
    assert cluster["status"]["version"].startswith("v1.34.")
    accepted = condition(cluster, "Accepted")
    assert accepted is not None
    assert accepted["message"] == "the cluster is 1.34; changing the version of a cluster is not supported"
    await world.host.patch(VIRTUAL_CLUSTERS, "default", "dev", {"spec": {"kubernetesVersion": "1.34"}})
    await world.until("dev", so=lambda one: not fixed(one))


@in_fleet
async def test_controllers_change_with_the_spec(world: World) -> None:
    cluster = await world.create("dev", controllers=["*", "-namespace"])
    client = await world.client("dev")
    await make_namespace(client, "going")
    await client.delete(NAMESPACES, "", "going")
    await asyncio.sleep(0.2)
    assert await exists(client, NAMESPACES, "going"), "nobody takes care of namespaces"
    await world.host.patch(VIRTUAL_CLUSTERS, "default", "dev", {"spec": {"controllers": ["*"]}})
    await gone(client, NAMESPACES, "going")
    assert world.slot(cluster).port == cluster["status"]["port"]


@in_fleet
async def test_a_namespace_of_somebody_else_is_not_taken_over(world: World) -> None:
    await make_namespace(world.host, "vc-dev")
    await world.host.create(CONFIG_MAPS, config_map("theirs", "vc-dev"))
    await world.ask("dev")
    reason, message = await world.refused("dev")
    assert reason == "HostConflict"
    assert message.startswith('the host already has a namespace "vc-dev" that does not belong to this cluster')
    await world.delete("dev")
    assert await exists(world.host, CONFIG_MAPS, "theirs", "vc-dev")


@in_fleet
async def test_a_secret_of_somebody_else_is_not_taken_over(world: World) -> None:
    body = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "kubeconfig-dev", "namespace": "default"}}
    await world.host.create(SECRETS, body)
    await world.ask("dev")
    assert await world.refused("dev") == (
        "HostConflict",
        'the Secret "kubeconfig-dev" exists and does not belong to this cluster',
    )


def test_everything_is_there_after_a_restart(tmp_path: Path) -> None:
    async def body() -> None:
        async with fleet(tmp_path) as world:
            before = await world.create("dev", kubernetesVersion="1.34")
            await write(await world.client("dev"), "mine", a="1")
            connection = await world.connection("dev")
        async with fleet(tmp_path) as world:
            after = await world.until("dev")
            client = world.connect(connection)  # yesterday's kubeconfig
            assert await read(client, "mine") == {"a": "1"}
            assert after["status"] == before["status"]
            await write(client, "more")

    uvloop.run(asyncio.wait_for(body(), 100))


def test_a_deletion_that_was_interrupted_goes_on_at_the_next_start(tmp_path: Path) -> None:
    async def body() -> None:
        async with fleet(tmp_path) as world:
            cluster = await world.create("dev")
            await world.running.host.cluster.detach()  # nobody reconciles any longer
            await world.host.delete(VIRTUAL_CLUSTERS, "default", "dev")
            files = world.files(cluster)
        assert files.is_dir()
        async with fleet(tmp_path) as world:
            await gone(world.host, VIRTUAL_CLUSTERS, "dev", "default")
            assert not files.exists()
            assert not await exists(world.host, NAMESPACES, "vc-dev")

    uvloop.run(asyncio.wait_for(body(), 100))


def test_a_creation_that_was_interrupted_goes_on_at_the_next_start(tmp_path: Path) -> None:
    async def body() -> None:
        async with fleet(tmp_path) as world:
            await world.running.host.cluster.detach()
            await world.ask("dev")
        async with fleet(tmp_path) as world:
            await world.until("dev")
            await write(await world.client("dev"), "mine")

    uvloop.run(asyncio.wait_for(body(), 100))
