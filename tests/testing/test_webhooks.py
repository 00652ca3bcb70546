"""Admission webhooks of an operator that runs beside the test are asked: test fleets allow webhooks on this machine."""

from __future__ import annotations

import base64
import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def listening(name: str) -> Iterator[tuple[int, bytes]]:
    """A webhook of this name on this machine: its port, its authority."""
    authority = Authority.create("webhooks", time.time())
    pair = authority.serving([name], time.time())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_pair(context, pair.certificate + b"\n" + pair.key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_port, authority.pair().certificate
        server.shutdown()
        thread.join()


@pytest.fixture
def webhook() -> Iterator[dict[str, str]]:
    """A webhook on this machine, as a clientConfig."""
    with listening("127.0.0.1") as (port, authority):
        yield {"url": f"https://127.0.0.1:{port}/", "caBundle": base64.b64encode(authority).decode()}


def configuration(webhook: dict[str, str], **options: object) -> dict[str, object]:
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"]}
    hook = {
        "name": "refuse.example.com",
        "clientConfig": webhook,
        "rules": [rule],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
        "failurePolicy": "Fail",
        **options,
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "refuse"},
        "webhooks": [hook],
    }


CONFIG_MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}}


def test_they_are_asked(fleet: Fleet, webhook: dict[str, str]) -> None:
    with Cluster("1.34", fleet=fleet) as cluster:
        cluster.apply(configuration(webhook))
        with pytest.raises(StatusError, match="denied the request: not here"):
            cluster.apply(CONFIG_MAP)
        cluster.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}})


def test_they_time_out_or_refuse_where_a_test_asks_for_it(fleet: Fleet, webhook: dict[str, str]) -> None:
    text = 'Internal error occurred: failed calling webhook "refuse.example.com": failed to call webhook: Post '
    url, port = webhook["url"].rstrip("/"), webhook["url"].rstrip("/").rpartition(":")[2]
    with Cluster("1.34", fleet=fleet) as cluster:
        cluster.apply(configuration(webhook, timeoutSeconds=1))
        with cluster.faults.during(resources="configmaps", webhook="timeout"):
            began = time.monotonic()
            with pytest.raises(StatusError) as failure:
                cluster.apply(CONFIG_MAP)
            assert time.monotonic() - began >= 1
        assert failure.value.code == 500
        assert failure.value.message == f'{text}"{url}?timeout=1s": context deadline exceeded'
        cluster.faults.add(resources="configmaps", webhook="refused", times=2)
        with pytest.raises(StatusError) as failure:
            cluster.apply(CONFIG_MAP)
        assert (
            failure.value.message == f'{text}"{url}?timeout=1s": dial tcp 127.0.0.1:{port}: connect: connection refused'
        )
        cluster.apply(configuration(webhook, failurePolicy="Ignore"))
        cluster.apply(CONFIG_MAP)
        assert cluster.faults.hits() == [2]
        with pytest.raises(StatusError, match="denied the request: not here"):
            cluster.apply({**CONFIG_MAP, "metadata": {"name": "d"}})


def test_their_outage_concerns_the_clusters_controllers_too(fleet: Fleet, webhook: dict[str, str]) -> None:
    with Cluster("1.34", fleet=fleet) as cluster:
        cluster.faults.add(agents="kloster", resources="configmaps", webhook="refused")
        cluster.apply(configuration(webhook))
        cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "later"}})
        cluster.wait_for(lambda: sum(cluster.faults.hits()) > 0)  # for kube-root-ca.crt of the namespace


def test_conversions_fail_where_a_test_asks_for_it(fleet: Fleet) -> None:
    def version(name: str, storage: bool) -> dict[str, object]:
        schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
        return {"name": name, "served": True, "storage": storage, "schema": schema}

    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "versions": [version("v1", True), version("v2", False)],
            "conversion": {
                "strategy": "Webhook",
                "webhook": {
                    "clientConfig": {"url": "https://127.0.0.1:1/convert"},
                    "conversionReviewVersions": ["v1"],
                },
            },
        },
    }
    with Cluster("1.34", fleet=fleet) as cluster:
        cluster.apply(definition)
        cluster.apply({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}})
        cluster.faults.add(resources="widgets.example.com", webhook="refused")
        with pytest.raises(StatusError) as failure:
            cluster.request("GET", "/apis/example.com/v2/namespaces/default/widgets/w")
        assert failure.value.message == (
            "conversion webhook for example.com/v1, Kind=Widget failed: "
            'Post "https://127.0.0.1:1/convert?timeout=30s": dial tcp 127.0.0.1:1: connect: connection refused'
        )
        assert sum(cluster.faults.hits()) == 1
