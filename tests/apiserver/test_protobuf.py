"""Protobuf through the pipeline: bodies, answers, lists, watches, errors, and what there is no protobuf for.

The refusals are a real kube-apiserver's.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.apiserver import hurry, world

from kloster.apimachinery import Object
from kloster.apimachinery.protobuf import decode, encode, envelope
from kloster.apiserver.cluster import ServedCluster
from kloster.apiserver.customresources.kinds import builder
from kloster.apiserver.negotiation import PROTOBUF

MAPS = "/api/v1/namespaces/default/configmaps"
BODY = {"content-type": PROTOBUF}
ACCEPT = {"accept": PROTOBUF}
_VIEW = "g=meta.k8s.io;v=v1"
_REPRESENTATIONS = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
_ONLY = f"only the following media types are accepted: {_REPRESENTATIONS}"


def run(test: Callable[[ServedCluster, world.Api], Awaitable[None]]) -> None:
    async def main() -> None:
        cluster = await world.make()
        api = world.Api(cluster)
        await test(cluster, api)
        cluster.close()

    hurry.run(main())


def message(cluster: ServedCluster, kind: str, item: Object, version: str = "v1", group: str = "") -> bytes:
    type = cluster.catalog.type(group, version, kind)
    assert type is not None
    return envelope.seal(f"{group}/{version}" if group else version, kind, encode.encode(type, item))


def opened(cluster: ServedCluster, data: bytes) -> Object:
    """The object in an answer."""
    found = envelope.open(data)
    group, _, version = found.api_version.rpartition("/")
    type = cluster.catalog.type(group, version or "v1", found.kind)
    assert type is not None
    return {"kind": found.kind, "apiVersion": found.api_version, **decode.decode(type, found.raw)}


def without_nulls(value: Any) -> Any:
    """What JSON writes as null, protobuf leaves out."""
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


def test_objects_come_and_go() -> None:
    async def test(cluster: ServedCluster, api: world.Api) -> None:
        made = message(cluster, "ConfigMap", {"metadata": {"name": "a", "labels": {"x": "y"}}, "data": {"k": "v"}})
        created = await api.send("POST", MAPS, made, BODY | ACCEPT)
        assert (created.status, created.headers["content-type"]) == (201, PROTOBUF)
        item = opened(cluster, created.body)
        assert item == await api.ok("GET", f"{MAPS}/a")
        item["data"] = {"k": "w"}
        replaced = await api.send("PUT", f"{MAPS}/a", message(cluster, "ConfigMap", item), BODY | ACCEPT)
        assert opened(cluster, replaced.body)["data"] == {"k": "w"}
        patched = await api.send("PATCH", f"{MAPS}/a", {"data": {"k": "x"}}, ACCEPT)
        assert opened(cluster, patched.body)["data"] == {"k": "x"}
        options = message(cluster, "DeleteOptions", {"preconditions": {"uid": "other"}})
        refused = await api.send("DELETE", f"{MAPS}/a", options, BODY | ACCEPT)
        assert (refused.status, opened(cluster, refused.body)["reason"]) == (409, "Conflict")
        deleted = await api.send("DELETE", f"{MAPS}/a", message(cluster, "DeleteOptions", {}), BODY | ACCEPT)
        assert opened(cluster, deleted.body)["status"] == "Success"

    run(test)


def test_lists_equal_their_json() -> None:
    async def test(cluster: ServedCluster, api: world.Api) -> None:
        for path in ("/api/v1/namespaces", "/apis/rbac.authorization.k8s.io/v1/clusterroles", MAPS, f"{MAPS}?limit=1"):
            for _ in range(2):  # the second from what was kept
                answer = await api.send("GET", path, headers=ACCEPT)
                found = opened(cluster, answer.body)
                assert found.pop("items", []) == without_nulls((await api.ok("GET", path))["items"])
                assert found["metadata"]["resourceVersion"]

    run(test)


def test_a_changed_object_is_encoded_anew() -> None:
    async def test(cluster: ServedCluster, api: world.Api) -> None:
        await api.ok("POST", MAPS, {"metadata": {"name": "a"}, "data": {"k": "1"}})
        for value in ("1", "2"):
            listed = opened(cluster, (await api.send("GET", MAPS, headers=ACCEPT)).body)
            assert [item["data"]["k"] for item in listed["items"] if item["metadata"]["name"] == "a"] == [value]
            await api.ok("PATCH", f"{MAPS}/a", {"data": {"k": "2"}})

    run(test)


def test_other_versions_have_their_own_messages() -> None:
    async def test(cluster: ServedCluster, api: world.Api) -> None:
        path = "/apis/autoscaling/{}/namespaces/default/horizontalpodautoscalers"
        spec = {"scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"}, "maxReplicas": 3}
        await api.ok("POST", path.format("v2"), {"metadata": {"name": "h"}, "spec": spec})
        for version in ("v1", "v2", "v1"):
            listed = opened(cluster, (await api.send("GET", path.format(version), headers=ACCEPT)).body)
            assert listed["apiVersion"] == f"autoscaling/{version}"
            assert listed["items"] == without_nulls((await api.ok("GET", path.format(version)))["items"])

    run(test)


def frames(cluster: ServedCluster, data: bytes) -> list[tuple[str, Object]]:
    type = cluster.catalog.type("", "v1", "WatchEvent")
    assert type is not None
    found = []
    while data:
        size = int.from_bytes(data[:4], "big")
        event, data = data[4 : 4 + size], data[4 + size :]
        name, inner = envelope._texts(event, 0, len(event), "WatchEvent", ("Type", "Object")).values()
        raw = envelope._texts(inner, 0, len(inner), "RawExtension", ("Raw",))[1]
        found.append((name.decode(), opened(cluster, raw)))
    return found


def test_watch() -> None:
    async def test(cluster: ServedCluster, api: world.Api) -> None:
        await api.ok("POST", MAPS, {"metadata": {"name": "a"}, "data": {"k": "1"}})
        start = (await api.ok("GET", MAPS))["metadata"]["resourceVersion"]
        await api.ok("PATCH", f"{MAPS}/a", {"data": {"k": "2"}})
        await api.ok("DELETE", f"{MAPS}/a")
        query = f"watch=1&timeoutSeconds=1&resourceVersion={start}"
        answer = await api.send("GET", f"{MAPS}?{query}", headers=ACCEPT)
        assert answer.headers["content-type"] == f"{PROTOBUF};stream=watch"
        changed, deleted = frames(cluster, await world.read(answer))
        assert (changed[0], changed[1]["data"]) == ("MODIFIED", {"k": "2"})
        assert (deleted[0], deleted[1]["data"]) == ("DELETED", {"k": "2"})
        assert int(deleted[1]["metadata"]["resourceVersion"]) == int(changed[1]["metadata"]["resourceVersion"]) + 1
        metadata = {"accept": f"{PROTOBUF};as=PartialObjectMetadata;{_VIEW}"}
        seen = frames(cluster, await world.read(await api.send("GET", f"{MAPS}?{query}", headers=metadata)))
        assert [event[0] for event in seen] == ["MODIFIED", "DELETED"]
        assert {event[1]["kind"] for event in seen} == {"PartialObjectMetadata"}

    run(test)


def test_initial_events_and_their_bookmark() -> None:
    async def test(cluster: ServedCluster, api: world.Api) -> None:
        path = (
            "/api/v1/namespaces?watch=1&timeoutSeconds=1&sendInitialEvents=true&allowWatchBookmarks=true"
            "&resourceVersionMatch=NotOlderThan&fieldSelector=metadata.name=default"
        )
        for accept, kind in (
            (PROTOBUF, "Namespace"),
            (f"{PROTOBUF};as=PartialObjectMetadata;{_VIEW}", "PartialObjectMetadata"),
        ):
            answer = await api.send("GET", path, headers={"accept": accept})
            added, marked = frames(cluster, await world.read(answer))
            assert (added[0], added[1]["metadata"]["name"]) == ("ADDED", "default")
            assert (marked[0], marked[1]["kind"]) == ("BOOKMARK", kind)
            assert marked[1]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}

    run(test)


@pytest.mark.parametrize(
    ("accept", "path", "status", "media", "kind"),
    [
        pytest.param(PROTOBUF, f"{MAPS}/none", 404, PROTOBUF, "Status", id="error"),
        pytest.param(f"application/json;q=0.5, {PROTOBUF}", "/api/v1", 200, PROTOBUF, "APIResourceList", id="weights"),
        pytest.param(f"{PROTOBUF};q=0.5, application/json", "/api/v1", 200, "application/json", "", id="JSON rather"),
        pytest.param(f"*/*;q=0.1, {PROTOBUF}", "/apis", 200, PROTOBUF, "APIGroupList", id="anything, if it must be"),
        pytest.param("*/*", "/apis", 200, "application/json", "", id="anything"),
        pytest.param(PROTOBUF, "/api", 200, PROTOBUF, "APIVersions", id="versions"),
        pytest.param(
            f"{PROTOBUF};as=PartialObjectMetadata;{_VIEW}",
            "/api/v1/namespaces/default",
            200,
            PROTOBUF,
            "PartialObjectMetadata",
            id="metadata",
        ),
        pytest.param(
            f"{PROTOBUF};as=PartialObjectMetadataList;{_VIEW}",
            "/api/v1/namespaces",
            200,
            PROTOBUF,
            "PartialObjectMetadataList",
            id="metadata of a list",
        ),
        pytest.param(
            f"{PROTOBUF};as=Table;{_VIEW}", "/api/v1/namespaces", 406, "application/json", _ONLY, id="no tables"
        ),
        pytest.param(
            f"{PROTOBUF};as=Table;{_VIEW}",
            "/api/v1/namespaces?watch=1",
            406,
            "application/json",
            _ONLY,
            id="no tables on a watch",
        ),
        pytest.param(
            f"{PROTOBUF};as=Table;{_VIEW}, application/json;as=Table;{_VIEW}",
            "/api/v1/namespaces",
            200,
            "application/json",
            "",
            id="a table in JSON",
        ),
    ],
)
def test_negotiation(accept: str, path: str, status: int, media: str, kind: str) -> None:
    async def test(cluster: ServedCluster, api: world.Api) -> None:
        answer = await api.send("GET", path, headers={"accept": accept})
        data = await world.read(answer)
        assert (answer.status, answer.headers["content-type"]) == (status, media)
        if media == PROTOBUF:
            assert envelope.open(data).kind == kind
        else:
            assert kind in data.decode()

    run(test)


def _sealed(api_version: str, kind: str, raw: bytes = b"") -> bytes:
    return envelope.seal(api_version, kind, raw)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(
            b"",
            "the object provided is unrecognized (must be of type ConfigMap): empty data (<empty>)",
            id="nothing",
        ),
        pytest.param(
            b"abc",
            "the object provided is unrecognized (must be of type ConfigMap): provided data does not appear to be a "
            "protobuf message, expected prefix [107 56 115 0] (616263)",
            id="no protobuf",
        ),
        pytest.param(
            b"k8s\0\xff",
            "the object provided is unrecognized (must be of type ConfigMap): unexpected EOF (6b387300ff)",
            id="no envelope",
        ),
        pytest.param(
            _sealed("v1", "ConfigMap", b"\xff\xff"),
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: unexpected EOF',
            id="no message",
        ),
        pytest.param(
            _sealed("v1", "Pod"),
            'Pod in version "v1" cannot be handled as a ConfigMap: converting (v1.Pod) to (core.ConfigMap): '
            "unknown conversion",
            id="another kind",
        ),
        pytest.param(
            _sealed("foo/v1", "ConfigMap"),
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: no kind "ConfigMap" is registered for version '
            '"foo/v1" in scheme "pkg/runtime/scheme.go:110"',
            id="another group",
        ),
    ],
)
def test_bodies_that_are_refused(body: bytes, message: str) -> None:
    async def test(cluster: ServedCluster, api: world.Api) -> None:
        found = await api.json("POST", MAPS, body, BODY)
        assert (found["code"], found["message"]) == (400, message)

    run(test)


def test_options_that_are_refused() -> None:
    async def test(cluster: ServedCluster, api: world.Api) -> None:
        found = await api.json("DELETE", f"{MAPS}/x", b"abc", BODY)
        assert (found["code"], found["message"]) == (
            500,
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]",
        )
        wrong = _sealed("v1", "DeleteOptions", b"\x0a\x00")
        found = await api.json("DELETE", f"{MAPS}/x", wrong, BODY)
        assert found["message"] == "proto: wrong wireType = 2 for field GracePeriodSeconds"

    run(test)


DEFINITION: Object = {
    "metadata": {"name": "things.example.com"},
    "spec": {
        "group": "example.com",
        "names": {"kind": "Thing", "plural": "things"},
        "scope": "Cluster",
        "versions": [
            {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}},
        ],
    },
}
THINGS = "/apis/example.com/v1/things"


def test_custom_resources_have_metadata_only() -> None:
    async def test(cluster: ServedCluster, api: world.Api) -> None:
        cluster.serve_custom_resources(builder(cluster.catalog))
        await api.ok("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", DEFINITION)
        thing: Any = {"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "a"}}
        await api.ok("POST", THINGS, thing)
        for method, path, body in (
            ("GET", f"{THINGS}/a", None),
            ("GET", f"{THINGS}/none", None),
            ("GET", THINGS, None),
            ("GET", f"{THINGS}?watch=1", None),
            ("POST", THINGS, {**thing, "metadata": {"name": "b"}}),
            ("PATCH", f"{THINGS}/a", {"metadata": {"labels": {"a": "b"}}}),
        ):
            answer = await api.send(method, path, body, ACCEPT)
            assert (answer.status, answer.headers["content-type"]) == (406, PROTOBUF), path
            assert opened(cluster, answer.body)["message"] == _ONLY
        assert [item["metadata"]["name"] for item in (await api.ok("GET", THINGS))["items"]] == ["a"]
        both = await api.send("GET", THINGS, headers={"accept": f"{PROTOBUF}, application/json"})
        assert both.headers["content-type"] == "application/json"
        view = {"accept": f"{PROTOBUF};as=PartialObjectMetadataList;{_VIEW}"}
        listed = opened(cluster, (await api.send("GET", THINGS, headers=view)).body)
        assert [item["metadata"]["name"] for item in listed["items"]] == ["a"]
        refused = await api.send("POST", THINGS, _sealed("example.com/v1", "Thing"), BODY)
        assert refused.status == 415

    run(test)
