"""Records a real server's OpenAPI documents as digests, the schemas of custom resources in full.

``python -m tools.reference.golden_openapi KUBECONFIG [--compare]``. With ``--compare``, nothing is written: what
Kloster's documents have in another way is printed instead.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from tests.golden.openapi import digests
from tools.reference.kubeconfig import Server

from kloster.apiserver.openapi.builtin import built_in
from kloster.kinds import catalog

_FOLDER = Path(__file__).parents[2] / "tests" / "golden" / "openapi"
_PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
_DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def main() -> None:
    server = Server(Path(sys.argv[1]))
    minor = ".".join(server.get("/version")["gitVersion"].removeprefix("v").split(".")[:2])
    upstream = dict(_documents(server, minor))
    if "--compare" in sys.argv:
        for name, found in digests.documents(built_in(catalog.catalog(minor))):
            print("\n".join(_differences(found, upstream[name], name)) or f"{name}: equal")
        return
    lines = {name: digests.digest(document) for name, document in upstream.items()}
    (_FOLDER / f"{minor}.json").write_text(json.dumps(lines, indent=0) + "\n")
    (_FOLDER / "custom.json").write_text(json.dumps(_custom(server), indent=0) + "\n")


def _documents(server: Server, minor: str) -> Iterator[tuple[str, Any]]:
    index = server.get("/openapi/v3")["paths"]
    for path in built_in(catalog.catalog(minor)).paths:
        yield path, server.get(index[path]["serverRelativeURL"])
    yield from digests.parts(server.get("/openapi/v2"))
    yield "v2 protobuf", digests.binary(server.request("GET", "/openapi/v2", accept=_PROTOBUF))


def _custom(server: Server) -> Any:
    """What the server publishes about the definitions of custom.yaml."""
    items = list(yaml.safe_load_all((_FOLDER / "custom.yaml").read_text()))
    group = items[0]["spec"]["group"]
    wanted = {f"apis/{group}/{version['name']}" for item in items for version in item["spec"]["versions"]}
    try:
        for item in items:
            server.request("POST", _DEFINITIONS, item)
        deadline = time.monotonic() + 60
        while not wanted <= server.get("/openapi/v3")["paths"].keys() and time.monotonic() < deadline:
            time.sleep(1)
        time.sleep(5)  # several definitions come into one document one by one
        index = server.get("/openapi/v3")["paths"]
        documents = {path: server.get(index[path]["serverRelativeURL"]) for path in sorted(wanted)}
        return digests.custom(documents, server.get("/openapi/v2"), group)
    finally:
        for item in items:
            server.request("DELETE", f"{_DEFINITIONS}/{item['metadata']['name']}")


def _differences(found: Any, wanted: Any, place: str) -> Iterator[str]:
    if isinstance(found, dict) and isinstance(wanted, dict):
        for key in {**found, **wanted}:
            if key not in found or key not in wanted:
                yield f"{place}: {'extra' if key in found else 'missing'} {key}"
            else:
                yield from _differences(found[key], wanted[key], f"{place}/{key}")
    elif isinstance(found, list) and isinstance(wanted, list) and len(found) == len(wanted):
        for index, (left, right) in enumerate(zip(found, wanted, strict=True)):
            yield from _differences(left, right, f"{place}[{index}]")
    elif found != wanted:
        yield f"{place}: {str(found)[:200]} instead of {str(wanted)[:200]}"


if __name__ == "__main__":
    main()
