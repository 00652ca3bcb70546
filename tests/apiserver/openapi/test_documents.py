"""OpenAPI documents are those that a real kube-apiserver publishes."""

from __future__ import annotations

import asyncio
import json
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.apiserver import world
from tests.golden.openapi import digests

from kloster.apimachinery.openapi.definitions import references
from kloster.apiserver.customresources.kinds import builder
from kloster.apiserver.openapi.answers import OpenAPI
from kloster.apiserver.openapi.builtin import built_in
from kloster.kinds.catalog import MINORS, catalog

_GOLDEN = Path(__file__).parents[2] / "golden" / "openapi"


def test_built_in_documents_equal_upstreams() -> None:
    wanted = json.loads((_GOLDEN / "1.34.json").read_bytes())
    found = {name: digests.digest(document) for name, document in digests.documents(built_in(catalog("1.34")))}
    assert [name for name in wanted if found.get(name) != wanted[name]] == []
    assert found.keys() == wanted.keys()


@pytest.mark.parametrize("minor", MINORS)
def test_every_minor_has_complete_documents(minor: str) -> None:
    made = built_in(catalog(minor))
    for path, document in digests.documents(made):
        if path.startswith("v2"):
            continue
        assert document["info"]["version"] == minor
        schemas = document["components"].get("schemas", {})
        assert set(references(document)) == schemas.keys(), path
    kinds = {kind.kind for kind in catalog(minor).kinds.values()}
    definitions = json.loads(made.swagger.text)["definitions"]
    published = {
        gvk["kind"] for schema in definitions.values() for gvk in schema.get("x-kubernetes-group-version-kind", ())
    }
    assert kinds <= published


async def _served() -> tuple[Any, world.Api]:
    cluster = await world.make()
    cluster.serve_custom_resources(builder(cluster.catalog))
    cluster.ports.openapi = OpenAPI()
    return cluster, world.Api(cluster)


def test_custom_documents_equal_upstreams() -> None:
    async def run() -> None:
        cluster, api = await _served()
        definitions = list(yaml.safe_load_all((_GOLDEN / "custom.yaml").read_text()))
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        for definition in definitions:
            await api.ok("POST", path, definition)
        group = definitions[0]["spec"]["group"]
        index = await api.json("GET", "/openapi/v3")
        urls = {name: item["serverRelativeURL"] for name, item in index["paths"].items() if group in name}
        documents = {name: await api.json("GET", url) for name, url in urls.items()}
        found = digests.custom(documents, await api.json("GET", "/openapi/v2"), group)
        wanted = json.loads((_GOLDEN / "custom.json").read_bytes())
        for name, expected in wanted.items():
            assert found[name]["schemas"] == expected["schemas"], name
        assert found == wanted
        for definition in definitions:
            await api.ok("DELETE", f"{path}/{definition['metadata']['name']}")
        cluster.close()

    asyncio.run(run())


