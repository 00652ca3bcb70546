"""Small requests that ask for enormous work: each must be refused, or answered, before anybody else notices.

All clusters of a process share one event loop, so what one tenant's request computes, everybody waits for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from tests.apiserver import world
from tests.attacks.bounds import bounded

from kloster.apimachinery import Object
from kloster.apiserver.authorization.rbac import Rbac
from kloster.apiserver.authorization.stored import StoredRoles
from kloster.apiserver.cluster import ServedCluster
from kloster.apiserver.customresources.kinds import builder
from kloster.client.transport import User

MAPS = "/api/v1/namespaces/default/configmaps"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
THINGS = "/apis/ex.io/v1/namespaces/default/things"
YAML = {"content-type": "application/yaml"}
FREE: Object = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
TABLE = {"accept": "application/json;as=Table;g=meta.k8s.io;v=v1"}


async def cluster() -> tuple[ServedCluster, world.Api]:
    made = await world.make()
    made.serve_custom_resources(builder(made.catalog))
    return made, world.Api(made)


async def define(api: world.Api, schema: Object, **version: Any) -> None:
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, **version}
    names = {"plural": "things", "kind": "Thing"}
    spec = {"group": "ex.io", "scope": "Namespaced", "names": names, "versions": [version]}
    body = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": spec}
    await api.ok("POST", DEFINITIONS, {**body, "metadata": {"name": "things.ex.io"}})


def thing(spec: Any) -> Object:
    return {"apiVersion": "ex.io/v1", "kind": "Thing", "metadata": {"name": "a"}, "spec": spec}


def aliases(levels: int, each: int, merge: bool) -> bytes:
    """A document of aliases of aliases: `each` to the power of `levels` values, in a few hundred bytes."""
    lines = ["kind: Thing", "apiVersion: ex.io/v1", "metadata: {name: a}"]
    lines.append("a0: &a0 {x: 1, y: 2, z: 3}" if merge else "a0: &a0 [x, x, x]")
    for level in range(1, levels):
        below = ", ".join([f"*a{level - 1}"] * each)
        lines.append(f"a{level}: &a{level} " + (f"{{<<: [{below}]}}" if merge else f"[{below}]"))
    return "\n".join(lines).encode()


DEEP = b"metadata: {name: a}\ndata: "
DOCUMENTS = {
    "aliases": aliases(12, 10, merge=False),
    "aliases of two": aliases(40, 2, merge=False),
    "merges": aliases(12, 10, merge=True),
    "an anchor inside itself": b"metadata: {name: a}\nx: &a [*a]",
    "open flow sequences": DEEP + b"[" * 1_000_000,
    "flow sequences": DEEP + b"[" * 600 + b"]" * 600,
    "block sequences": DEEP + b"\n  " + b"- " * 100_000,
    "a decimal number of a million digits": b"x: 1" + b"2" * 1_000_000,
    "a million values": b"x: [" + b"1," * 1_000_000 + b"]",
    "a million keys": b"x: {" + b"a: b," * 500_000 + b"}",
    "a hexadecimal number of a million digits": b"x: 0x" + b"2" * 1_000_000,
}


class TestYaml:
    @pytest.mark.parametrize("body", DOCUMENTS.values(), ids=DOCUMENTS.keys())
    @pytest.mark.parametrize("way", ["create", "apply"])
    def test_is_refused(self, body: bytes, way: str) -> None:
        async def go() -> None:
            _, api = await cluster()
            await define(api, FREE)
            with bounded():
                if way == "create":
                    answer = await api.send("POST", THINGS, body, YAML)
                else:
                    headers = {"content-type": "application/apply-patch+yaml"}
                    answer = await api.send("PATCH", THINGS + "/a?fieldManager=x", body, headers)
            assert answer.status == 400, answer.body[:500]

        asyncio.run(go())

    def test_a_few_aliases_are_welcome(self) -> None:
        async def go() -> None:
            _, api = await cluster()
            body = b"metadata: {name: a, labels: &l {a: b}, annotations: *l}\ndata: {<<: *l, c: d}"
            made = await api.ok("POST", MAPS, body, YAML)
            assert made["metadata"]["annotations"] == {"a": "b"}
            assert made["data"] == {"a": "b", "c": "d"}

        asyncio.run(go())


def doubling() -> Iterator[Object]:
    for number in range(40):
        yield {"op": "copy", "from": "/data", "path": f"/data/c{number}"}


class TestPatches:
    def test_copies_of_copies(self) -> None:
        async def go() -> None:
            _, api = await cluster()
            await api.ok("POST", MAPS, {"metadata": {"name": "a"}, "data": {"x": "y" * 1000}})
            headers = {"content-type": "application/json-patch+json"}
            with bounded():
                answer = await api.send("PATCH", MAPS + "/a", orjson.dumps(list(doubling())), headers)
            assert answer.status == 422

        asyncio.run(go())

    def test_as_much_may_be_copied_as_upstream_allows(self) -> None:
        async def go() -> None:
            _, api = await cluster()
            await api.ok("POST", MAPS, {"metadata": {"name": "a"}, "data": {"x": "y" * 1000}})
            headers = {"content-type": "application/json-patch+json"}
            patch = [{"op": "copy", "from": "/data/x", "path": f"/data/c{number}"} for number in range(500)]
            answer = await api.send("PATCH", MAPS + "/a", orjson.dumps(patch), headers)
            assert answer.status == 200, answer.body

        asyncio.run(go())


def nested(levels: int) -> Any:
    value: Any = "z"
    for _ in range(levels):
        value = {"a": value}
    return value


DEEP_JSON = {"objects": b'{"a":' * 900 + b"1" + b"}" * 900, "lists": b'{"a":' + b"[" * 900 + b"]" * 900 + b"}"}
PATCHES = {
    "merge-patch+json": "error decoding patch: invalid character '%s' exceeded max depth",
    "strategic-merge-patch+json": "invalid character '%s' exceeded max depth",
    "json-patch+json": "error decoding patch: invalid character '%s' exceeded max depth",
    "apply-patch+yaml": "error decoding YAML: error converting YAML to JSON: yaml: exceeded max depth of 10000",
}


class TestNesting:
    """Upstream says this of ten thousand levels; the encoder here goes 254 deep."""

    @pytest.mark.parametrize("shape", DEEP_JSON)
    @pytest.mark.parametrize("media", PATCHES)
    def test_is_refused_in_upstreams_words(self, media: str, shape: str) -> None:
        async def go() -> None:
            _, api = await cluster()
            await api.ok("POST", MAPS, {"metadata": {"name": "a"}})
            body, text = DEEP_JSON[shape], PATCHES[media]
            if media.startswith("json"):
                body = b'[{"op":"add","path":"/x","value":' + body + b"}]"
            elif media.startswith("apply"):
                body = b'{"apiVersion":"v1","kind":"ConfigMap","x":' + body + b"}"
            headers, target = {"content-type": f"application/{media}"}, MAPS + "/a"
            if media.startswith("apply"):
                target += "?fieldManager=x"
            answer = await api.send("PATCH", target, body, headers)
            assert answer.status == 400, answer.body[:500]
            bracket = "{" if shape == "objects" else "["
            assert orjson.loads(answer.body)["message"] == (text % bracket if "%s" in text else text)

        asyncio.run(go())

    def test_by_copying(self) -> None:
        async def go() -> None:
            _, api = await cluster()
            await api.ok("POST", MAPS, {"metadata": {"name": "a"}})
            deeper = [{"op": "add", "path": "/x", "value": {}}]
            deeper += [{"op": "copy", "from": "/x", "path": "/x" + "/x" * level} for level in range(1, 12)]
            headers = {"content-type": "application/json-patch+json"}
            with bounded():
                answer = await api.send("PATCH", MAPS + "/a", orjson.dumps(deeper), headers)
            assert answer.status < 500, answer.body[:500]

        asyncio.run(go())

    @pytest.mark.parametrize("media", ["json", "yaml"])
    def test_of_bodies(self, media: str) -> None:
        async def go() -> None:
            _, api = await cluster()
            body = b'{"metadata":{"name":"a"},"x":' + DEEP_JSON["objects"] + b"}"
            answer = await api.send("POST", MAPS, body, {"content-type": f"application/{media}"})
            assert answer.status == 400, answer.body[:500]

        asyncio.run(go())


PATHS = {
    "recursion": "..a..a..a..a..a..a",
    "unions": ".spec" + "[*,*,*,*,*,*,*,*,*,*]" * 10,
    "a filter in a recursion": '..a[?(@..a..a..a..a=="z")]',
    "one that is a megabyte long": ".spec" + ".a" * 500_000,
}


class TestDefinitions:
    @pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
    def test_columns_stay_empty(self, path: str) -> None:
        async def go() -> None:
            _, api = await cluster()
            with bounded():
                await define(api, FREE, additionalPrinterColumns=[{"name": "X", "type": "string", "jsonPath": path}])
                await api.ok("POST", THINGS, thing(nested(60)))
                assert await api.ok("GET", THINGS, headers=TABLE)

        asyncio.run(go())

    @pytest.mark.parametrize("default", [list(range(10_000)), "x" * 100_000], ids=["items", "text"])
    def test_defaults_multiply(self, default: Any) -> None:
        async def go() -> None:
            _, api = await cluster()
            kind = {"type": "string"} if isinstance(default, str) else {"type": "array", "items": {"type": "integer"}}
            item = {"type": "object", "properties": {"x": {**kind, "default": default}}}
            await define(api, {"type": "object", "properties": {"spec": {"type": "array", "items": item}}})
            with bounded():
                answer = await api.send("POST", THINGS, thing([{}] * 50_000))
            assert answer.status == 413, answer.body[:500]
            assert (await api.ok("POST", THINGS, thing([{}])))["spec"] == [{"x": default}]

        asyncio.run(go())

    def test_patterns_that_backtrack(self) -> None:
        async def go() -> None:
            _, api = await cluster()
            text = {"type": "string", "pattern": "^(a+)+$"}
            await define(api, {"type": "object", "properties": {"spec": text}})
            with bounded():
                answer = await api.send("POST", THINGS, thing("a" * 100_000 + "!"))
            assert answer.status == 422

        asyncio.run(go())


BODIES = {
    "keys": b'{"data":{' + b",".join(b'"%d":""' % number for number in range(250_000)) + b"}}",
    "lists": b'{"x":[' + b"[]," * 900_000 + b"[]]}",
    "numbers": b'{"x":[' + b"1," * 1_500_000 + b"1]}",
}


class TestValues:
    @pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
    @pytest.mark.parametrize("media", ["", "json-patch", "merge-patch", "strategic-merge-patch"])
    def test_are_counted(self, body: bytes, media: str) -> None:
        async def go() -> None:
            _, api = await cluster()
            await api.ok("POST", MAPS, {"metadata": {"name": "a"}})
            with bounded(3.0):
                if media:
                    headers = {"content-type": f"application/{media}+json"}
                    answer = await api.send("PATCH", MAPS + "/a", body, headers)
                else:
                    answer = await api.send("POST", MAPS, body)
            assert answer.status == 413, answer.body

        asyncio.run(go())

    def test_mistakes_are_counted(self) -> None:
        async def go() -> None:
            _, api = await cluster()
            with bounded(3.0):
                body = {"metadata": {"name": "a"}, "data": {f"%{number}": "" for number in range(90_000)}}
                answer = await api.send("POST", MAPS, body)
            assert answer.status == 422
            assert len(orjson.loads(answer.body)["details"]["causes"]) == 1000

        asyncio.run(go())

    def test_a_text_may_have_any_number_of_commas(self) -> None:
        async def go() -> None:
            _, api = await cluster()
            await api.ok("POST", MAPS, {"metadata": {"name": "a"}, "data": {"csv": "1," * 500_000}})

        asyncio.run(go())


SELECTORS = {
    "many requirements": "labelSelector=" + ",".join(f"k{number}!=a" for number in range(50_000)),
    "many values": "labelSelector=k+in+(" + ",".join(f"v{number}" for number in range(50_000)) + ")",
    "many terms": "fieldSelector=" + ",".join(["metadata.name!=b"] * 50_000),
}


class TestReading:
    @pytest.mark.parametrize("query", SELECTORS.values(), ids=SELECTORS.keys())
    def test_selectors(self, query: str) -> None:
        async def go() -> None:
            _, api = await cluster()
            for number in range(50):
                await api.ok("POST", MAPS, {"metadata": {"name": f"a{number}", "labels": {"k": "v"}}})
            with bounded(0.5):
                answer = await api.send("GET", f"{MAPS}?{query}")
            assert answer.status == 400

        asyncio.run(go())

    def test_accept(self) -> None:
        async def go() -> None:
            _, api = await cluster()
            header = "application/json," + ",".join(f"a/b{number}" for number in range(100_000))
            with bounded(0.2):
                for _ in range(5):
                    assert (await api.send("GET", MAPS, headers={"accept": header})).status == 200

        asyncio.run(go())


USERS = {
    "anybody": User("system:anonymous", groups=("system:unauthenticated",)),
    "with a great name": User("x" * 1_000_000),
    "in many groups": User("x", groups=tuple(f"group-{number}" for number in range(50_000))),
}


class TestMemory:
    """What strangers send is not kept: four thousand paths of a megabyte would be all of the memory."""

    @pytest.mark.parametrize("user", USERS.values(), ids=USERS.keys())
    @pytest.mark.parametrize("path", ["/%d", "/apis/%d/v1/x", "/api/v1/namespaces/%d/pods"])
    def test_of_decisions(self, user: User, path: str) -> None:
        async def go() -> None:
            made, _ = await cluster()
            view = made.view
            rbac = Rbac(StoredRoles(made.store, lambda entry: view.object(entry) or {}))
            made.authorizer = rbac
            for number in range(20):
                await world.Api(made, user).send("GET", (path % number) + "a" * 1_000_000)
            assert not rbac._decisions
            assert sum(map(len, rbac._bindings)) < 10_000
            assert sum(len(key[0]) + sum(map(len, key[1])) + len(key[2]) for key in rbac._grants) < 10_000

        asyncio.run(go())
