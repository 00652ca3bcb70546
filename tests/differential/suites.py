"""Compares Kloster with a real server on the tests that OpenShift's API brings along for its custom resources:
``python -m tests.differential.suites KUBECONFIG SOURCE [PART…]``.

SOURCE is an unpacked module github.com/openshift/api (`go mod download`); it is read, and nothing of it is kept. A
definition is created on the real server, and deleted again, for each of those whose names contain one of the PARTs.

What may differ: the order of findings about the properties of one object, which upstream takes from a Go map.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from tests.apiserver import hurry, world
from tests.differential.model import Answer
from tests.differential.record import RealServer

from kloster.apiserver.customresources.kinds import builder

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
APPROVAL = {"api-approved.kubernetes.io": "https://github.com/kubernetes/kubernetes/pull/1"}
CHANGING = ("uid", "resourceVersion", "creationTimestamp", "managedFields")

Object = dict[str, Any]
Case = tuple[str, Object, Object | None]


def _documents(path: Path) -> Iterator[Object]:
    try:
        found = list(yaml.load_all(path.read_text(), yaml.CSafeLoader))
    except yaml.YAMLError:
        return  # an anchor twice, which only other readers take
    yield from (document for document in found if isinstance(document, dict))


def _parsed(text: str | None) -> Object:
    found = yaml.load(text or "{}", yaml.CSafeLoader) or {}
    plain: Object = json.loads(json.dumps(found, default=str))
    return plain


def definitions(source: Path) -> dict[tuple[str, str], Object]:
    """By name and first version, with as many fields as there are feature gates for."""
    found: dict[tuple[str, str], Object] = {}
    for path in sorted(source.glob("**/zz_generated.crd-manifests/*.yaml")):
        for document in _documents(path):
            key = (document["metadata"]["name"], document["spec"]["versions"][0]["name"])
            if key not in found or ("CustomNoUpgrade" in path.name and "Hypershift" not in path.name):
                found[key] = document
    return found


def cases(source: Path) -> dict[tuple[str, str], list[Case]]:
    """What is created, and what it is updated to, by name and version of the definition."""
    found: dict[tuple[str, str], list[Case]] = {}
    for path in sorted(source.glob("**/tests/*/*.yaml")):
        suite = next(_documents(path), {})
        tests = suite.get("tests") or {}
        for case in [*(tests.get("onCreate") or ()), *(tests.get("onUpdate") or ())]:
            first = _parsed(case.get("initial"))
            second = _parsed(case["updated"]) if case.get("updated") else None
            version = str(first.get("apiVersion", "")).rpartition("/")[2]
            found.setdefault((suite["crdName"], version), []).append((case["name"], first, second))
    return found


def _named(item: Object, version: str = "") -> Object:
    metadata = {**(item.get("metadata") or {}), "name": "cluster"}
    metadata.pop("namespace", None)
    if version:
        metadata["resourceVersion"] = version
    return {**item, "metadata": metadata}


def _shown(answer: Answer) -> Object:
    body = json.loads(answer.body)
    if body.get("kind") != "Status":
        for name in CHANGING:
            body["metadata"].pop(name, None)
    return {"status": answer.status, "body": body, "warning": answer.headers.get("warning", "")}


def _wait() -> None:
    """For the real server, whose time goes by."""
    time.sleep(0.1)


class Comparison:
    def __init__(self, server: RealServer, api: world.Api) -> None:
        self.server = server
        self.api = api
        self.writes = self.refused = self.different = 0

    async def both(self, method: str, path: str, bodies: tuple[Any, Any] = (None, None)) -> tuple[Answer, Answer]:
        data = b"" if bodies[0] is None else json.dumps(bodies[0]).encode()
        theirs = self.server.send(method, path, {"content-type": "application/json"}, data)
        response = await self.api.send(method, path, bodies[1])
        return theirs, Answer(response.status, response.headers, await world.read(response))

    async def write(self, title: str, method: str, path: str, bodies: tuple[Any, Any]) -> bool:
        theirs, ours = map(_shown, await self.both(method, path, bodies))
        self.writes += 1
        self.refused += theirs["status"] >= 400
        if theirs != ours:
            self.different += 1
            print(f"{method} {path}: {title}\n  - {json.dumps(theirs)}\n  + {json.dumps(ours)}")
        return bool(theirs["status"] < 400)

    async def suite(self, definition: Object, version: str, found: list[Case]) -> None:
        spec, name = definition["spec"], definition["metadata"]["name"]
        made = {**definition, "status": None, "metadata": {"name": name, "annotations": APPROVAL}}
        place = "" if spec["scope"] == "Cluster" else "/namespaces/default"
        path = f"/apis/{spec['group']}/{version}{place}/{spec['names']['plural']}"
        try:
            await self.both("POST", DEFINITIONS, (made, made))
            await self.until(path, 200)
            for title, first, second in found:
                first = _named(first)
                if await self.write(title, "POST", path, (first, first)) and second is not None:
                    stored = [json.loads(each.body)["metadata"] for each in await self.both("GET", f"{path}/cluster")]
                    theirs, ours = (_named(second, each["resourceVersion"]) for each in stored)
                    await self.write(title, "PUT", f"{path}/cluster", (theirs, ours))
                await self.both("DELETE", f"{path}/cluster")
        finally:
            await self.both("DELETE", f"{DEFINITIONS}/{name}")
            await self.until(f"{DEFINITIONS}/{name}", 404)

    async def until(self, path: str, status: int) -> None:
        for _ in range(100):
            if all(each.status == status for each in await self.both("GET", path)):
                return
            _wait()
            await asyncio.sleep(0.1)
        raise TimeoutError(path)


async def compare(server: RealServer, source: Path, parts: list[str]) -> Comparison:
    cluster = await world.make()
    cluster.serve_custom_resources(builder(cluster.catalog))
    comparison = Comparison(server, world.Api(cluster))
    known = definitions(source)
    for (name, version), found in sorted(cases(source).items()):
        if (name, version) in known and (not parts or any(part in name for part in parts)):
            await comparison.suite(known[name, version], version, found)
    return comparison


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    found = hurry.run(compare(RealServer(Path(sys.argv[1])), Path(sys.argv[2]), sys.argv[3:]))
    print(f"{found.writes} writes, {found.refused} of them refused; {found.different} answered differently")


if __name__ == "__main__":
    main()
