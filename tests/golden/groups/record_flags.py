"""Records how a real Kubernetes treats each kind's writes: ``python record_flags.py KUBECONFIG`` (writes flags.json).

For the first case of each kind: does PUT create what is missing, is a PUT without resourceVersion accepted, and does
DELETE answer with the object? Objects that would act on other requests are not created; they lack the last two.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import record
import yaml

ACTING = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration", "APIService", "CustomResourceDefinition")


def flags(server: record.Server, item: Any) -> dict[str, Any]:
    path = server.path(item)
    if f"/namespaces/{record.NAMESPACE}/" in path:
        item = record.merged({"metadata": {"namespace": record.NAMESPACE}}, item)
    at = f"{path}/{item['metadata']['name']}"
    found: dict[str, Any] = {"create_on_update": server.call("PUT", f"{at}?dryRun=All", item)[0] == 201}
    if item["kind"] in ACTING:
        return found
    code, stored = server.call("POST", path, item)
    assert code == 201, stored
    try:
        unconditional = record.merged(stored, {"metadata": {"resourceVersion": None}})
        found["unconditional_update"] = server.call("PUT", f"{at}?dryRun=All", unconditional)[0] == 200
        answer = server.call("DELETE", f"{at}?dryRun=All&propagationPolicy=Background")[1]
        # Finalizers of a controller hold an object back, which is then the answer.
        if not answer["metadata"].get("finalizers"):
            found["returns_deleted"] = answer["kind"] != "Status"
    finally:
        server.call("DELETE", f"{at}?gracePeriodSeconds=0&propagationPolicy=Background")
    return found


def main(kubeconfig: str) -> None:
    server = record.Server(kubeconfig)
    server.call("POST", "/api/v1/namespaces", {"metadata": {"name": record.NAMESPACE}})
    folder = Path(__file__).parent
    known: dict[str, Any] = {}
    for file in sorted(folder.glob("*.yaml")):
        for case in yaml.safe_load(file.read_text()):
            item = case.get("object")
            if item is None or any(char in item["metadata"]["name"] for char in "/%"):
                continue
            key = f"{item['apiVersion']}/{item['kind']}"
            if key not in known:
                known[key] = flags(server, item)
    (folder / "flags.json").write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
