"""Admission webhooks of an operator that runs beside the test are asked: test fleets allow webhooks on this machine."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from kloster.apiserver.pki import Authority
from kloster.client.pem import load_pair
from kloster.testing import Cluster, Fleet, StatusError


class Refusing(BaseHTTPRequestHandler):
    """Refuses everything."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        response = {"uid": asked["request"]["uid"], "allowed": False, "status": {"message": "not here", "code": 403}}
        body = json.dumps({"apiVersion": asked["apiVersion"], "kind": asked["kind"], "response": response}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def webhook() -> Iterator[dict[str, str]]:
    """A webhook on this machine, as a clientConfig."""
    authority = Authority.create("webhooks", time.time())
    pair = authority.serving(["127.0.0.1"], time.time())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_pair(context, pair.certificate + b"\n" + pair.key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        bundle = base64.b64encode(authority.pair().certificate).decode()
        yield {"url": f"https://127.0.0.1:{server.server_port}/", "caBundle": bundle}
        server.shutdown()
        thread.join()


def test_they_are_asked(fleet: Fleet, webhook: dict[str, str]) -> None:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    hook = {
        "name": "refuse.example.com",
        "clientConfig": webhook,
        "rules": [rule],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Fail",
    }
    with Cluster("1.34", fleet=fleet) as cluster:
        cluster.apply(
            {
                "apiVersion": "admissionregistration.k8s.io/v1",
                "kind": "ValidatingWebhookConfiguration",
                "metadata": {"name": "refuse"},
                "webhooks": [hook],
            }
        )
        with pytest.raises(StatusError, match="denied the request: not here"):
            cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}})
        cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})
