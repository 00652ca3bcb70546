"""kopf: an operator with handlers, a timer, finalizers and status patches; stopped and started again in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.clients.kubectl.scenario import Kubectl

HERE = Path(__file__).parent
OPERATOR = HERE / "operators" / "greetings.py"


@contextmanager
def _operator(kubectl: Kubectl, namespace: str) -> Iterator[Path]:
    """`kopf run`, ended as a user ends it. Yields its log."""
    log = kubectl.directory / "kopf.log"
    env = {**os.environ, "KUBECONFIG": str(kubectl.kubeconfig), "HOME": str(kubectl.directory)}
    command = [sys.executable, "-m", "kopf", "run", "--namespace", namespace, "--standalone", str(OPERATOR)]
    with (
        log.open("a") as output,
        subprocess.Popen(command, env=env, cwd=kubectl.directory, stdout=output, stderr=output) as process,
    ):
        try:
            yield log
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=20) == 0, log.read_text()[-3000:]
        finally:
            if process.poll() is None:
                process.kill()


def _greeting(kubectl: Kubectl, namespace: str, name: str, whom: str) -> None:
    body = {
        "apiVersion": "kopf.kloster.dev/v1",
        "kind": "Greeting",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"whom": whom},
    }
    path = kubectl.directory / f"{name}.json"
    path.write_text(json.dumps(body))
    kubectl.raw(f"apply -f {path}")


def test_an_operator_of_kopf_works_and_goes_on_after_a_restart(kubectl: Kubectl, namespace: str) -> None:
    kubectl.raw(f"apply -f {HERE / 'manifests' / 'greetings.yaml'}")
    kubectl.raw("wait crd/greetings.kopf.kloster.dev --for=condition=Established --timeout=20s")

    def wait(what: str, path: str, value: str) -> None:
        kubectl.raw(f"wait {what} --for=jsonpath='{{{path}}}'='{value}' --timeout=30s -n {namespace}")

    def read(what: str) -> Any:
        return json.loads(kubectl.raw(f"get {what} -n {namespace} -o json"))

    with _operator(kubectl, namespace) as log:
        _greeting(kubectl, namespace, "world", "World")
        wait("greeting/world", ".status.phase", "Greeted")
        wait("greeting/world", ".status.greet.text", "Hello, World!")
        wait("configmap/world", ".data.text", "Hello, World!")
        greeting, made = read("greeting world"), read("configmap world")
        assert greeting["metadata"]["finalizers"] == ["kopf.kloster.dev/finalizer"]
        assert made["metadata"]["ownerReferences"][0]["uid"] == greeting["metadata"]["uid"]
        wait("greeting/world", ".status.ticks", "3")
        _greeting(kubectl, namespace, "world", "Moon")
        wait("configmap/world", ".data.text", "Hello, Moon!")
        reasons = {one["reason"] for one in read("events --field-selector involvedObject.kind=Greeting")["items"]}
        assert "Logging" in reasons
    assert "seen ADDED world" in log.read_text()

    # Changed, made and deleted while nobody looks: the operator catches up.
    _greeting(kubectl, namespace, "world", "Sun")
    _greeting(kubectl, namespace, "late", "Late")
    kubectl.raw(f"delete greeting world -n {namespace} --wait=false")
    assert kubectl.run(f"get configmap farewell-world -n {namespace}").code == 1
    with _operator(kubectl, namespace):
        wait("greeting/late", ".status.greet.text", "Hello, Late!")
        kubectl.raw(f"wait greeting/world --for=delete --timeout=30s -n {namespace}")
        read("configmap farewell-world")
        kubectl.raw(f"wait configmap/world --for=delete --timeout=30s -n {namespace}")
        kubectl.raw(f"delete greeting late -n {namespace} --timeout=30s")
        read("configmap farewell-late")
