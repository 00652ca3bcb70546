"""GET, LIST and their forms, beyond what the comparison with a real server covers."""

from __future__ import annotations

import asyncio

import orjson
import pytest
import yaml
from tests.apiserver import world
from tests.apiserver.world import ADMIN, Api, on_cluster, read

from kloster.apiserver import options, pipeline, yaml_text
from kloster.apiserver.cluster import ServedCluster
from kloster.apiserver.options import Token
from kloster.client.transport import Request, Response
from kloster.kinds.catalog import MINORS
from kloster.stores.api import Key

MAPS = "/api/v1/namespaces/n/configmaps"


def test_reading_an_object_makes_no_coroutine() -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        request = Request("GET", "/api/v1/namespaces/n", headers={"accept": "application/json"}, user=ADMIN)
        assert isinstance(pipeline.handle(cluster, request), Response)

    on_cluster(body)


def test_a_document_is_the_stored_bytes() -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        await api.ok("POST", MAPS, {"metadata": {"name": "a"}, "data": {"k": "<&>"}})
        entry = cluster.store.get(Key("/configmaps", "n", "a"))
        assert entry is not None
        answer = await api.send("GET", f"{MAPS}/a")
        prefix = b'{"kind":"ConfigMap","apiVersion":"v1",'
        assert answer.body == b"%b%b%d%b\n" % (prefix, entry.head, entry.revision, entry.tail)
        assert b"\\u003c\\u0026\\u003e" in answer.body

    on_cluster(body)


@pytest.mark.parametrize(
    ("agent", "query", "pretty"),
    [
        ("curl/8", "", True),
        ("curl/8", "?pretty=0", False),
        ("kubectl/1", "", False),
        ("kubectl/1", "?pretty=1", True),
        ("kubectl/1", "?pretty=", False),
    ],
    ids=["curl", "curl-refuses", "kubectl", "kubectl-asks", "empty"],
)
def test_indented_for_people(agent: str, query: str, pretty: bool) -> None:
    async def body(cluster: ServedCluster, _: Api) -> None:
        answer = await Api(cluster, agent=agent).send("GET", f"/api/v1/namespaces/n{query}")
        assert (answer.body.count(b"\n") > 5) is pretty

    on_cluster(body)


def test_a_long_list_comes_in_slices_and_whole() -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        for number in range(520):
            await api.ok("POST", MAPS, {"metadata": {"name": f"m{number:03}"}, "data": {"x": "y" * 10_000}})
        answer = await api.send("GET", MAPS)
        assert answer.stream is not None
        chunks = [chunk async for chunk in answer.stream]
        assert len(chunks) > 4
        found = await api.ok("GET", MAPS)
        names = [item["metadata"]["name"] for item in found["items"]]
        assert names == ["kube-root-ca.crt", *(f"m{number:03}" for number in range(520))]

    on_cluster(body)


FORMS = {
    "JSON": {},
    "YAML": {"accept": "application/yaml"},
    "table": {"accept": "application/json;as=Table;g=meta.k8s.io;v=v1"},
    "metadata": {"accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"},
    "metadata in YAML": {"accept": "application/yaml;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"},
}


@pytest.mark.parametrize("count", [0, 1, 3, 60])
@pytest.mark.parametrize("pretty", ["", "?pretty=true"])
@pytest.mark.parametrize("headers", FORMS.values(), ids=FORMS.keys())
def test_slices_make_one_document(headers: dict[str, str], pretty: str, count: int) -> None:
    """However many slices there are, it is the text that one encoder would write."""

    async def body(cluster: ServedCluster, api: Api) -> None:
        path = "/api/v1/namespaces/n/secrets"
        for number in range(count):
            await api.ok("POST", path, {"metadata": {"name": f"m{number:03}"}, "stringData": {"x": "y\n" * 1_000}})
        text = await read(await api.send("GET", path + pretty, headers=headers))
        yaml_asked = "yaml" in headers.get("accept", "")
        value = yaml.safe_load(text) if yaml_asked else orjson.loads(text)
        assert len(value["rows" if "Table" in headers.get("accept", "") else "items"]) == count
        if yaml_asked:
            assert text == yaml_text.dump(value)
        else:
            assert text == (orjson.dumps(value, option=orjson.OPT_INDENT_2) if pretty else orjson.dumps(value) + b"\n")

    on_cluster(body)


