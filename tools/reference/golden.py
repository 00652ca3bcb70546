"""Records what a real server makes of the objects in tests/golden/objects/inputs.yaml.

``python -m tools.reference.golden KUBECONFIG``. Everything is a dry run; only the namespace ``golden`` is created.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml
from tools.reference.kubeconfig import Server

_FOLDER = Path(__file__).parents[2] / "tests" / "golden" / "objects"
_NAMESPACE = "golden"


def main() -> None:
    server = Server(Path(sys.argv[1]))
    minor = ".".join(server.get("/version")["gitVersion"].removeprefix("v").split(".")[:2])
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}}
    server.request("POST", "/api/v1/namespaces", namespace)
    lines, refused = [], []
    for item in yaml.safe_load_all((_FOLDER / "inputs.yaml").read_text()):
        path = resource_path(server, item)
        answer = server.request("POST", f"{path}?dryRun=All&fieldManager=golden&fieldValidation=Strict", item)
        if json.loads(answer)["kind"] == "Status":
            refused.append(f"{item['kind']} {item['metadata']['name']}: {json.loads(answer)['message']}")
        lines.append(answer.rstrip(b"\n"))
    if refused:
        raise SystemExit("\n".join(refused))
    target = _FOLDER / f"{minor}.json"
    target.write_bytes(b"\n".join(lines) + b"\n")
    print(f"{target.name}: {len(lines)} answers")


def resource_path(server: Server, item: dict[str, str]) -> str:
    """Where objects of this kind are created, by discovery."""
    version = item["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    resources = server.get(root)["resources"]
    found = next(entry for entry in resources if entry["kind"] == item["kind"] and "/" not in entry["name"])
    return f"{root}/namespaces/{_NAMESPACE}/{found['name']}" if found["namespaced"] else f"{root}/{found['name']}"


if __name__ == "__main__":
    main()
