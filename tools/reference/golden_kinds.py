"""Records what a real server makes of the cases in tests/golden/kinds/*.yaml: defaults, refusals, updates.

``python -m tools.reference.golden_kinds KUBECONFIG [NAME...]``. Every document of a file is a case:

    case         its name, which is the object's name, too, unless the object has one
    base         name of an entry of the first document, ``bases``: what `with` is merged into (JSON merge patch)
    with         the object, or the difference to the base
    patch        the case is an update: the object is created, this is merged into it, and the result is sent
    subresource  of the update, e.g. ``status``
    table        the answer is wanted as a table: its cells, and the seconds between which it was made

Creations are dry runs. For updates the object is really created and removed again; the update is a dry run. What
admission adds is taken off again, so that the answers show what the kinds themselves do.
"""

from __future__ import annotations

import copy
import json
import sys
import time
from pathlib import Path
from typing import Any

import yaml
from tools.reference.kubeconfig import Server

_FOLDER = Path(__file__).parents[2] / "tests" / "golden" / "kinds"
_NAMESPACE = "golden-kinds"
_OPTIONS = "dryRun=All&fieldManager=golden&fieldValidation=Strict"
_TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
_NOISE = ("uid", "resourceVersion", "creationTimestamp", "managedFields")


def main() -> None:
    server = Server(Path(sys.argv[1]))
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": _NAMESPACE}}
    server.request("POST", "/api/v1/namespaces", namespace)
    for path in sorted(_FOLDER.glob("*.yaml")):
        if not sys.argv[2:] or path.stem in sys.argv[2:]:
            answers = [record(server, case) for case in cases(path)]
            text = "".join(json.dumps(answer, ensure_ascii=False, sort_keys=True) + "\n" for answer in answers)
            path.with_suffix(".json").write_text(text)
            print(f"{path.stem}: {len(answers)} answers")


def cases(path: Path) -> list[dict[str, Any]]:
    first, *documents = yaml.safe_load_all(path.read_text())
    result = []
    for document in documents:
        item = merge(copy.deepcopy(first["bases"].get(document.get("base"), {})), document.get("with") or {})
        item.setdefault("apiVersion", "v1")
        meta = item.setdefault("metadata", {})
        if "generateName" not in meta:
            meta.setdefault("name", document["case"])
        result.append({**document, "object": item})
    return result


