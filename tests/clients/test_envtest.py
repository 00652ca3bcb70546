"""controller-runtime's own tests, as they are: they start Kloster's executables in place of kube-apiserver and etcd.

Nobody here wrote them. They install definitions and webhooks, run managers with leader election, caches, informers,
webhook servers, and hold clients to what a kube-apiserver answers.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from tests.clients import build

from kloster.envtest import assets

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1800)]

HTTP2 = "should not leak goroutines when manager is stopped with warmup runnable and with leader election enabled"
"""Counts the connections of its own process: over HTTP/2 there is one, over HTTP/1.1 one more while two requests are
under way."""

PACKAGES = {
    "pkg/envtest": 28,
    "pkg/internal/testing/controlplane": 41,
    "pkg/client": 279,
    "pkg/builder": 50,
    "pkg/cluster": 14,
    "pkg/webhook": 8,
    "pkg/controller": 32,
    "pkg/controller/controllerutil": 60,
    "pkg/source": 19,
    "pkg/internal/recorder": 4,
    "pkg/internal/controller": 64,
    "pkg/manager": 105,
    "pkg/cache": 276,
}
"""How many specs each has that run."""

_RAN = re.compile(r"Ran (\d+) of \d+ Specs")


@pytest.fixture(scope="session")
def executables(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("envtest")
    assets.write(folder, "1.34")
    return folder


@pytest.mark.parametrize("package", PACKAGES)
def test_controller_runtime(package: str, executables: Path) -> None:
    binary, folder = build.own_tests("sigs.k8s.io/controller-runtime", "v0.22.5", package)
    command = [str(binary), "-ginkgo.no-color", f"-ginkgo.skip={HTTP2}"]
    environment = {**os.environ, "KUBEBUILDER_ASSETS": str(executables)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    found = _RAN.search(done.stdout)
    assert done.returncode == 0 and found is not None, done.stdout[-5000:] + done.stderr[-2000:]
    assert int(found[1]) == PACKAGES[package]
