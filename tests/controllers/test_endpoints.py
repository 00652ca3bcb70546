"""Endpoints and EndpointSlices against the real pipeline."""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object
from kloster.client.resources import ENDPOINT_SLICES, ENDPOINTS, PODS, SERVICES
from kloster.controllers import endpoints, endpointslicemirroring, endpointslices

from .world import CONTAINERS, NS, World, world

LABELS = {"app": "web"}
TIME = "endpoints.kubernetes.io/last-change-trigger-time"


async def backend(cluster: World, name: str, *, ready: bool = True, ports: list[Object] | None = None) -> None:
    containers = [{**CONTAINERS[0], **({"ports": ports} if ports else {})}]
    await cluster.create(PODS, name, metadata={"labels": LABELS}, spec={"containers": containers})
    await cluster.set_phase(name, "Running", ready=ready)


async def service(cluster: World, **spec: Any) -> None:
    ports = [{"name": "http", "port": 80, "targetPort": "http"}]
    await cluster.create(SERVICES, "web", spec={"selector": LABELS, "ports": ports, **spec})


def addresses(subset: Object, field: str) -> list[str]:
    return [entry["targetRef"]["name"] for entry in subset.get(field, [])]


@world
async def test_both_forms_follow_the_pods(cluster: World) -> None:
    cluster.run("*")
    await service(cluster)
    await cluster.settle()
    empty = await cluster.get(ENDPOINTS, "web")
    assert "subsets" not in empty
    assert empty["metadata"]["labels"] == {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}
    (slice_,) = await cluster.all(ENDPOINT_SLICES)
    assert not slice_.get("endpoints")
    assert slice_["metadata"]["labels"] == {
        "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
        "kubernetes.io/service-name": "web",
    }
    assert slice_["metadata"]["ownerReferences"][0]["kind"] == "Service"
    named = [{"name": "http", "containerPort": 8080}]
    await backend(cluster, "good", ports=named)
    await backend(cluster, "bad", ready=False, ports=named)
    await backend(cluster, "other")
    await cluster.settle()
    (subset,) = (await cluster.get(ENDPOINTS, "web"))["subsets"]
    assert (addresses(subset, "addresses"), addresses(subset, "notReadyAddresses")) == (["good"], ["bad"])
    assert subset["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    (slice_,) = await cluster.all(ENDPOINT_SLICES)
    found = {entry["targetRef"]["name"]: entry["conditions"] for entry in slice_["endpoints"]}
    assert found == {
        "good": {"ready": True, "serving": True, "terminating": False},
        "bad": {"ready": False, "serving": False, "terminating": False},
    }
    assert slice_["ports"] == [{"name": "http", "port": 8080, "protocol": "TCP"}]
    await cluster.client.delete(PODS, NS, "good", grace_period_seconds=0)
    await cluster.settle()
    (subset,) = (await cluster.get(ENDPOINTS, "web"))["subsets"]
    assert "addresses" not in subset
    await cluster.client.delete(SERVICES, NS, "web")
    await cluster.settle()
    assert await cluster.all(ENDPOINT_SLICES) == []
    assert not await cluster.exists(ENDPOINTS, "web")


@world
async def test_slices_of_other_ports_are_not_touched(cluster: World) -> None:
    cluster.run("*")
    await cluster.settle()
    ports = [{"name": "http", "port": 80, "targetPort": "http"}, {"name": "dns", "port": 53, "protocol": "UDP"}]
    await service(cluster, ports=ports)
    await backend(cluster, "both", ports=[{"name": "http", "containerPort": 8080}])
    await backend(cluster, "dns-only")
    await cluster.settle()

    async def by_pod() -> dict[str, tuple[str, int]]:
        slices = [one["metadata"] | one for one in await cluster.all(ENDPOINT_SLICES) if one.get("endpoints")]
        return {one["endpoints"][0]["targetRef"]["name"]: (one["name"], one["generation"]) for one in slices}

    before = await by_pod()
    assert set(before) == {"both", "dns-only"}
    await cluster.set_phase("both", "Running", ready=False)
    await cluster.settle()
    after = await by_pod()
    assert after["dns-only"] == before["dns-only"]
    assert after["both"] == (before["both"][0], before["both"][1] + 1)


@world
async def test_endpoints_written_by_hand_are_mirrored(cluster: World) -> None:
    cluster.run("*")
    await cluster.create(SERVICES, "db", spec={"ports": [{"port": 5432}]})
    both = {"addresses": [{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}], "notReadyAddresses": [{"ip": "192.0.2.2"}]}
    metadata = {"labels": {"team": "a"}, "annotations": {"note": "b", TIME: "now"}}
    await cluster.create(ENDPOINTS, "db", metadata=metadata, subsets=[{**both, "ports": [{"port": 5432}]}])
    await cluster.settle()
    slices = {one["addressType"]: one for one in await cluster.all(ENDPOINT_SLICES)}
    assert set(slices) == {"IPv4", "IPv6"}
    first = slices["IPv4"]
    assert first["metadata"]["labels"] == {
        "team": "a",
        "endpointslice.kubernetes.io/managed-by": "endpointslicemirroring-controller.k8s.io",
        "kubernetes.io/service-name": "db",
    }
    assert first["metadata"]["annotations"] == {"note": "b"}
    assert first["metadata"]["ownerReferences"][0]["kind"] == "Endpoints"
    assert first["ports"] == [{"name": "", "port": 5432, "protocol": "TCP"}]
    shown = [(one["addresses"], one["conditions"]) for one in first["endpoints"]]
    assert shown == [(["192.0.2.1"], {"ready": True}), (["192.0.2.2"], {"ready": False})]
    name, version = first["metadata"]["name"], first["metadata"]["resourceVersion"]
    await cluster.patch(ENDPOINTS, "db", {"subsets": [{"addresses": [{"ip": "192.0.2.9"}], "ports": [{"port": 5432}]}]})
    await cluster.settle()
    (changed,) = await cluster.all(ENDPOINT_SLICES)
    assert changed["metadata"]["name"] == name
    assert changed["metadata"]["resourceVersion"] != version
    await cluster.patch(ENDPOINTS, "db", {"metadata": {"labels": {endpointslicemirroring.SKIP: "true"}}})
    await cluster.settle()
    assert await cluster.all(ENDPOINT_SLICES) == []
    await cluster.patch(ENDPOINTS, "db", {"metadata": {"labels": {endpointslicemirroring.SKIP: None}}})
    await cluster.settle()
    assert len(await cluster.all(ENDPOINT_SLICES)) == 1
    await cluster.patch(SERVICES, "db", {"spec": {"selector": LABELS}})
    await cluster.settle()
    (own,) = await cluster.all(ENDPOINT_SLICES)
    assert own["metadata"]["labels"][endpointslicemirroring.MANAGED_BY_LABEL] == "endpointslice-controller.k8s.io"


def test_no_more_than_a_thousand_addresses_are_mirrored() -> None:
    addresses = [{"ip": f"10.0.{number // 250}.{number % 250}"} for number in range(1200)]
    subset = {"addresses": addresses[:900], "notReadyAddresses": addresses[900:], "ports": [{"port": 1}]}
    (found,) = endpointslicemirroring.wanted_slices({"subsets": [subset]})
    assert len(found["endpoints"]) == 1000


@world
async def test_unready_addresses_are_published_on_request(cluster: World) -> None:
    cluster.run("*")
    await cluster.settle()
    await service(cluster, clusterIP="None", publishNotReadyAddresses=True, ports=[{"port": 80}])
    await backend(cluster, "bad", ready=False)
    await cluster.settle()
    found = await cluster.get(ENDPOINTS, "web")
    assert addresses(found["subsets"][0], "addresses") == ["bad"]
    assert found["metadata"]["labels"]["service.kubernetes.io/headless"] == ""
    (slice_,) = await cluster.all(ENDPOINT_SLICES)
    assert slice_["endpoints"][0]["conditions"]["ready"] is True


@world
async def test_a_service_without_selector_is_left_alone(cluster: World) -> None:
    cluster.run("*")
    await cluster.create(SERVICES, "web", spec={"ports": [{"port": 80}]})
    await cluster.create(ENDPOINTS, "web", subsets=[{"addresses": [{"ip": "192.0.2.1"}], "ports": [{"port": 80}]}])
    await cluster.settle()
    assert (await cluster.get(ENDPOINTS, "web"))["subsets"][0]["addresses"] == [{"ip": "192.0.2.1"}]


def entry(number: int) -> Object:
    return {"addresses": [f"10.0.0.{number}"], "conditions": {}, "targetRef": {"uid": str(number)}}


def existing(name: str, numbers: range) -> Object:
    entries = [entry(number) for number in numbers]
    metadata = {"name": name, "uid": name}
    return {"metadata": metadata, "addressType": "IPv4", "ports": [{"port": 80}], "endpoints": entries}


def group(numbers: range) -> endpointslices.Group:
    return endpointslices.Group("IPv4", [{"port": 80}], [entry(number) for number in numbers])


def test_slices_hold_at_most_a_hundred() -> None:
    found = endpointslices.plan([], [group(range(250))], ["IPv4"])
    assert [len(item["endpoints"]) for item in found.create] == [100, 100, 50]
    assert (found.update, found.delete) == ([], [])


def test_new_endpoints_fill_what_has_room_and_nothing_else_moves() -> None:
    slices = [existing("full", range(100)), existing("half", range(100, 150))]
    found = endpointslices.plan(slices, [group(range(160))], ["IPv4"])
    assert [item["metadata"]["name"] for item in found.update] == ["half"]
    assert (found.create, found.delete) == ([], [])


def test_emptied_slices_go_but_one_stays_for_an_empty_service() -> None:
    slices = [existing("a", range(100)), existing("b", range(100, 150))]
    found = endpointslices.plan(slices, [group(range(100))], ["IPv4"])
    assert [item["metadata"]["name"] for item in found.delete] == ["b"]
    found = endpointslices.plan(slices, [], ["IPv4"])
    assert [item["endpoints"] for item in found.update] == [[]]
    assert len(found.delete) == 1


def test_endpoints_are_cut_at_their_capacity() -> None:
    subset = {"addresses": [{"ip": "a"}] * 3, "notReadyAddresses": [{"ip": "b"}] * 3}
    assert endpoints.truncated([subset], 6) == ([subset], False)
    cut, is_cut = endpoints.truncated([subset], 4)
    assert is_cut
    assert (len(cut[0]["addresses"]), len(cut[0]["notReadyAddresses"])) == (3, 1)
