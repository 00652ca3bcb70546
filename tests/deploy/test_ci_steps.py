"""The shell steps of deploy/ci, run as their services run them: nobody's home, a clean folder, no network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.deploy import wheels
from tests.deploy.runner import ROOT, Done, Machine

pytestmark = pytest.mark.timeout(300)  # ten seconds, where nobody else uses the machine

SUITE = """
import os

def test_cluster(kloster_cluster):
    minor = os.environ["KLOSTER_KUBERNETES_VERSION"]
    assert kloster_cluster.version.startswith(f"v{minor}.")

def test_may_fail(kloster_cluster):
    kloster_cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "evidence"}})
    assert os.environ["KLOSTER_KUBERNETES_VERSION"] != os.environ.get("FAILS")
"""


@pytest.fixture(scope="module")
def machine() -> Iterator[Machine]:
    """A folder that nobody can reach, with wheels, whatever the umask; its Python is one to leave alone."""
    with tempfile.TemporaryDirectory(prefix="kloster-ci-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        root.chmod(0o755)
        python = Path(sys.base_prefix) / "bin" / "python3"
        if os.geteuid():  # it may be ours, and is to be left alone all the same
            subprocess.run([str(python), "-m", "venv", "--without-pip", folder + "/python"], check=True)
            python = root / "python/bin/python3"
        made = Machine(root / "job", python)
        made.prepare()
        house = made.workspace / "wheels of today"
        wheels.house(house)
        for path in (house, *house.iterdir()):
            path.chmod(0o755)
        (made.workspace / "suite").mkdir(mode=0o777)
        (made.workspace / "suite").chmod(0o777)
        (made.workspace / "suite" / "test_suite.py").write_text(SUITE)
        yield made


def kept(folder: Path, versions: dict[str, str], dumps: int) -> None:
    """What is kept: output, reports and descriptions."""
    for version, text in versions.items():
        assert text in (folder / version / "output.txt").read_text()
    suites = ElementTree.parse(folder / "junit.xml").getroot()
    assert [one.get("name") for one in suites] == [f"{version} pytest" for version in versions]
    evidence = [path for path in folder.rglob("evidence.yaml") if "test_may_fail" in str(path)]
    assert len(evidence) == dumps


def nothing_left(machine: Machine) -> None:
    assert not list((machine.folder / "home").rglob("*kloster*"))
    assert not list((machine.folder / "tmp").glob("kloster-*"))


@pytest.mark.skipif(find_spec("ensurepip") is None, reason="the action needs a Python that can make environments")
def test_github(machine: Machine) -> None:
    """In a new environment; then in that, with a version in which a test fails."""
    command = "python -m pytest -q -p no:cacheprovider"
    inputs = {"command": command, "working_directory": "suite", "versions": "1.31,1.37"}
    done = machine.github(kloster="../wheels of today/kloster-*.whl", **inputs)
    assert done.code == 0, done.shown
    assert "1.31 ✓ 2 passed" in done.shown and "1.37 ✓ 2 passed" in done.shown
    assert "::group::.kloster/1.31/output.txt" in done.shown
    assert done.used["actions/cache"]["path"] == str(machine.folder / "temp/kloster/downloads")
    kept(machine.workspace / done.used["actions/upload-artifact"]["path"], {"1.31": "2 passed", "1.37": "2 passed"}, 0)

    inputs |= {"command": f"FAILS=1.37 {command}", "versions": "1.37", "cache": "false", "artifact": "a"}
    inputs["python"] = str(machine.folder / "temp/kloster/environment/bin/python")
    done = machine.github(kloster="../wheels of today", **inputs)
    assert done.code == 1 and "1.37 ✗ 1 failed" in done.shown, done.shown
    assert done.used.keys() == {"actions/upload-artifact"} and done.used["actions/upload-artifact"]["name"] == "a"
    kept(machine.workspace / "suite/.kloster", {"1.37": "1 failed, 1 passed"}, 1)
    nothing_left(machine)


def test_gitlab(machine: Machine) -> None:
    """By uv, which the project's own environment is made with; in a plain shell. What is cached lies in the project."""
    add_uv(machine)
    command = "cd suite; FAILS=1.32 python -m pytest -q -p no:cacheprovider"
    variables = {"KLOSTER_COMMAND": command, "KLOSTER_VERSIONS": "1.32,1.34", "KLOSTER": "wheels of today"}
    shell = "dash" if shutil.which("dash") else "sh"
    done = machine.gitlab(shell, **variables)
    assert done.code == 1 and "1.32 ✗ 1 failed" in done.shown and "1.34 ✓ 2 passed" in done.shown, done.shown
    artifacts = done.used["artifacts"]
    assert artifacts["junit"] == ".kloster/junit.xml"
    kept(machine.workspace / artifacts["paths"], {"1.32": "1 failed, 1 passed", "1.34": "2 passed"}, 1)
    python = machine.workspace / ".cache/kloster/environment/bin/python"
    variables |= {"KLOSTER_COMMAND": "echo $FOUND", "KLOSTER_PYTHON": str(python), "KLOSTER": "installed"}
    done = machine.gitlab(shell, FOUND="it", **variables)
    assert done.code == 0 and "1.34 ✓ passed" in done.shown, done.shown
    assert (machine.workspace / ".kloster/1.34/output.txt").read_text() == "it\n"
    nothing_left(machine)


def add_uv(machine: Machine) -> None:
    """Where there is no uv it is left to pip: the same, slower."""
    uv = shutil.which("uv") or ROOT / ".cache/uv/bin/uv"
    if Path(uv).exists():
        shutil.copy(uv, machine.folder / "bin" / "uv")


@pytest.mark.parametrize(
    ("kloster", "python", "text"),
    [
        pytest.param("", "python9", "error: there is no python9; install Python 3.11 or newer", id="python"),
        pytest.param("", "old", "error: Kloster needs Python 3.11 or newer; ", id="old-python"),
        pytest.param("dist/*.whl", "", "error: there is no wheel dist/*.whl in ", id="wheel"),
        pytest.param("wheels*/a*.whl", "", "is more than one file: wheels of today/a", id="wheels"),
        pytest.param("newest", "", "error: there is no folder newest in ", id="folder"),
    ],
)
def test_mistakes_are_one_clear_line(machine: Machine, kloster: str, python: str, text: str) -> None:
    old = machine.folder / "bin" / "old"
    old.write_text('#!/bin/sh\ncase "$1" in --version) echo Python 3.9.2;; *) exit 1;; esac\n')
    old.chmod(0o755)
    for done in _both(machine, kloster, python or sys.executable):
        assert done.code == 1 and text in done.shown, done
        assert len(done.shown.splitlines()) <= 3 and "Traceback" not in done.shown


def _both(machine: Machine, kloster: str, python: str) -> list[Done]:
    return [
        machine.github(command="true", kloster=kloster, python=python, cache="false"),
        machine.gitlab(KLOSTER=kloster, KLOSTER_PYTHON=python),
    ]
