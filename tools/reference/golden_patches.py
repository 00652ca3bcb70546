"""Records what a real kube-apiserver answers to the golden scenarios.

    python tools/reference/golden_patches.py --kubeconfig FILE [--kubectl kubectl] [NAME...]

A scenario is a YAML file in ``tests/golden/ownership/`` or ``tests/golden/patches/``: a list of steps, each a request.
What was live before, what was sent and the answer are written beside it as JSON, with uids, times and resource versions
made the same in every recording. The tests replay the requests against Kloster's functions and compare
(tests/apimachinery/apply/test_golden.py, tests/apimachinery/patches/test_golden.py). ``tests/golden/custom.yaml`` holds
the custom resource definitions that scenarios use.

Steps: ``do`` is create, update, patch (json), merge, strategic, apply, get or delete; ``body`` the object or patch;
``manager`` the field manager; ``force``, ``subresource``, ``validation`` as in the API. An update takes the live object
with the changes of ``set`` (a path → value; null removes). ``pause`` waits (seconds) before a step: for the clock, or
for controllers. With ``base`` every step starts from this object, created anew.
"""

from __future__ import annotations

import argparse
import copy
import json
import re
import subprocess
import time
import urllib.parse
from pathlib import Path
from typing import Any

import yaml

GOLDEN = Path(__file__).parents[2] / "tests" / "golden"
NAMESPACE = "kloster-golden"
CONTENT_TYPES = {
    "patch": "application/json-patch+json",
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "apply": "application/apply-patch+yaml",
}
METHODS = {"create": "POST", "update": "PUT", "delete": "DELETE", "get": "GET"}
UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Server:
    """A real server, through `kubectl proxy`: no certificates to handle here."""

    def __init__(self, kubectl: str, kubeconfig: str) -> None:
        self._proxy = subprocess.Popen(
            [kubectl, "--kubeconfig", kubeconfig, "proxy", "--port=0", "--reject-methods=NEVER", "--disable-filter"],
            stderr=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._proxy.stdout is not None
        self._base = "http://" + self._proxy.stdout.readline().rsplit(" ", 1)[-1].strip()

    def close(self) -> None:
        self._proxy.terminate()
        self._proxy.wait(10)

    def ask(self, method: str, path: str, body: Any, content_type: str = "application/json") -> tuple[int, Any]:
        command = ["curl", "-s", "-X", method, "-H", f"Content-Type: {content_type}", "-w", "\n%{http_code}"]
        if body is not None:
            command += ["--data-binary", json.dumps(body)]
        out = subprocess.run([*command, self._base + path], capture_output=True, text=True, check=True, timeout=30)
        text, _, code = out.stdout.rpartition("\n")
        try:
            return int(code), json.loads(text)
        except ValueError:
            return int(code), text


def collection(kind: dict[str, Any]) -> str:
    version = kind["apiVersion"]
    root = f"/apis/{version}" if "/" in version else f"/api/{version}"
    return (
        f"{root}/namespaces/{NAMESPACE}/{kind['plural']}"
        if kind.get("namespaced", True)
        else f"{root}/{kind['plural']}"
    )


def changed(document: Any, changes: dict[str, Any]) -> Any:
    """A copy with `changes`: dotted paths, list items by index."""
    document = copy.deepcopy(document)
    for path, value in changes.items():
        *steps, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        place = document
        for step in steps:
            place = place[step] if isinstance(step, int) else place.setdefault(step, {})
        if value is None and isinstance(place, dict):
            place.pop(last, None)
        elif isinstance(place, list) and last == len(place):
            place.append(value)
        else:
            place[last] = value
    return document


def perform(server: Server, scenario: dict[str, Any], step: dict[str, Any]) -> dict[str, Any]:
    """Sends one step; gives back what was live before, the body as sent, and the answer."""
    kind = {**scenario["kind"], **step.get("kind", {})}
    one = f"{collection(kind)}/{step.get('name', scenario['name'])}"
    found, live = server.ask("GET", one, None)
    body = step.get("body")
    if step["do"] == "update" and body is None:
        body = changed(live, step.get("set", {}))
    path = collection(kind) if step["do"] == "create" else one
    if step.get("subresource"):
        path += f"/{step['subresource']}"
    query = {
        "fieldManager": step.get("manager"),
        "force": "true" if step.get("force") else None,
        "fieldValidation": step.get("validation"),
    }
    path += "?" + urllib.parse.urlencode({name: value for name, value in query.items() if value})
    method = METHODS.get(step["do"], "PATCH")
    code, answer = server.ask(method, path, body, CONTENT_TYPES.get(step["do"], "application/json"))
    return {"live": live if found == 200 else None, "sent": body, "code": code, "answer": answer}


def record(server: Server, file: Path) -> None:
    scenario = yaml.safe_load(file.read_text())
    cleanup(server, scenario)
    answers = []
    for step in scenario["steps"]:
        if "base" in scenario:
            cleanup(server, scenario)
            server.ask("POST", collection(scenario["kind"]) + "?fieldManager=base", scenario["base"])
        time.sleep(step.get("pause", scenario.get("pause", 0)))
        answers.append(perform(server, scenario, step))
    cleanup(server, scenario)
    text = json.dumps(normalized(answers), indent=1, ensure_ascii=False)
    file.with_suffix(".json").write_text(text + "\n")
    print(f"{file.stem}: {' '.join(str(entry['code']) for entry in answers)}")


def cleanup(server: Server, scenario: dict[str, Any]) -> None:
    for name in {scenario["name"], *(step["name"] for step in scenario["steps"] if "name" in step)}:
        path = f"{collection(scenario['kind'])}/{name}"
        for _ in range(50):
            if server.ask("GET", path, None)[0] == 404:
                break
            server.ask("PATCH", path, {"metadata": {"finalizers": None}}, CONTENT_TYPES["merge"])
            server.ask("DELETE", path, {"gracePeriodSeconds": 0, "propagationPolicy": "Background"})
        else:
            raise SystemExit(f"{name} does not go away")


def normalized(answers: list[Any]) -> Any:
    """Times become minutes in the order of their appearance, uids and resource versions numbers."""
    text = json.dumps(answers, ensure_ascii=False)
    seen = sorted(set(re.findall(r"20[0-9]{2}-[0-9]{2}-[0-9]{2}T[0-9:]{8}Z", text)))
    for index, moment in enumerate(seen):
        text = text.replace(moment, f"2026-01-01T00:{index:02}:00Z")
    for index, uid in enumerate(dict.fromkeys(UID.findall(text))):
        text = text.replace(uid, f"00000000-0000-0000-0000-{index:012}")
    versions = dict.fromkeys(re.findall(r'"resourceVersion": "([0-9]+)"', text))
    for index, version in enumerate(versions):
        text = text.replace(f'"resourceVersion": "{version}"', f'"resourceVersion": "{1000 + index}"')
    return json.loads(text)


def make_namespace(server: Server) -> None:
    """The namespace of an earlier recording may still be on its way out."""
    for _ in range(60):
        code, _ = server.ask("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        if code == 201:
            return
        time.sleep(1)
    raise SystemExit(f"cannot create namespace {NAMESPACE}")


def make_definitions(server: Server) -> None:
    for definition in yaml.safe_load_all((GOLDEN / "custom.yaml").read_text()):
        server.ask("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)
        group, names = definition["spec"]["group"], definition["spec"]["names"]
        version = definition["spec"]["versions"][0]["name"]
        for _ in range(50):
            if server.ask("GET", f"/apis/{group}/{version}/{names['plural']}", None)[0] == 200:
                break
            time.sleep(0.2)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--kubectl", default="kubectl")
    parser.add_argument("names", nargs="*", help="scenarios to record (default: all)")
    options = parser.parse_args()
    server = Server(options.kubectl, options.kubeconfig)
    try:
        make_namespace(server)
        make_definitions(server)
        for file in sorted([*GOLDEN.glob("ownership/*.yaml"), *GOLDEN.glob("patches/*.yaml")]):
            if not options.names or file.stem in options.names:
                record(server, file)
        server.ask("DELETE", f"/api/v1/namespaces/{NAMESPACE}", None)
    finally:
        server.close()


if __name__ == "__main__":
    main()