def test_custom_resources_in_protobuf() -> None:
    async def run() -> None:
        cluster, api = await _served()
        accept = {"accept": "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"}
        before = await api.send("GET", "/openapi/v2", headers=accept)
        assert before.headers["content-type"] == "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
        definition = next(yaml.safe_load_all((_GOLDEN / "custom.yaml").read_text()))
        await api.ok("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        after = await api.send("GET", "/openapi/v2", headers=accept)
        assert b"example.kloster.openapi.v1.CronTab" in after.body
        assert b"/apis/openapi.kloster.example/v1/namespaces/{namespace}/crontabs" in after.body
        assert digests.binary(after.body) == digests.binary(before.body)
        cluster.close()

    asyncio.run(run())


def test_a_definition_changes_its_own_document_only() -> None:
    async def run() -> None:
        cluster, api = await _served()
        before = (await api.json("GET", "/openapi/v3"))["paths"]
        first = (await api.send("GET", "/openapi/v2")).headers["etag"]
        definition = next(yaml.safe_load_all((_GOLDEN / "custom.yaml").read_text()))
        path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        created = await api.ok("POST", path, definition)
        between = (await api.json("GET", "/openapi/v3"))["paths"]
        assert between.items() > before.items()
        assert len(between) == len(before) + 2
        assert (await api.send("GET", "/openapi/v2")).headers["etag"] != first
        created["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["description"] = "Another text"
        await api.ok("PUT", f"{path}/{definition['metadata']['name']}", created)
        after = (await api.json("GET", "/openapi/v3"))["paths"]
        changed = [name for name in after if after[name] != between[name]]
        assert changed == ["apis/openapi.kloster.example/v1"]
        document = await api.json("GET", after[changed[0]]["serverRelativeURL"])
        schema = document["components"]["schemas"]["example.kloster.openapi.v1.CronTab"]
        assert schema["description"] == "Another text"
        await api.ok("DELETE", f"{path}/{definition['metadata']['name']}")
        await asyncio.sleep(0)
        assert (await api.json("GET", "/openapi/v3"))["paths"] == before
        cluster.close()

    asyncio.run(run())


def test_the_index_decodes_no_definition_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        cluster, api = await _served()
        definition = next(yaml.safe_load_all((_GOLDEN / "custom.yaml").read_text()))
        await api.ok("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        first = await api.json("GET", "/openapi/v3")
        monkeypatch.setattr(type(cluster.view), "get", lambda *_: pytest.fail("a definition was decoded"))
        assert await api.json("GET", "/openapi/v3") == first
        monkeypatch.undo()
        cluster.close()

    asyncio.run(run())


def test_caching() -> None:
    async def run() -> None:
        _, api = await _served()
        url = (await api.json("GET", "/openapi/v3"))["paths"]["apis/apps/v1"]["serverRelativeURL"]
        plain, _, mark = url.partition("?hash=")
        kept = await api.send("GET", url)
        assert kept.headers["cache-control"] == "public, immutable"
        assert kept.headers["expires"].endswith("GMT")
        loose = await api.send("GET", plain)
        assert (loose.headers["cache-control"], loose.headers["etag"]) == ("no-cache, private", f'"{mark}"')
        assert loose.body == kept.body
        same = await api.send("GET", plain, headers={"if-none-match": f'"{mark}"'})
        assert (same.status, same.body) == (304, b"")
        moved = await api.send("GET", f"{plain}?hash=OLD")
        assert (moved.status, moved.headers["location"]) == (301, url)
        swagger = await api.send("GET", "/openapi/v2")
        again = await api.send("GET", "/openapi/v2", headers={"if-none-match": swagger.headers["etag"]})
        assert (again.status, again.body) == (304, b"")

    asyncio.run(run())


def test_a_compressed_document_is_sent_as_it_is_kept() -> None:
    async def run() -> None:
        _, api = await _served()
        path = "/openapi/v3/apis/apps/v1"
        plain = await api.send("GET", path)
        packed = await api.send("GET", path, headers={"accept-encoding": "gzip"})
        assert packed.headers["Content-Encoding"] == "gzip"
        assert zlib.decompress(packed.body, 31) == plain.body
        small = await api.send("GET", "/openapi/v3/version", headers={"accept-encoding": "gzip"})
        assert "Content-Encoding" not in small.headers
        assert small.body.startswith(b"{")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("path", "accept", "status"),
    [
        pytest.param("/openapi/v3", "", 200, id="index"),
        pytest.param("/openapi/v3/", "", 404, id="index with a slash"),
        pytest.param("/openapi/v3/apis/nope/v1", "", 404, id="unknown document"),
        pytest.param("/openapi/v1", "", 404, id="unknown version"),
        pytest.param("/openapi/v3/version", "application/json", 200, id="json"),
        pytest.param("/openapi/v3/version", "application/*", 200, id="any application"),
        pytest.param("/openapi/v3/version", "text/html, */*;q=0.1", 200, id="anything, if it must be"),
        pytest.param("/openapi/v3/version", "application/yaml", 406, id="yaml"),
        pytest.param("/openapi/v2", "text/html", 406, id="html"),
        pytest.param("/openapi/v2", "application/com.github.proto-openapi.spec.v2@v1.0+protobuf", 200, id="protobuf"),
        pytest.param(
            "/openapi/v3/version",
            "application/com.github.proto-openapi.spec.v3@v1.0+protobuf",
            406,
            id="no protobuf of version 3",
        ),
    ],
)
def test_paths_and_forms(path: str, accept: str, status: int) -> None:
    async def run() -> None:
        _, api = await _served()
        answer = await api.send("GET", path, headers={"accept": accept} if accept else {})
        assert answer.status == status
        assert (status == 200) == bool(answer.body) or path == "/openapi/v1"

    asyncio.run(run())


def test_making_a_document_lets_others_through() -> None:
    async def run() -> None:
        cluster, api = await _served()
        built_in.cache_clear()
        slow = asyncio.create_task(api.send("GET", "/openapi/v2"))
        waits = []
        while not slow.done():
            begin = time.monotonic()
            await asyncio.sleep(0.001)
            waits.append(time.monotonic() - begin)
        assert (await slow).status == 200
        assert len(waits) > 5
        assert cluster.catalog.minor == "1.34"

    asyncio.run(run())
