"""Conversion webhooks: an object that lives in one version and is used in another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
from tests.apiserver import world
from tests.apiserver.world import Api

from kloster.apimachinery import Object
from kloster.apiserver.cluster import ServedCluster
from kloster.apiserver.customresources import conversion
from kloster.apiserver.customresources.kinds import builder
from kloster.apiserver.pending import WebhookFailed

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
V1 = "/apis/example.org/v1/namespaces/n/boxes"
V2 = "/apis/example.org/v2/namespaces/n/boxes"


def definition(stored: str = "v1") -> Object:
    """v1 has ``spec.size`` (``3x4``), v2 ``spec.width`` and ``spec.height``; v2 has a default."""
    number = {"type": "integer", "maximum": 100}
    v1 = {"size": {"type": "string"}}
    v2 = {"width": number, "height": number, "colour": {"type": "string", "default": "red"}}

    def version(name: str, properties: Object, column: str) -> Object:
        spec = {"type": "object", "properties": properties}
        return {
            "name": name,
            "served": True,
            "storage": name == stored,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
            "additionalPrinterColumns": [{"name": "C", "type": "string", "jsonPath": f".spec.{column}"}],
        }

    webhook = {"clientConfig": {"url": "https://outside/convert"}, "conversionReviewVersions": ["v1"]}
    return {
        "metadata": {"name": "boxes.example.org"},
        "spec": {
            "group": "example.org",
            "scope": "Namespaced",
            "names": {"plural": "boxes", "kind": "Box", "listKind": "BoxList", "singular": "box"},
            "versions": [version("v1", v1, "size"), version("v2", v2, "height")],
            "conversion": {"strategy": "Webhook", "webhook": webhook},
        },
    }


def convert(item: Object, target: str) -> Object:
    spec = item["spec"]
    metadata = dict(item["metadata"])
    if target.endswith("v2"):
        width, _, height = spec["size"].partition("x")
        metadata["labels"] = {**metadata.get("labels", {}), "seen": "v2"}
        changed = {"width": int(width), "height": int(height), "colour": "blue", "unknown": 1}
    else:
        changed = {"size": f"{spec['width']}x{spec['height']}"}
    return {**item, "apiVersion": target, "metadata": metadata, "spec": changed}


class Converter:
    """The webhook outside: `asked` are (number of objects, wanted version)."""

    def __init__(self) -> None:
        self.asked: list[tuple[int, str]] = []
        self.change: Callable[[Object], Any] = lambda response: response

    async def __call__(self, cluster: ServedCluster, client: Object, body: bytes, timeout: float) -> bytes:
        request = orjson.loads(body)["request"]
        target = request["desiredAPIVersion"]
        self.asked.append((len(request["objects"]), target))
        objects = [convert(one, target) for one in request["objects"]]
        response = {"uid": request["uid"], "convertedObjects": objects, "result": {"status": "Success"}}
        review = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "ConversionReview"}
        return orjson.dumps({**review, "response": self.change(response)})


def check(test: Callable[[Api, Converter], Awaitable[None]], stored: str = "v1") -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        converter = Converter()
        cluster.ports.webhooks = converter
        cluster.serve_custom_resources(builder(cluster.catalog))
        await api.ok("POST", DEFINITIONS, definition(stored))
        await test(api, converter)

    world.on_cluster(body)


def box(version: str, name: str, **spec: Any) -> Object:
    return {"apiVersion": f"example.org/{version}", "kind": "Box", "metadata": {"name": name}, "spec": spec}


def test_reading_and_writing_in_either_version() -> None:
    async def test(api: Api, converter: Converter) -> None:
        await api.ok("POST", V1, box("v1", "a", size="3x4"))
        assert converter.asked == []  # it is stored in this version
        found = await api.ok("GET", f"{V2}/a")
        assert (found["apiVersion"], found["spec"]) == ("example.org/v2", {"width": 3, "height": 4, "colour": "blue"})
        assert found["metadata"]["labels"] == {"seen": "v2"}
        made = await api.ok("POST", V2, box("v2", "b", width=5, height=6))
        assert made["apiVersion"] == "example.org/v2" and made["spec"]["width"] == 5
        assert (await api.ok("GET", f"{V1}/b"))["spec"] == {"size": "5x6"}

    check(test)


def test_an_answer_is_asked_for_once() -> None:
    """Whatever changes in metadata beside labels and annotations: it is none of the webhook's business."""

    async def test(api: Api, converter: Converter) -> None:
        await api.ok("POST", V1, box("v1", "a", size="3x4"))
        for _ in range(3):
            await api.ok("GET", f"{V2}/a")
        assert converter.asked == [(1, "example.org/v2")]
        made = await api.ok("PATCH", f"{V1}/a", {"metadata": {"finalizers": ["x/y"]}})
        found = await api.ok("GET", f"{V2}/a")
        assert found["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
        assert found["metadata"]["finalizers"] == ["x/y"]
        assert len(converter.asked) == 1

    check(test)


def test_a_list_is_asked_for_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Even when not all answers of a list can be remembered at a time."""
    monkeypatch.setattr(conversion, "KEPT", 100 * 1024)

    async def test(api: Api, converter: Converter) -> None:
        for number in range(250):
            await api.ok("POST", V1, box("v1", f"a{number:03}", size=f"{number}x1"))
        found = await api.ok("GET", V2)
        assert [one["spec"]["width"] for one in found["items"]] == list(range(250))
        assert converter.asked == [(100, "example.org/v2"), (100, "example.org/v2"), (50, "example.org/v2")]
        table = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        shown = await api.json("GET", V2, headers=table)
        assert [row["cells"] for row in shown["rows"][:2]] == [["a000", "1"], ["a001", "1"]]

    check(test)


def test_updates_patches_and_apply() -> None:
    async def test(api: Api, converter: Converter) -> None:
        made = await api.ok("POST", V1, box("v1", "a", size="3x4"))
        found = await api.ok("GET", f"{V2}/a")
        found["spec"]["width"] = 7
        changed = await api.ok("PUT", f"{V2}/a", found)
        assert changed["spec"]["width"] == 7 and changed["metadata"]["generation"] == 2
        assert changed["metadata"]["uid"] == made["metadata"]["uid"]
        await api.ok("PATCH", f"{V2}/a", {"spec": {"height": 9}})
        assert (await api.ok("GET", f"{V1}/a"))["spec"] == {"size": "7x9"}
        apply = {"content-type": "application/apply-patch+yaml"}
        applied = box("v2", "a", width=1)
        await api.ok("PATCH", f"{V2}/a?fieldManager=me&force=true", orjson.dumps(applied), apply)
        assert (await api.ok("GET", f"{V1}/a"))["spec"] == {"size": "1x9"}
        assert (await api.ok("DELETE", f"{V2}/a"))["status"] == "Success"

    check(test)


def test_the_schema_of_the_request_judges() -> None:
    async def test(api: Api, converter: Converter) -> None:
        refused = await api.json("POST", V2, box("v2", "a", width=500, height=1))
        assert "spec.width: Invalid value: 500" in refused["message"]
        assert (await api.send("GET", f"{V1}/a")).status == 404

    check(test)


def test_watches_convert() -> None:
    async def test(api: Api, converter: Converter) -> None:
        await api.ok("POST", V1, box("v1", "a", size="3x4"))
        answer = await api.send("GET", f"{V2}?watch=true&timeoutSeconds=5")
        assert answer.stream is not None
        events = [orjson.loads(await anext(answer.stream))]
        await api.ok("PATCH", f"{V1}/a", {"spec": {"size": "5x6"}})
        events.append(orjson.loads(await anext(answer.stream)))
        assert [(one["type"], one["object"]["spec"]["width"]) for one in events] == [("ADDED", 3), ("MODIFIED", 5)]
        await answer.stream.aclose()  # type: ignore[attr-defined]

    check(test)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param(lambda _: None, "failed: no response provided", id="none"),
        pytest.param(lambda one: {**one, "uid": "x"}, 'failed: expected response.uid="', id="uid"),
        pytest.param(
            lambda one: {**one, "result": {"status": "Failed", "message": "cannot"}}, "failed: cannot", id="refused"
        ),
        pytest.param(lambda one: {**one, "convertedObjects": []}, "returned 0 objects, expected 1", id="too-few"),
        pytest.param(
            lambda one: {**one, "convertedObjects": [{**one["convertedObjects"][0], "kind": "Bag"}]},
            "returned invalid object at index 0: invalid kind (expected Box, received Bag)",
            id="kind",
        ),
        pytest.param(
            lambda one: {**one, "convertedObjects": [{**one["convertedObjects"][0], "metadata": {"name": "b"}}]},
            "returned invalid object: must have the same name: a != b",
            id="other-name",
        ),
    ],
)
def test_bad_answers(change: Callable[[Object], Any], text: str) -> None:
    async def test(api: Api, converter: Converter) -> None:
        await api.ok("POST", V1, box("v1", "a", size="3x4"))
        converter.change = change
        for path in (f"{V2}/a", V2):
            answer = await api.json("GET", path)
            assert answer["code"] == 500
            assert answer["message"].startswith("conversion webhook for example.org/v1, Kind=Box ")
            assert text in answer["message"]
        watch = await api.send("GET", f"{V2}?watch=true&timeoutSeconds=5")
        assert watch.stream is not None
        event = orjson.loads(await anext(watch.stream))
        assert event["type"] == "ERROR" and text in event["object"]["message"]
        with pytest.raises(StopAsyncIteration):
            await anext(watch.stream)

    check(test)


def test_nobody_answers() -> None:
    async def test(api: Api, converter: Converter) -> None:
        def fail(_: Object) -> Object:
            raise WebhookFailed("no route to host")

        converter.change = fail
        refused = await api.json("POST", V2, box("v2", "a", width=1, height=1))
        assert refused["message"] == "conversion webhook for example.org/v2, Kind=Box failed: no route to host"
        assert (await api.send("GET", f"{V1}/a")).status == 404

    check(test)


def test_another_storage_version() -> None:
    """What was stored before is converted when it is read; who cannot wait sees its metadata all the same."""

    async def test(api: Api, converter: Converter) -> None:
        made = await api.ok("POST", V1, box("v1", "a", size="3x4"))
        known = await api.ok("GET", f"{DEFINITIONS}/boxes.example.org")
        known["spec"] = definition("v2")["spec"]
        await api.ok("PUT", f"{DEFINITIONS}/boxes.example.org", known)
        await asyncio.sleep(0)
        shown = api.cluster.view.get("example.org/boxes", "n", "a")
        assert shown is not None and shown["metadata"]["uid"] == made["metadata"]["uid"]
        assert (await api.ok("GET", f"{V2}/a"))["spec"] == {"width": 3, "height": 4, "colour": "blue"}
        assert (await api.ok("GET", f"{V1}/a"))["spec"] == {"size": "3x4"}
        await api.ok("DELETE", f"{V1}/a")

    check(test)
