"""Records a fresh, real API server as a directory of plain JSON files, the input of `packing`.

The server should have just been started, without controllers: what it holds is what a new cluster contains. Field
selectors are found by trying those that any recorded version knows. Go types are not told by a server: they are read
off upstream's Go modules of the same version (``gotypes/main.go``; needs Go and its module proxy).
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.reference.kubeconfig import Server

_AGGREGATED = "application/json;as=APIGroupDiscoveryList;v=v2;g=apidiscovery.k8s.io"
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
# What belongs to the running server rather than to a new cluster.
_TRANSIENT = {"endpoints", "endpointslices", "events", "leases", "secrets", "serviceaccounts", "componentstatuses"}
_OWN = ("uid", "resourceVersion", "creationTimestamp", "managedFields")
_USUAL_SELECTORS = ["metadata.name", "metadata.namespace"]
_GO_MODULES = ("client-go", "apiextensions-apiserver", "apimachinery", "kube-aggregator")


def record(minor: str, kubeconfig: Path, folder: Path) -> None:
    """Write everything about the server of `kubeconfig` into `folder`. Raises SystemExit if it is another minor."""
    server = Server(kubeconfig)
    version = server.get("/version")
    if not version["gitVersion"].startswith(f"v{minor}."):
        raise SystemExit(f"expected a server of Kubernetes {minor}, found {version['gitVersion']}")
    folder.mkdir(parents=True, exist_ok=True)
    discovery = {root: _discovery(server, root) for root in ("/api", "/apis")}
    resources = list(_resources(discovery))
    known = _known_selectors(folder.parent)
    files = {
        "discovery": discovery,
        "version": _facts(server, version),
        "storage-version-hashes": _storage_hashes(server, resources),
        "printer-columns": {key: _columns(server, path) for key, path, _ in resources},
        "field-selectors": {key: found for key, path, _ in resources if (found := _selectors(server, path, known))},
        "bootstrap-objects": list(_objects(server, discovery)),
        "types": _go_types(version["gitVersion"].removeprefix("v")),
    }
    for name, content in files.items():
        (folder / f"{name}.json").write_text(
            json.dumps(content, indent=0, sort_keys=name == "bootstrap-objects") + "\n"
        )


def _discovery(server: Server, root: str) -> list[Any]:
    items = server.get(root, _AGGREGATED)["items"]
    for item in items:
        item["metadata"].pop("creationTimestamp", None)
    return list(items)


def _resources(discovery: dict[str, list[Any]]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """(``group/version/plural``, path, discovery item) of everything that can be listed."""
    for root, groups in discovery.items():
        for group in groups:
            for version in group["versions"]:
                api_version = "/".join(filter(None, (group["metadata"].get("name"), version["version"])))
                for item in version["resources"]:
                    if "list" in item["verbs"]:
                        yield f"{api_version}/{item['resource']}", f"{root}/{api_version}/{item['resource']}", item


def _facts(server: Server, version: dict[str, Any]) -> dict[str, Any]:
    build = ("gitCommit", "gitTreeState", "buildDate", "goVersion", "compiler")
    return {
        "version": {name: value for name, value in version.items() if name not in build},
        "openapi_v3_paths": sorted(server.get("/openapi/v3")["paths"]),
        "readyz": server.request("GET", "/readyz?verbose").decode().split("\n"),
    }


def _storage_hashes(server: Server, resources: list[tuple[str, str, dict[str, Any]]]) -> dict[str, str]:
    roots = dict.fromkeys((key.rpartition("/")[0], path.rpartition("/")[0]) for key, path, _ in resources)
    return {
        f"{api_version}/{resource['name']}": resource["storageVersionHash"]
        for api_version, root in roots
        for resource in server.get(root)["resources"]
        if "storageVersionHash" in resource
    }


def _columns(server: Server, path: str) -> list[list[Any]]:
    table = server.get(f"{path}?limit=1", _TABLE)
    return [[column[key] for key in ("name", "type", "format", "priority")] for column in table["columnDefinitions"]]


def _known_selectors(recordings: Path) -> list[str]:
    """Every selector that any recorded version knows, the usual ones first."""
    files = sorted(recordings.glob("*/field-selectors.json"))
    fields = (field for file in files for fields in json.loads(file.read_bytes()).values() for field in fields)
    return list(dict.fromkeys([*_USUAL_SELECTORS, *fields]))


def _selectors(server: Server, path: str, known: list[str]) -> list[str] | None:
    """The supported field selectors, None for the usual ones."""
    found = []
    for field in known:
        query = urllib.parse.urlencode({"limit": 1, "fieldSelector": f"{field}=x"})
        if server.get(f"{path}?{query}")["kind"] != "Status":
            found.append(field)
    return found if found != _USUAL_SELECTORS else None


def _objects(server: Server, discovery: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    """Every object, from its group's preferred version, without what is the server's own."""
    seen = set()
    for key, path, item in _resources(discovery):
        api_version, _, plural = key.rpartition("/")
        identity = (api_version.rpartition("/")[0], plural)
        if plural in _TRANSIENT or identity in seen:
            continue
        seen.add(identity)
        for entry in server.get(path)["items"]:
            for name in _OWN:
                entry["metadata"].pop(name, None)
            for condition in entry.get("status", {}).get("conditions", ()):
                condition.pop("lastTransitionTime", None)
            yield {"apiVersion": api_version, "kind": item["responseKind"]["kind"], **_without_certificates(entry)}


def _without_certificates(entry: dict[str, Any]) -> dict[str, Any]:
    data = entry.get("data", {})
    kept = {name: "<omitted>" if "BEGIN CERTIFICATE" in str(value) else value for name, value in data.items()}
    return {**entry, "data": kept} if kept else entry


def _go_types(version: str) -> Any:
    """types.json of Kubernetes `version` (1.34.4), whose staging modules are v0.34.4."""
    modules = "\n".join(f"\tk8s.io/{name} v{version.replace('1.', '0.', 1)}" for name in _GO_MODULES)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "go.mod").write_text(f"module gotypes\n\ngo 1.24.0\n\nrequire (\n{modules}\n)\n")
        (folder / "main.go").write_bytes((Path(__file__).parent / "gotypes" / "main.go").read_bytes())
        environment = {**os.environ, "GOFLAGS": "-mod=mod"}
        done = subprocess.run(["go", "run", "."], cwd=folder, env=environment, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"reading upstream's Go types failed:\n{done.stderr.decode()}")
    return json.loads(done.stdout)
