"""Custom resources beside each other: clusters that define the same name, share definitions, share stored objects."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.apiserver import world

from kloster.apiserver.authorization.always import AlwaysAllow
from kloster.apiserver.cluster import ServedCluster
from kloster.apiserver.customresources.kinds import builder
from kloster.stores.memory import MemoryStore

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
TOYS = "/apis/beside.example/v1/toys"


def definition(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    spec = {"type": "object", "properties": properties}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
        **more,
    }
    return {
        "metadata": {"name": "toys.beside.example"},
        "spec": {
            "group": "beside.example",
            "scope": "Cluster",
            "names": {"plural": "toys", "kind": "Toy"},
            "versions": [version],
        },
    }


def toy(name: str = "t", **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "beside.example/v1", "kind": "Toy", "metadata": {"name": name}, "spec": spec}


async def serving() -> world.Api:
    cluster = await world.make()
    cluster.serve_custom_resources(builder(cluster.catalog))
    return world.Api(cluster)


async def change(api: world.Api, **changes: Any) -> None:
    """Replaces parts of the definition's only version."""
    present = await api.ok("GET", f"{DEFINITIONS}/toys.beside.example")
    present["spec"]["versions"][0].update(changes)
    await api.ok("PUT", f"{DEFINITIONS}/toys.beside.example", present)


def test_the_same_name_in_two_shapes() -> None:
    async def run() -> None:
        one, other = await serving(), await serving()
        await one.ok("POST", DEFINITIONS, definition({"a": {"type": "string"}}))
        await other.ok(
            "POST", DEFINITIONS, definition({"a": {"type": "integer"}, "b": {"default": 1, "type": "integer"}})
        )
        assert (await one.ok("POST", TOYS, toy(a="x", b=5)))["spec"] == {"a": "x"}
        assert (await other.ok("POST", TOYS, toy(a=1)))["spec"] == {"a": 1, "b": 1}
        assert (await one.send("POST", TOYS, toy("u", a=1))).status == 422
        assert (await other.send("POST", TOYS, toy("u", a="x"))).status == 422
        await other.ok("DELETE", f"{DEFINITIONS}/toys.beside.example")
        assert (await other.send("GET", TOYS)).status == 404
        assert len((await one.ok("GET", TOYS))["items"]) == 1

    asyncio.run(run())


def test_the_same_definition_is_built_once() -> None:
    async def run() -> None:
        apis = [await serving() for _ in range(3)]
        for api in apis:
            await api.ok("POST", DEFINITIONS, definition({"a": {"type": "string"}}))
        found = [api.cluster.resources.lookup("beside.example", "v1", "toys") for api in apis]
        assert found[0] is not None
        assert found[0] is found[1] is found[2]

    asyncio.run(run())


def test_clusters_on_one_layer_with_different_definitions() -> None:
    """A fork shares stored objects, and what was derived from them, only as far as the definitions are the same."""

    async def run() -> None:
        one = await serving()
        await one.ok("POST", DEFINITIONS, definition({"a": {"type": "string"}, "b": {"type": "string"}}))
        await one.ok("POST", TOYS, toy(a="x", b="y"))
        store = one.cluster.store
        assert isinstance(store, MemoryStore)
        layer = await store.freeze()
        fork = MemoryStore([layer], revision=store.revision)
        cluster = ServedCluster("fork", one.cluster.catalog, fork, AlwaysAllow(), forms=one.cluster.forms)
        cluster.serve_custom_resources(builder(cluster.catalog))
        other = world.Api(cluster)
        assert (await one.ok("GET", f"{TOYS}/t"))["spec"] == {"a": "x", "b": "y"}
        shape = definition({"a": {"type": "string"}, "c": {"type": "integer", "default": 3}})
        await change(other, schema=shape["spec"]["versions"][0]["schema"])
        for _ in range(2):
            assert (await one.ok("GET", f"{TOYS}/t"))["spec"] == {"a": "x", "b": "y"}
            assert (await other.ok("GET", f"{TOYS}/t"))["spec"] == {"a": "x", "c": 3}
            patched = await other.ok("PATCH", f"{TOYS}/t?dryRun=All", {"metadata": {"labels": {"l": "1"}}})
            assert patched["spec"] == {"a": "x", "c": 3}

    asyncio.run(run())


