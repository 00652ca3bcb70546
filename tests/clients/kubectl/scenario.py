"""Runs a scenario: files in a directory, a namespace of its own, and kubectl commands one after the other.

A scenario file holds
  files:    name -> text, written into the directory in which the commands run
  cluster:  kinds/names outside the namespace that the scenario makes, deleted before and after it
  steps:    each a command line of kubectl (`run`), and optionally
            stdin:   text for its standard input
            env:     more environment (KUBE_EDITOR)
            wait:    seconds for which the command is repeated until it exits with 0 and prints a line that matches
                     `until` (a controller's work takes a moment)
            during:  kubectl commands that run while `run`, a watch, is running; it is interrupted afterwards
            compare: lines (default), sorted (the order of lines is nobody's promise), code (exit code alone),
                     nothing (a preparation)
            differs: a known difference and its reason; the test fails when there is none any more
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from tests.clients.fleets import in_namespace
from tests.clients.kubectl.normalize import normalized

CORPUS = Path(__file__).parent / "corpus"
GOLDEN = Path(__file__).parent / "golden"
TIMEOUT = 60


@dataclass(frozen=True, slots=True)
class Step:
    """One command and how its output is compared."""

    run: str
    stdin: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    wait: float = 0
    until: str = ""
    during: tuple[str, ...] = ()
    compare: str = "lines"
    differs: str = ""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A corpus file."""

    name: str
    steps: tuple[Step, ...]
    files: Mapping[str, str]
    cluster: tuple[str, ...]

    @property
    def namespace(self) -> str:
        return f"k-{self.name}"


@dataclass(frozen=True, slots=True)
class Result:
    """What a command printed, without what may differ, and its exit code."""

    run: str
    code: int
    stdout: str
    stderr: str

    def comparable(self, how: str) -> dict[str, Any]:
        if how == "nothing":
            return {}
        if how == "code":
            return {"code": self.code}
        if how == "sorted":
            return {
                "code": self.code,
                "stdout": sorted(self.stdout.splitlines()),
                "stderr": sorted(self.stderr.splitlines()),
            }
        return {"code": self.code, "stdout": self.stdout, "stderr": self.stderr}


def load(path: Path) -> Scenario:
    """Read a corpus file. A step may be given as its command line alone."""
    document = yaml.safe_load(path.read_text())
    steps = []
    for one in document["steps"]:
        fields = {"run": one} if isinstance(one, str) else dict(one)
        fields["during"] = tuple(fields.get("during", ()))
        steps.append(Step(**fields))
    return Scenario(path.stem, tuple(steps), document.get("files", {}), tuple(document.get("cluster", ())))


def corpus() -> list[Scenario]:
    return [load(path) for path in sorted(CORPUS.glob("*.yaml"))]


@dataclass(frozen=True, slots=True)
class Kubectl:
    """A kubectl binary, a kubeconfig and a directory to run in."""

    binary: Path
    kubeconfig: Path
    directory: Path

    def environment(self, more: Mapping[str, str]) -> dict[str, str]:
        kept = {key: os.environ[key] for key in ("PATH",) if key in os.environ}
        home = self.directory / ".home"
        home.mkdir(exist_ok=True)
        fixed = {"HOME": str(home), "KUBECONFIG": str(self.kubeconfig), "TZ": "UTC", "LC_ALL": "C.UTF-8"}
        return {**kept, **fixed, **more}

    def run(self, line: str, stdin: str = "", env: Mapping[str, str] | None = None) -> Result:
        """Run one command to its end."""
        finished = subprocess.run(
            [str(self.binary), *shlex.split(line)],
            cwd=self.directory,
            env=self.environment(env or {}),
            input=stdin,
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        return self._result(line, finished.returncode, finished.stdout, finished.stderr)

    def raw(self, line: str) -> str:
        """Standard output of a command that has to succeed, to the letter."""
        finished = subprocess.run(
            [str(self.binary), *shlex.split(line)],
            cwd=self.directory,
            env=self.environment({}),
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        assert finished.returncode == 0, f"kubectl {line}: {finished.stdout}{finished.stderr}"
        return finished.stdout

    def watch(self, line: str, during: tuple[str, ...], env: Mapping[str, str]) -> Result:
        """Run a command that does not end by itself while others run, then interrupt it as a user does."""
        with subprocess.Popen(
            [str(self.binary), *shlex.split(line)],
            cwd=self.directory,
            env=self.environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            time.sleep(1.5)
            for command in during:
                self.run(command)
                time.sleep(0.3)
            time.sleep(0.7)
            process.send_signal(signal.SIGINT)
            try:
                stdout, stderr = process.communicate(timeout=10)
            finally:
                process.kill()
        return self._result(line, process.returncode, stdout, stderr)

    def _result(self, line: str, code: int, stdout: str, stderr: str) -> Result:
        place = str(self.directory)
        return Result(line, code, normalized(stdout.replace(place, "DIR")), normalized(stderr.replace(place, "DIR")))


def play(scenario: Scenario, binary: Path, kubeconfig: Path, directory: Path) -> Iterator[tuple[Step, Result]]:
    """Run a scenario step by step, in an empty namespace that is deleted afterwards."""
    for name, text in scenario.files.items():
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755 if text.startswith("#!") else 0o644)
    own = in_namespace(kubeconfig, scenario.namespace, directory / ".kubeconfig")
    kubectl = Kubectl(binary, own, directory)
    _clear(kubectl, scenario, wait=True)
    made = kubectl.run(f"create namespace {scenario.namespace}")
    assert made.code == 0, made.stderr
    until = time.monotonic() + 20
    while kubectl.run("get serviceaccount default").code and time.monotonic() < until:
        time.sleep(0.1)
    try:
        for step in scenario.steps:
            yield step, perform(kubectl, step)
    finally:
        _clear(kubectl, scenario, wait=False)


def perform(kubectl: Kubectl, step: Step) -> Result:
    if step.during:
        return kubectl.watch(step.run, step.during, step.env)
    ends = time.monotonic() + step.wait
    while True:
        result = kubectl.run(step.run, step.stdin, step.env)
        met = result.code == 0 and (not step.until or re.search(step.until, result.stdout, re.MULTILINE))
        if not step.wait or met or time.monotonic() > ends:
            return result
        time.sleep(0.2)


def _clear(kubectl: Kubectl, scenario: Scenario, wait: bool) -> None:
    for name in scenario.cluster:
        kubectl.run(f"delete {name} --ignore-not-found --wait={str(wait).lower()} --timeout=20s")
    kubectl.run(f"delete namespace {scenario.namespace} --ignore-not-found --wait={str(wait).lower()} --timeout=40s")


def read_golden(minor: str, scenario: Scenario) -> list[Result]:
    """What a real server of this minor answered to the scenario's steps."""
    document = yaml.safe_load((GOLDEN / minor / f"{scenario.name}.yaml").read_text())
    return [Result(one["run"], one["code"], one.get("stdout", ""), one.get("stderr", "")) for one in document]


class _Dumper(yaml.SafeDumper):
    """Writes outputs as blocks, so that a golden file reads like a terminal."""


def _block(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _block)


def write_golden(minor: str, scenario: Scenario, results: list[Result]) -> None:
    """Store what a real server answered."""
    document = []
    for one in results:
        entry: dict[str, Any] = {"run": one.run, "code": one.code}
        entry.update({key: text for key, text in (("stdout", one.stdout), ("stderr", one.stderr)) if text})
        document.append(entry)
    path = GOLDEN / minor / f"{scenario.name}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.dump(document, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1000))