def test_pages_show_the_state_of_the_first() -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        for name in ("a", "b", "c"):
            await api.ok("POST", MAPS, {"metadata": {"name": name}})
        first = await api.ok("GET", f"{MAPS}?limit=2")
        assert first["metadata"]["remainingItemCount"] == 2
        await api.ok("DELETE", f"{MAPS}/c")
        await api.ok("POST", MAPS, {"metadata": {"name": "d"}})
        second = await api.ok("GET", f"{MAPS}?limit=2&continue={first['metadata']['continue']}")
        assert [item["metadata"]["name"] for item in second["items"]] == ["c", "kube-root-ca.crt"]
        assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        assert "continue" not in second["metadata"]

    on_cluster(body)


def test_a_page_whose_state_is_forgotten_answers_with_a_token_for_the_newest() -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        for name in ("a", "b", "c"):
            await api.ok("POST", MAPS, {"metadata": {"name": name}})
        token = (await api.ok("GET", f"{MAPS}?limit=2"))["metadata"]["continue"]
        await api.ok("POST", MAPS, {"metadata": {"name": "d"}})
        cluster.store.compact(cluster.store.revision)
        expired = await api.json("GET", f"{MAPS}?limit=2&continue={token}")
        assert (expired["code"], expired["reason"]) == (410, "Expired")
        rest = await api.ok("GET", f"{MAPS}?continue={expired['metadata']['continue']}")
        assert [item["metadata"]["name"] for item in rest["items"]] == ["c", "d", "kube-root-ca.crt"]

    on_cluster(body)


@pytest.mark.parametrize("token", [Token(7, ("n", "a")), Token(-1, ("", "with/slash"))], ids=["place", "newest"])
def test_tokens_survive_the_round_trip(token: Token) -> None:
    assert options.decode_token(options.encode_token(token)) == token


@pytest.mark.parametrize("minor", MINORS)
def test_every_kind_of_every_minor_can_be_listed_in_every_form(minor: str) -> None:
    async def main() -> None:
        cluster = await world.make(minor)
        await world.namespace(cluster, "n")
        api = Api(cluster)
        for served in cluster.resources:
            if "list" not in served.kind.verbs or served.plural == "componentstatuses":
                continue
            path = served.resource.path()
            assert (await api.ok("GET", path))["kind"] == served.list_kind
            as_table = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
            table = await api.ok("GET", path, headers=as_table)
            if served.plural != "ipaddresses":  # upstream gives them an age without a column, too
                for row in table["rows"]:
                    assert len(row["cells"]) == len(table["columnDefinitions"]), path
            as_metadata = {"accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}
            assert (await api.ok("GET", path, headers=as_metadata))["kind"] == "PartialObjectMetadataList"

    asyncio.run(main())


def test_events_are_one_in_two_groups() -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        about = {"kind": "Pod", "namespace": "n", "name": "p"}
        event = {"metadata": {"name": "e"}, "involvedObject": about, "reason": "R", "message": "M"}
        await api.ok("POST", "/api/v1/namespaces/n/events", event)
        found = await api.ok("GET", "/apis/events.k8s.io/v1/namespaces/n/events/e")
        assert (found["regarding"]["name"], found["note"], found["apiVersion"]) == ("p", "M", "events.k8s.io/v1")
        patched = await api.ok(
            "PATCH", "/apis/events.k8s.io/v1/namespaces/n/events/e", {"metadata": {"labels": {"l": "m"}}}
        )
        assert patched["note"] == "M"
        assert (await api.ok("GET", "/api/v1/namespaces/n/events/e"))["metadata"]["labels"] == {"l": "m"}

    on_cluster(body)


def test_bytes_of_an_older_stamp_are_defaulted_when_read() -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        await api.ok("POST", "/api/v1/namespaces/n/secrets", {"metadata": {"name": "s"}})
        key = Key("/secrets", "n", "s")
        entry = cluster.store.get(key)
        assert entry is not None
        entry.version = "v1@1.1"
        entry.tail = entry.tail.replace(b',"type":"Opaque"', b"")
        assert (await api.ok("GET", "/api/v1/namespaces/n/secrets/s"))["type"] == "Opaque"
        await api.ok("PATCH", "/api/v1/namespaces/n/secrets/s", {"metadata": {"labels": {"l": "m"}}})
        rewritten = cluster.store.get(key)
        assert rewritten is not None
        assert rewritten.version == "v1@1.34"
        assert b'"type":"Opaque"' in rewritten.tail

    on_cluster(body)