def test_selectable_fields_hold_for_what_was_stored_before() -> None:
    async def run() -> None:
        api = await serving()
        await api.ok("POST", DEFINITIONS, definition({"a": {"type": "string"}}))
        await api.ok("POST", TOYS, toy("t", a="x"))
        await api.ok("POST", TOYS, toy("u", a="y"))
        assert (await api.send("GET", f"{TOYS}?fieldSelector=spec.a=x")).status == 400
        await change(api, selectableFields=[{"jsonPath": ".spec.a"}])
        found = await api.ok("GET", f"{TOYS}?fieldSelector=spec.a=x")
        assert [item["metadata"]["name"] for item in found["items"]] == ["t"]

    asyncio.run(run())


def test_columns_change_with_the_definition() -> None:
    table = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}

    async def run() -> None:
        api = await serving()
        await api.ok("POST", DEFINITIONS, definition({"a": {"type": "string"}}))
        await api.ok("POST", TOYS, toy(a="x"))
        assert len((await api.ok("GET", TOYS, headers=table))["rows"][0]["cells"]) == 2
        columns = [{"name": "A", "type": "string", "jsonPath": ".spec.a"}]
        await change(api, additionalPrinterColumns=columns)
        assert (await api.ok("GET", TOYS, headers=table))["rows"][0]["cells"] == ["t", "x"]

    asyncio.run(run())


def test_established_in_the_answer_to_its_creation() -> None:
    async def run() -> None:
        api = await serving()
        made = await api.ok("POST", DEFINITIONS, definition({}))
        assert {each["type"]: each["status"] for each in made["status"]["conditions"]} == {
            "NamesAccepted": "True",
            "Established": "True",
        }
        assert (await api.send("GET", TOYS)).status == 200

    asyncio.run(run())


def test_a_definition_goes_with_its_objects_in_one_step() -> None:
    async def run() -> None:
        api = await serving()
        await api.ok("POST", DEFINITIONS, definition({}))
        for name in ("t", "u"):
            await api.ok("POST", TOYS, toy(name))
        events: list[tuple[str, bool]] = []
        store = api.cluster.store
        subscription = store.subscribe("", store.revision, lambda: None)
        answer = await api.ok("DELETE", f"{DEFINITIONS}/toys.beside.example")
        events = [(event.key.name, event.new is None) for event in subscription.drain()]
        subscription.close()
        assert answer["metadata"]["deletionTimestamp"]
        # First it is seen to terminate, then its objects go, then it goes itself.
        name = "toys.beside.example"
        assert events == [(name, False), ("t", True), ("u", True), (name, True)]

    asyncio.run(run())


def test_a_dry_run_deletes_nothing() -> None:
    async def run() -> None:
        api = await serving()
        await api.ok("POST", DEFINITIONS, definition({}))
        await api.ok("POST", TOYS, toy())
        await api.ok("DELETE", f"{DEFINITIONS}/toys.beside.example?dryRun=All")
        assert len((await api.ok("GET", TOYS))["items"]) == 1

    asyncio.run(run())


@pytest.mark.parametrize(
    ("pattern", "value", "status"),
    [("^(a+)+$", "a" * 40 + "b", 422), ("^(a+)+$", "a" * 40, 201)],
    ids=["runaway", "match"],
)
def test_patterns_take_linear_time(pattern: str, value: str, status: int) -> None:
    async def run() -> None:
        api = await serving()
        await api.ok("POST", DEFINITIONS, definition({"a": {"type": "string", "pattern": pattern}}))
        assert (await asyncio.wait_for(api.send("POST", TOYS, toy(a=value)), 5)).status == status

    asyncio.run(run())


def test_rules_are_kept() -> None:
    """x-kubernetes-validations come back as they were sent."""
    rules = [{"rule": "self.a != 'b'", "message": "not b"}]

    async def run() -> None:
        api = await serving()
        wanted = definition({"a": {"type": "string"}})
        wanted["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["x-kubernetes-validations"] = (
            rules
        )
        await api.ok("POST", DEFINITIONS, wanted)
        found = await api.ok("GET", f"{DEFINITIONS}/toys.beside.example")
        schema = found["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        assert schema["properties"]["spec"]["x-kubernetes-validations"] == rules

    asyncio.run(run())
