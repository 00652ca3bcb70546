"""Cases of admission webhooks, and the server that plays the webhooks, for a real API server and for ours alike."""

from __future__ import annotations

import base64
import json
import re
import ssl
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import yaml

from kloster.apiserver.pki import Authority
from kloster.client.pem import load_pair

HERE = Path(__file__).parent
GOLDEN = HERE / "golden.json"
CONFIGURATIONS = "/apis/admissionregistration.k8s.io/v1"
ASKED_BY = "admin"


@dataclass(frozen=True)
class Case:
    """What is set up, which webhooks there are and what they reply, and the requests that are compared.

    hooks    kind (mutating, validating) → webhooks; `configuration` names the configuration that one is in
    replies  name of a webhook → what its response has beside uid and allowed (true), or `http`, `raw`, `sleep`;
             `patch` is a list of operations
    """

    name: str
    do: list[Any]
    setup: list[Any] = field(default_factory=list)
    mutating: list[Any] = field(default_factory=list)
    validating: list[Any] = field(default_factory=list)
    replies: Mapping[str, Any] = field(default_factory=dict)
    differs: str = ""

    @property
    def namespace(self) -> str:
        return f"wh-{self.name}"

    def fill(self, value: Any) -> Any:
        """With the case's namespace where NS stands."""
        return json.loads(json.dumps(value).replace("NS", self.namespace))

    def configurations(self, url: str, bundle: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """(path of the collection, configuration)."""
        for kind in ("mutating", "validating"):
            groups: dict[str, list[Any]] = {}
            for one in getattr(self, kind):
                given = dict(one)
                groups.setdefault(given.pop("configuration", "a"), []).append(self._hook(given, url, bundle))
            for name, hooks in groups.items():
                document = {"metadata": {"name": f"{self.namespace}-{name}"}, "webhooks": hooks}
                yield f"{CONFIGURATIONS}/{kind}webhookconfigurations", document

    def _hook(self, given: dict[str, Any], url: str, bundle: str) -> dict[str, Any]:
        name = given.pop("name")
        selector = {"key": "kubernetes.io/metadata.name", "operator": "In", "values": [self.namespace]}
        client = {"url": f"{url}/{self.name}/{name}", "caBundle": bundle}
        return {
            "name": f"{name}.example.org",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "clientConfig": given.pop("clientConfig", client),
            "namespaceSelector": {"matchExpressions": [selector]},
            **self.fill(given),
            "rules": [_rule(one) for one in given["rules"]],
        }


def _rule(text: str) -> dict[str, Any]:
    """``CREATE,UPDATE apps/v1 deployments,deployments/scale [Scope]``; the core group is a dash."""
    operations, version, resources, *scope = text.split()
    group, _, number = version.partition("/")
    return {
        "operations": operations.split(","),
        "apiGroups": ["" if group == "-" else group],
        "apiVersions": [number],
        "resources": resources.split(","),
        **({"scope": scope[0]} if scope else {}),
    }


def load() -> list[Case]:
    return [Case(**entry) for entry in yaml.safe_load((HERE / "cases.yaml").read_text())]


class Webhooks:
    """The server: what it was asked, in order of arrival."""

    def __init__(self) -> None:
        self.replies: dict[str, Any] = {}
        self.asked: list[tuple[int, str, dict[str, Any]]] = []
        self.step = 0
        authority = Authority.create("webhooks", time.time())
        pair = authority.serving(["127.0.0.1"], time.time())
        self.bundle = base64.b64encode(authority.pair().certificate).decode()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        load_pair(context, pair.certificate + b"\n" + pair.key)
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = f"https://127.0.0.1:{self.server.server_port}"

    def begin(self, case: Case) -> None:
        self.step, self.asked, self.replies = (
            0,
            [],
            {f"/{case.name}/{name}": reply for name, reply in case.replies.items()},
        )

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        webhooks = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                path = self.path.partition("?")[0]
                reply = dict(webhooks.replies.get(path, {}))
                webhooks.asked.append((webhooks.step, self.path.rpartition("/")[2], review))
                time.sleep(reply.pop("sleep", 0))
                status, body = reply.pop("http", 200), reply.pop("raw", None)
                if body is None:
                    body = json.dumps(_answer(review, reply))
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with suppress(OSError):  # who asked may have given up
                    self.wfile.write(body.encode())

            def log_message(self, format: str, *args: object) -> None:
                pass

        return Handler


def _answer(review: dict[str, Any], reply: dict[str, Any]) -> dict[str, Any]:
    if isinstance(reply.get("patch"), list):
        reply.setdefault("patchType", "JSONPatch")
        reply["patch"] = base64.b64encode(json.dumps(reply["patch"]).encode()).decode()
    about = {"kind": "AdmissionReview", "apiVersion": reply.pop("apiVersion", review["apiVersion"])}
    return {**about, "response": {"uid": review["request"]["uid"], "allowed": True, **reply}}


@contextmanager
def serving() -> Iterator[Webhooks]:
    webhooks = Webhooks()
    thread = threading.Thread(target=webhooks.server.serve_forever, daemon=True)
    thread.start()
    try:
        yield webhooks
    finally:
        webhooks.server.shutdown()
        webhooks.server.server_close()
        thread.join()


# --- the normal form --------------------------------------------------------------------------------------------------

_DROPPED = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "selfLink", "userInfo", "clusterIP")
_CONTROLLERS = ("deployment.kubernetes.io/revision", "observedGeneration", "conditions")
"""What a real cluster's controllers write meanwhile."""
_VARYING = (
    (re.compile(r"127\.0\.0\.1:\d+"), "HOOK"),
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "UID"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z"), "TIME"),
    (re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+"), "TOKEN"),
    (re.compile(r"gen-[a-z0-9]{5}\b"), "gen-RANDOM"),
    (re.compile(r"kube-api-access-[a-z0-9]{5}"), "kube-api-access-RANDOM"),
    (re.compile(r"read tcp .*: read: connection reset by peer|unexpected EOF"), "EOF"),
)


def normal(value: Any) -> Any:
    """Without what no two clusters have in common; that it is there stays to be seen."""
    if isinstance(value, dict):
        shown = {
            key: "SET" if key in _DROPPED and item and not isinstance(item, bool) else normal(item)
            for key, item in value.items()
            if key not in _CONTROLLERS
        }
        return {key: item for key, item in shown.items() if item != {} or key not in ("status", "annotations")}
    if isinstance(value, list):
        return [normal(item) for item in value]
    if isinstance(value, str):
        for pattern, shown in _VARYING:
            value = pattern.sub(shown, value)
    return value


def _forget_origin(scale: dict[str, Any]) -> None:
    """Of a Scale, upstream shows to those that change it the metadata of the request, here it is the object's."""
    scale["metadata"] = {key: scale["metadata"][key] for key in ("name", "namespace")}
    scale["status"].pop("selector", None)


def asked(webhooks: Webhooks, case: Case) -> list[Any]:
    """What the webhooks of the case were asked by who makes its requests."""
    together = [one["name"] for one in case.validating]  # they are asked all at once, after the others
    found = []
    for step, name, review in webhooks.asked:
        request = review["request"]
        if request["userInfo"].get("username") == ASKED_BY:
            shown = normal(request)
            for document in (shown["object"], shown["oldObject"]):
                if document is not None and document["kind"] == "Scale":
                    _forget_origin(document)
            found.append({"step": step, "hook": name, "version": review["apiVersion"], "request": shown})

    def order(one: dict[str, Any]) -> tuple[int, str]:
        name = one["hook"].partition("?")[0]
        return one["step"], name if name in together else ""

    return sorted(found, key=order)


def answered(status: int, warnings: str, body: bytes) -> dict[str, Any]:
    """The answer to a request: all of a refusal; of an object what webhooks change."""
    found: dict[str, Any] = {"status": status}
    if warnings:
        found["warnings"] = normal(warnings)
    try:
        document = json.loads(body)
    except json.JSONDecodeError:
        return {**found, "text": normal(body.decode("utf-8", "replace"))[:200]}
    if document.get("kind") == "Status":
        return {**found, "body": normal(document)}
    metadata = document.get("metadata") or {}
    shown = {key: metadata[key] for key in ("labels", "annotations", "finalizers") if metadata.get(key)}
    if "deletionTimestamp" in metadata:
        shown["deletionTimestamp"] = "SET"
    return {**found, "kind": document.get("kind"), "metadata": normal(shown)}
