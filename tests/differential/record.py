"""Records what a real server answers: ``python -m tests.differential.record KUBECONFIG [NAME…]``.

Each sequence runs in a new namespace, which is deleted afterwards. Nothing else on the server is touched, but for
cluster-scoped objects that a sequence creates and deletes itself.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import sys
import tempfile
import time
import urllib.parse
from pathlib import Path
from typing import Any

import yaml
from tests.differential.model import AGENT, GOLDEN, Answer, Session, Step, load, names, shown


class RealServer:
    """One connection per request, with the client certificate of a kubeconfig's current context."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        context = next(entry for entry in config["contexts"] if entry["name"] == config["current-context"])["context"]
        cluster = next(entry for entry in config["clusters"] if entry["name"] == context["cluster"])["cluster"]
        user = next(entry for entry in config["users"] if entry["name"] == context["user"])["user"]
        self.address = urllib.parse.urlsplit(cluster["server"])
        self.tls = ssl.create_default_context(cafile=_file(cluster, "certificate-authority"))
        self.tls.load_cert_chain(_file(user, "client-certificate"), _file(user, "client-key"))

    def send(self, method: str, path: str, headers: dict[str, str], body: bytes) -> Answer:
        connection = http.client.HTTPSConnection(
            self.address.hostname or "", self.address.port, context=self.tls, timeout=60
        )
        try:
            connection.putrequest(method, path, skip_accept_encoding=True)
            for name, value in headers.items():
                connection.putheader(name, value)
            if body or method in ("POST", "PUT", "PATCH"):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            response = connection.getresponse()
            found: dict[str, str] = {}
            for name, value in response.getheaders():
                key = name.lower()
                found[key] = f"{found[key]}, {value}" if key in found else value
            return Answer(response.status, found, response.read())
        finally:
            connection.close()


def _file(entry: dict[str, Any], name: str) -> str:
    if name in entry:
        return str(entry[name])
    with tempfile.NamedTemporaryFile(delete=False) as file:
        file.write(base64.b64decode(entry[f"{name}-data"]))
        return file.name


def run(server: RealServer, steps: list[Step], namespace: str) -> list[dict[str, Any]]:
    session = Session(namespace)
    answers = []
    for step in steps:
        time.sleep(step.wait)
        answer = server.send(step.method, session.fill(step.path), session.headers(step), session.body(step))
        answers.append(session.normal(step, answer))
        session.keep(step, answer)
    return answers


def record(server: RealServer, name: str) -> None:
    namespace = f"diff-{name}-{int(time.time())}"
    as_json = {"content-type": "application/json", "user-agent": AGENT}
    body = json.dumps({"metadata": {"name": namespace}}).encode()
    server.send("POST", "/api/v1/namespaces", as_json, body)
    for path in ("serviceaccounts/default", "configmaps/kube-root-ca.crt"):
        for _ in range(100):
            if server.send("GET", f"/api/v1/namespaces/{namespace}/{path}", {}, b"").status == 200:
                break
            time.sleep(0.1)
    try:
        answers = run(server, load(name), namespace)
    finally:
        server.send("DELETE", f"/api/v1/namespaces/{namespace}", {}, b"")
    (GOLDEN / f"{name}.json").write_text(shown(answers) + "\n")
    print(f"{name}: {len(answers)} answers")


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    server = RealServer(Path(sys.argv[1]))
    for name in sys.argv[2:] or names():
        record(server, name)


if __name__ == "__main__":
    main()
