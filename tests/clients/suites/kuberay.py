"""KubeRay's own envtest suites: its controllers of RayCluster, RayJob and RayService, and its webhooks.

The packages' test binaries run as they are, in parts, each with a control plane of its own: the specs of a file share
objects, those of different files do not. The plain Go tests of the package come first in each run, as one of the specs
uses what they leave behind.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.clients import build
from tests.clients.suites.results import Outcome, SuiteError, of_ginkgo, of_go

MODULE, VERSION = "github.com/ray-project/kuberay/ray-operator", "v1.5.0"
SEED = 1
"""Of the order of the specs."""

LIMIT = 600
ATTEMPTS = 5

PATIENCE = {"KUBEBUILDER_CONTROLPLANE_START_TIMEOUT": "180s", "KUBEBUILDER_CONTROLPLANE_STOP_TIMEOUT": "180s"}
"""Several real control planes that start at a time on a busy machine need more than envtest's 20 seconds."""

ENTRANCES = ("TestAPIs",)
"""The Go tests that run the specs: they pass if all specs do."""


@dataclass(frozen=True, slots=True)
class Part:
    """One run: the specs of these files of a package whose text has `focus` and has not `skip`."""

    package: str
    files: tuple[str, ...]
    focus: str = ""
    skip: str = ""

    def has(self, spec: str) -> bool:
        return re.search(self.focus, spec) is not None and not (self.skip and re.search(self.skip, spec))


_JOBS = ("rayjob_controller_test.go", "rayjob_controller_suspended_test.go")
_WEBHOOKS = ("raycluster_webhook_test.go", "rayjob_webhook_test.go", "rayservice_webhook_test.go")
_DELETION = "RayJob with DeletionStrategy"
PARTS: dict[str, Part] = {
    "clusters": Part("controllers/ray", ("raycluster_controller_test.go",)),
    "services": Part("controllers/ray", ("rayservice_controller_test.go",)),
    "jobs": Part("controllers/ray", _JOBS),
    "jobs-1": Part("controllers/ray", _JOBS, skip=_DELETION),
    "jobs-2": Part("controllers/ray", _JOBS, focus=f"{_DELETION} Delete .* success"),
    "jobs-3": Part("controllers/ray", _JOBS, focus=f"{_DELETION} Delete .* failure"),
    "jobs-4": Part("controllers/ray", _JOBS, focus=f"{_DELETION} Should .* success"),
    "jobs-5": Part("controllers/ray", _JOBS, focus=f"{_DELETION} Should .* failure"),
    "webhooks": Part("pkg/webhooks/v1", _WEBHOOKS),
}
"""Most of the time of the specs about deletion is waiting, so they are dealt out."""

RUNS: dict[str, tuple[str, tuple[str, ...]]] = {
    "kuberay-1.31": (
        "1.31",
        ("clusters", "services", "jobs-1", "jobs-2", "jobs-3", "jobs-4", "jobs-5", "webhooks"),
    ),
    "kuberay-1.34": ("1.34", ("jobs",)),
}
"""Record → the Kubernetes version and the parts that run on it.

From 1.32 on a job cannot be reported complete in one step, which the specs of RayJobs do: a part of them fails there on
any server. In 1.31 all of them run.
"""


def run(assets: Path, folder: Path, parts: Sequence[str]) -> dict[str, Outcome]:
    """Run these parts at a time on the executables of `assets`, reports and outputs in `folder`."""
    running = {name: _start(name, assets, folder) for name in parts}
    found: dict[str, Outcome] = {}
    try:
        for name, process in running.items():
            process.wait(timeout=LIMIT)
            found |= _outcomes(name, folder)
    finally:
        for process in running.values():
            _end(process)
    return found


def run_slowly(assets: Path, folder: Path, parts: Sequence[str]) -> dict[str, Outcome]:
    """One part after the other, again if it did not begin.

    On a busy machine a real control plane may need longer than the ten seconds which envtest gives it to serve
    definitions. That says nothing about what it answers.
    """
    found: dict[str, Outcome] = {}
    for name in parts:
        for attempts_left in reversed(range(ATTEMPTS)):
            process = _start(name, assets, folder)
            try:
                process.wait(timeout=LIMIT)
                found |= _outcomes(name, folder)
                break
            except SuiteError:
                if not attempts_left:
                    raise
            finally:
                _end(process)
    return found


def _start(name: str, assets: Path, folder: Path) -> subprocess.Popen[bytes]:
    part = PARTS[name]
    binary, where = build.own_tests(MODULE, VERSION, part.package)
    command = [str(binary), "-test.v", "-ginkgo.no-color", f"-ginkgo.seed={SEED}"]
    command += [f"-ginkgo.json-report={folder / f'{name}.json'}"]
    command += [f"-ginkgo.focus-file={file}" for file in part.files]
    command += [f"-ginkgo.focus={part.focus}"] if part.focus else []
    command += [f"-ginkgo.skip={part.skip}"] if part.skip else []
    env = {**os.environ, "KUBEBUILDER_ASSETS": str(assets), **PATIENCE}
    with (folder / f"{name}.log").open("wb") as output:
        return subprocess.Popen(command, cwd=where, env=env, stdout=output, stderr=output)


def _outcomes(name: str, folder: Path) -> dict[str, Outcome]:
    part, output = PARTS[name], (folder / f"{name}.log").read_text(errors="replace")
    specs = {spec: one for spec, one in of_ginkgo(folder / f"{name}.json", part.files).items() if part.has(spec)}
    if all(one.state == "skipped" for one in specs.values()):
        raise SuiteError(f"{part.package} did not begin:\n{output[-5000:]}")
    plain = {f"{part.package} {name}": one for name, one in of_go(output).items() if name not in ENTRANCES}
    return {**specs, **plain}


def _end(process: subprocess.Popen[bytes]) -> None:
    """A run that takes too long stops what it has started when it is asked to end."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
