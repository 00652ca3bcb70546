"""Records what a real Kubernetes says to the cases in this folder: ``python record.py KUBECONFIG [FILE.yaml ...]``.

A case is a mapping:
    name    unique in its file
    object  the object to create; or
    like    the name of an earlier case whose object is taken, with
    patch   a JSON merge patch on it
    update  a JSON merge patch: the object is created for real, patched and sent back with PUT
    status  the same, sent to /status
    values  why values in the refusal's text may be shown otherwise (they are not compared)
Everything but the creations for updates is a dry run; what is created is deleted. Answers go to FILE.json: the object
that was sent, the stored one for updates, the code, the answer without managedFields, and the row of its table.
"""

from __future__ import annotations

import base64
import copy
import http.client
import json
import ssl
import sys
import tempfile
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

NAMESPACE = "kloster-kinds"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


class Server:
    """A connection to the server of a kubeconfig with client certificates."""

    def __init__(self, kubeconfig: str) -> None:
        config = yaml.safe_load(Path(kubeconfig).read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context(cadata=_pem(cluster, "certificate-authority").decode())
        with tempfile.NamedTemporaryFile() as pair:
            pair.write(_pem(user, "client-certificate") + b"\n" + _pem(user, "client-key"))
            pair.flush()
            context.load_cert_chain(pair.name)
        url = urlsplit(cluster["server"])
        self._connection = http.client.HTTPSConnection(url.hostname or "", url.port, context=context, timeout=30)
        self._resources: dict[tuple[str, str], tuple[str, bool]] = {}

    def call(self, method: str, path: str, body: Any = None, accept: str = "application/json") -> tuple[int, Any]:
        headers = {"Content-Type": "application/json", "Accept": accept}
        self._connection.request(method, path, None if body is None else json.dumps(body), headers)
        response = self._connection.getresponse()
        return response.status, json.loads(response.read())

    def path(self, item: Any) -> str:
        """The collection of an object's kind."""
        version, kind = item["apiVersion"], item["kind"]
        root = f"/apis/{version}" if "/" in version else f"/api/{version}"
        if (version, kind) not in self._resources:
            for resource in self.call("GET", root)[1]["resources"]:
                if "/" not in resource["name"]:
                    self._resources[version, resource["kind"]] = resource["name"], resource["namespaced"]
        name, namespaced = self._resources[version, kind]
        return f"{root}/namespaces/{NAMESPACE}/{name}" if namespaced else f"{root}/{name}"


def _pem(holder: dict[str, Any], name: str) -> bytes:
    if f"{name}-data" in holder:
        return base64.b64decode(holder[f"{name}-data"])
    return Path(holder[name]).read_bytes()


def merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    target = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            target.pop(key, None)
        else:
            target[key] = merged(target.get(key), value)
    return target


def bare(item: Any) -> Any:
    """Without what the strategies do not make."""
    item = copy.deepcopy(item)
    item["metadata"].pop("managedFields", None)
    return item


def ask(server: Server, method: str, path: str, item: Any) -> dict[str, Any]:
    """Both answers to a dry run: the object and its row."""
    path += "?dryRun=All&fieldValidation=Strict"
    code, answer = server.call(method, path, item)
    if code >= 300:
        return {"sent": item, "code": code, "status": answer}
    code, table = server.call(method, f"{path}&includeObject=None", item, TABLE)
    if code >= 300:
        return {"sent": item, "code": code, "status": table}
    return {"sent": item, "code": code, "answer": bare(answer), "cells": table["rows"][0]["cells"]}


def record(server: Server, case: dict[str, Any], item: Any) -> dict[str, Any]:
    path = server.path(item)
    verb = next((verb for verb in ("update", "status") if verb in case), "create")
    if verb == "create":
        return {"verb": verb, **ask(server, "POST", path, item)}
    code, stored = server.call("POST", path, item)
    if code != 201:
        raise SystemExit(f"{case['name']}: {stored['message']}")
    try:
        at = f"{path}/{stored['metadata']['name']}"
        # Controllers may have written meanwhile: what is compared is what the strategy sees.
        for _ in range(5):
            stored = server.call("GET", at)[1]
            sent = merged(stored, case[verb])
            got = ask(server, "PUT", f"{at}/status" if verb == "status" else at, bare(sent))
            if got["code"] != 409:
                return {"verb": verb, "stored": bare(stored), **got}
        raise SystemExit(f"{case['name']}: conflicts")
    finally:
        server.call("DELETE", f"{at}?gracePeriodSeconds=0&propagationPolicy=Background")


def main(kubeconfig: str, *files: str) -> None:
    server = Server(kubeconfig)
    server.call("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
    for file in files or sorted(str(path) for path in Path(__file__).parent.glob("*.yaml")):
        objects: dict[str, Any] = {}
        answers = []
        for case in yaml.safe_load(Path(file).read_text()):
            item = case["object"] if "object" in case else merged(objects[case["like"]], case.get("patch", {}))
            objects[case["name"]] = item
            if server_path_is_namespaced(server, item):
                item = merged({"metadata": {"namespace": NAMESPACE}}, item)
            about = {key: case[key] for key in ("name", "values") if key in case}
            answers.append({**about, **record(server, case, item)})
        target = Path(file).with_suffix(".json")
        target.write_text("[\n" + ",\n".join(json.dumps(answer) for answer in answers) + "\n]\n")
        refused = sum(answer["code"] >= 300 for answer in answers)
        print(f"{target.name}: {len(answers)} cases, {refused} refused")


def server_path_is_namespaced(server: Server, item: Any) -> bool:
    return f"/namespaces/{NAMESPACE}/" in server.path(item)


if __name__ == "__main__":
    main(*sys.argv[1:])