def merge(target: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7386)."""
    if not isinstance(patch, dict):
        return patch
    if not isinstance(target, dict):
        target = {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = merge(target.get(key), value)
    return target


def record(server: Server, case: dict[str, Any]) -> dict[str, Any]:
    item = case["object"]
    path, namespaced = resource_path(server, item)
    if namespaced:
        item["metadata"].setdefault("namespace", _NAMESPACE)
    entry: dict[str, Any] = {"case": case["case"], "object": item}
    if "patch" not in case:
        if case.get("table"):
            return table(server, case, "POST", path, item)
        entry["answer"] = answer_of(json.loads(server.request("POST", f"{path}?{_OPTIONS}", item)), item)
        return entry
    created = json.loads(server.request("POST", f"{path}?fieldManager=golden", item))
    if created["kind"] == "Status":
        raise SystemExit(f"{case['case']}: {created['message']}")
    one = f"{path}/{created['metadata']['name']}"
    sub = case.get("subresource", "")
    try:
        for _ in range(10):  # controllers write, too
            old = server.get(one)
            new = merge(copy.deepcopy(old), case["patch"])
            place = f"{one}{'/' if sub else ''}{sub}"
            if case.get("table"):
                return table(server, case, "PUT", place, new)
            answer = json.loads(server.request("PUT", f"{place}?{_OPTIONS}", new))
            if answer.get("reason") != "Conflict":
                break
    finally:
        server.request("DELETE", f"{one}?gracePeriodSeconds=0")
    for version in (old, new):
        version["metadata"].pop("managedFields", None)
    return {**entry, "subresource": sub, "old": old, "new": new, "answer": answer_of(answer, copy.deepcopy(old))}


def table(server: Server, case: dict[str, Any], method: str, path: str, item: dict[str, Any]) -> dict[str, Any]:
    before = time.time()
    answer = json.loads(server.request(method, f"{path}?{_OPTIONS}&includeObject=Object", item, _TABLE))
    after = time.time()
    if answer["kind"] != "Table":
        raise SystemExit(f"{case['case']}: {answer['message']}")
    row = answer["rows"][0]
    row["object"]["metadata"].pop("managedFields", None)
    return {"case": case["case"], "object": row["object"], "cells": row["cells"], "between": [before, after]}


def answer_of(answer: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
    if answer["kind"] == "Status":
        causes = (answer.get("details") or {}).get("causes") or []
        return {"code": answer["code"], "message": answer["message"], "causes": causes}
    for name in _NOISE:
        answer["metadata"].pop(name, None)
    strip = _ADMISSION.get(answer["kind"])
    if strip:
        strip(answer, sent)
    return {"object": answer}


def _strip_pod(pod: dict[str, Any], sent: dict[str, Any]) -> None:
    spec, given = pod["spec"], sent.get("spec") or {}
    for name in ("priority", "preemptionPolicy"):
        if name not in given:
            spec.pop(name, None)
    if not given.get("serviceAccountName") and not given.get("serviceAccount"):
        spec.pop("serviceAccountName", None)
        spec.pop("serviceAccount", None)
    known = given.get("tolerations") or []
    spec["tolerations"] = [item for item in spec.get("tolerations") or [] if item in known or not _is_default(item)]
    spec["volumes"] = [item for item in spec.get("volumes") or [] if not _is_token(item)]
    for container in [*spec["containers"], *(spec.get("initContainers") or [])]:
        container["volumeMounts"] = [item for item in container.get("volumeMounts") or [] if not _is_token(item)]


def _is_default(toleration: dict[str, Any]) -> bool:
    return toleration.get("tolerationSeconds") == 300


def _is_token(item: dict[str, Any]) -> bool:
    return str(item["name"]).startswith("kube-api-access-")


def _strip_service(service: dict[str, Any], sent: dict[str, Any]) -> None:
    spec, given = service["spec"], sent.get("spec") or {}
    for name in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "healthCheckNodePort"):
        if name not in given and not (name == "clusterIPs" and "clusterIP" in given):
            spec.pop(name, None)
    for port, sent_port in zip(spec.get("ports") or [], given.get("ports") or [], strict=False):
        if "nodePort" not in sent_port:
            port.pop("nodePort", None)


def _strip_finalizers(item: dict[str, Any], sent: dict[str, Any]) -> None:
    if not sent["metadata"].get("finalizers"):
        item["metadata"].pop("finalizers", None)
    if "lastPhaseTransitionTime" in (item.get("status") or {}):
        item["status"].pop("lastPhaseTransitionTime")


def _strip_node(node: dict[str, Any], sent: dict[str, Any]) -> None:
    known = (sent.get("spec") or {}).get("taints") or []
    node["spec"]["taints"] = [taint for taint in node["spec"].get("taints") or [] if taint in known]


_ADMISSION = {
    "Pod": _strip_pod,
    "Service": _strip_service,
    "PersistentVolume": _strip_finalizers,
    "PersistentVolumeClaim": _strip_finalizers,
    "Node": _strip_node,
}


def resource_path(server: Server, item: dict[str, Any]) -> tuple[str, bool]:
    """Where objects of this kind are created, by discovery, and whether that is in a namespace."""
    version = item["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    resources = server.get(root)["resources"]
    found = next(entry for entry in resources if entry["kind"] == item["kind"] and "/" not in entry["name"])
    if found["namespaced"]:
        namespace = item["metadata"].get("namespace", _NAMESPACE)
        return f"{root}/namespaces/{namespace}/{found['name']}", True
    return f"{root}/{found['name']}", False


if __name__ == "__main__":
    main()
