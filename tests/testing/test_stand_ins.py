"""Webhooks by Service, as an operator's manifests have them: a process of the test stands in for the pods."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator

import pytest
from tests.testing.test_webhooks import listening

from kloster.testing import Cluster, StatusError
from kloster.testing.errors import TestingError

MANIFEST = """
apiVersion: v1
kind: Namespace
metadata: {name: operator-system}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: operator, namespace: operator-system}
spec:
  replicas: 0
  selector: {matchLabels: {app: operator}}
  template:
    metadata: {labels: {app: operator}}
    spec:
      containers:
      - name: manager
        image: operator
        ports: [{name: webhook-server, containerPort: 9443}]
---
apiVersion: v1
kind: Service
metadata: {name: webhooks, namespace: operator-system}
spec:
  selector: {app: operator}
  ports: [{port: 443, targetPort: webhook-server}]
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata: {name: operator}
webhooks:
- name: refuse.example.com
  clientConfig:
    service: {name: webhooks, namespace: operator-system, path: /validate}
    caBundle: CABUNDLE
  rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [configmaps]}]
  namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: default}}
  sideEffects: None
  admissionReviewVersions: [v1]
"""
NAME = "webhooks.operator-system.svc"


@pytest.fixture(scope="module")
def operator() -> Iterator[tuple[int, str]]:
    """Where the operator listens, and its authority."""
    with listening(NAME) as (port, authority):
        yield port, base64.b64encode(authority).decode()


@pytest.fixture
def refused(shared: Cluster, operator: tuple[int, str]) -> Callable[[], str]:
    shared.apply(MANIFEST.replace("CABUNDLE", operator[1]))

    def create() -> str:
        with pytest.raises(StatusError) as caught:
            shared.request("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"generateName": "a-"}})
        return caught.value.message

    return create


def failed(why: str) -> str:
    return (
        'Internal error occurred: failed calling webhook "refuse.example.com": failed to call webhook: '
        f'Post "https://{NAME}:443/validate?timeout=10s": {why}'
    )


def test_before_any_pod_is_there(refused: Callable[[], str]) -> None:
    assert refused() == failed('no endpoints available for service "webhooks"')


def test_a_service_is_stood_in_for(shared: Cluster, refused: Callable[[], str], operator: tuple[int, str]) -> None:
    with shared.pods.serve("service/webhooks", 443, f"127.0.0.1:{operator[0]}", namespace="operator-system"):
        assert refused() == 'admission webhook "refuse.example.com" denied the request: not here'
    assert refused() == failed('no endpoints available for service "webhooks"')


def test_a_pod_is_stood_in_for(shared: Cluster, refused: Callable[[], str], operator: tuple[int, str]) -> None:
    """As soon as it is ready, at the number that the Service's port has there; without, the error says what to do."""
    shared.patch("deployment", "operator", {"spec": {"replicas": 1}}, namespace="operator-system")
    shared.wait_for("deployment/operator condition=Available", namespace="operator-system")
    shared.wait_for(lambda: "nobody listening" in refused())
    pod = shared.list("pods", namespace="operator-system")[0]["metadata"]["name"]
    text = refused()
    assert f'pod "{pod}" has nobody listening on its ports' in text and "cluster.pods.serve" in text, text
    assert "-x-" not in text, "the host's names are the host's"
    with shared.pods.serve(pod, 8080, f"127.0.0.1:{operator[0]}", namespace="operator-system"):
        assert "nobody listening" in refused()
        shared.pods.serve(f"pod/{pod}", 9443, f"127.0.0.1:{operator[0]}", namespace="operator-system")
        assert "denied the request: not here" in refused()


def test_certificates_are_checked(shared: Cluster, refused: Callable[[], str]) -> None:
    with (
        listening("other.operator-system.svc") as (port, _),
        shared.pods.serve("service/webhooks", 0, f"127.0.0.1:{port}", namespace="operator-system"),
    ):
        assert "certificate signed by unknown authority" in refused()


@pytest.mark.parametrize(
    ("what", "address"),
    [
        pytest.param("deployment/operator", "127.0.0.1:1", id="kind"),
        pytest.param("service/a", "9443", id="no-host"),
        pytest.param("service/a", "127.0.0.1:https", id="no-number"),
    ],
)
def test_what_cannot_be(shared: Cluster, what: str, address: str) -> None:
    with pytest.raises(TestingError, match="expected"):
        shared.pods.serve(what, 443, address)


def test_a_port_that_cannot_be(shared: Cluster) -> None:
    with pytest.raises(StatusError, match="port: expected a number from 0 to 65535, found 70000"):
        shared.pods.serve("service/a", 70000, "127.0.0.1:1")
