"""`kloster run`: a command once per version, what is kept of it, and that nothing stays behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from tests.cli.shell import KLOSTER, Shell

from kloster.cli import junit

SUITE = """
import json, os, ssl, urllib.request
import yaml

def version():
    config = yaml.safe_load(open(os.environ["KUBECONFIG"]))
    context = ssl.create_default_context(cadata=__import__("base64").b64decode(
        config["clusters"][0]["cluster"]["certificate-authority-data"]).decode())
    server = config["clusters"][0]["cluster"]["server"]
    return json.load(urllib.request.urlopen(server + "/version", context=context))["gitVersion"]

def test_version():
    assert version().startswith("v" + os.environ["KLOSTER_KUBERNETES_VERSION"] + ".")

def test_upgrade():
    assert os.environ["KLOSTER_KUBERNETES_VERSION"] != "1.37"

def test_executables():
    assert os.access(os.environ["KUBEBUILDER_ASSETS"] + "/kube-apiserver", os.X_OK)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "test_suite.py").write_text(SUITE)
    return folder


def run(shell: Shell, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*KLOSTER, "run", *arguments],
        cwd=folder,
        env=environment(shell),
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )


def environment(shell: Shell) -> dict[str, str]:
    found = {name: value for name, value in shell.environment.items() if name != "KLOSTER_DATA_DIR"}
    return {**found, "TMPDIR": str(shell.home)}


def left(shell: Shell) -> list[str]:
    """Fleets of test runs that have not gone."""
    return [path.name for path in shell.home.glob("kloster-*")]


def test_a_line_a_version(shell: Shell, project: Path) -> None:
    done = run(
        shell, project, "--versions", "1.34,1.37", "--", sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"
    )
    lines = done.stdout.splitlines()
    assert re.fullmatch(r"1\.34 ✓ 3 passed    +\d+(\.\d)? m?s", lines[0]), done
    assert re.fullmatch(r"1\.37 ✗ 1 failed    +\d+(\.\d)? m?s   dump: \.kloster/1\.37/test_upgrade/", lines[1]), done
    assert (len(lines), done.returncode) == (2, 1)
    kept = project / ".kloster"
    assert "1 failed, 2 passed" in (kept / "1.37" / "output.txt").read_text()
    assert (kept / "1.37" / "test_upgrade" / "objects" / "_cluster" / "namespaces" / "default.yaml").exists()
    suites = ElementTree.parse(kept / "junit.xml").getroot()
    assert [(one.get("name"), one.get("failures")) for one in suites] == [("1.34 pytest", "0"), ("1.37 pytest", "1")]
    assert left(shell) == []


def test_exit_codes_and_placeholders(shell: Shell, project: Path) -> None:
    script = 'echo "$0 $1"; test "$0" = 1.34 && exit 3; sleep 60 & exit 0'
    done = run(shell, project, "--versions", "1.34,1.35", "--", "sh", "-c", script, "{version}", "{junit}")
    assert done.returncode == 3
    assert [line.split("   ")[0] for line in done.stdout.splitlines()] == ["1.34 ✗ exit code 3", "1.35 ✓ passed"]
    report = project / ".kloster" / "1.34" / "junit.xml"
    assert (project / ".kloster" / "1.34" / "output.txt").read_text() == f"1.34 {report}\n"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        pytest.param(["--versions", "1.34"], "say what to run", id="no-command"),
        pytest.param(["--versions", "1.5", "--", "true"], "'1.5' is not supported", id="version"),
        pytest.param(["--fork", "base", "--", "true"], "say which version cluster base is", id="fork-without-version"),
        pytest.param(["--output", "/proc/no", "--", "true"], "choose another with --output", id="unwritable"),
    ],
)
def test_mistakes(shell: Shell, project: Path, arguments: list[str], text: str) -> None:
    done = run(shell, project, *arguments)
    assert done.returncode == 1
    assert text in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_a_command_that_is_not_there(shell: Shell, project: Path) -> None:
    done = run(shell, project, "--versions", "1.34", "--", "no-such-command")
    assert done.returncode == 127
    assert "1.34 ✗ cannot run no-such-command: no such command on PATH" in done.stdout


def _started(shell: Shell, project: Path, *options: str) -> tuple[subprocess.Popen[str], list[int]]:
    """A run whose commands (and what they have started) sleep, and the process ids of those."""
    command = ["sh", "-c", 'sleep 600 & echo $! $$ > "$KLOSTER_RUN_DIR/pids"; wait']
    process = subprocess.Popen(
        [*KLOSTER, "run", "--versions", "1.34,1.35", *options, "--", *command],
        cwd=project,
        env=environment(shell),
        text=True,
        start_new_session=True,
    )
    files = [project / ".kloster" / version / "pids" for version in ("1.34", "1.35")]
    ends = time.monotonic() + 60
    while not all(file.exists() and len(file.read_text().split()) == 2 for file in files):
        assert time.monotonic() < ends and process.poll() is None
        time.sleep(0.05)
    return process, [int(pid) for file in files for pid in file.read_text().split()]


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_stays_behind(shell: Shell, project: Path, number: signal.Signals) -> None:
    process, pids = _started(shell, project)
    os.kill(process.pid, number)
    process.wait(60)
    ends = time.monotonic() + 60
    while any(_alive(pid) for pid in pids) or left(shell):
        assert time.monotonic() < ends, (pids, left(shell))
        time.sleep(0.05)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_cluster_stays_in_a_fleet_that_goes_on(shell: Shell, project: Path, number: signal.Signals) -> None:
    shell.ok("up", "--nodes", "1")
    shell.ok("create", "mine", "--no-connect")
    process, pids = _started(shell, project, "--data-dir", str(shell.data))
    assert len(shell.ok("list", "-o", "name").out.split()) == 3
    os.kill(process.pid, number)
    process.wait(60)
    ends = time.monotonic() + 60
    while any(_alive(pid) for pid in pids) or len(shell.ok("list", "-o", "name").out.split()) > 1:
        assert time.monotonic() < ends
        time.sleep(0.05)
    assert shell.ok("list", "-o", "name").out.split() == ["virtualcluster.kloster.dev/mine"]
    assert not [path for path in shell.home.iterdir() if path.name.startswith("kloster-")] or number == signal.SIGKILL


def test_two_runs_do_not_share_a_folder(shell: Shell, project: Path) -> None:
    process, _ = _started(shell, project)
    try:
        done = run(shell, project, "--versions", "1.34", "--", "true")
        assert "another kloster run uses" in done.stderr and done.returncode == 1
    finally:
        process.terminate()
        process.wait(60)


def test_forks_of_a_given_fleet(shell: Shell, project: Path) -> None:
    shell.ok("up", "--nodes", "1")
    shell.ok("create", "base-1-34", "-n", "default", "--kubernetes-version", "1.34")
    core = "from kubernetes import client, config; config.load_kube_config(); core = client.CoreV1Api(); "
    prepare = core + "core.create_namespace({'metadata': {'name': 'prepared'}})"
    shell.ok("connect", "base-1-34", "-n", "default", "--", sys.executable, "-c", prepare)
    command = [sys.executable, "-c", core + "print(core.read_namespace('prepared').metadata.name)"]
    fork = ["--data-dir", str(shell.data), "--fork", "base-{version}"]
    done = run(shell, project, "--versions", "1.34", *fork, "--", *command)
    assert done.returncode == 0, (done, (project / ".kloster" / "1.34" / "output.txt").read_text())
    assert (project / ".kloster" / "1.34" / "output.txt").read_text() == "prepared\n"
    assert shell.ok("list", "-o", "name").out.split() == ["virtualcluster.kloster.dev/base-1-34"]
    done = run(shell, project, "--versions", "1.35", *fork, "--", "true")
    assert done.returncode == 1 and "base-1-35" in done.stdout


@pytest.mark.parametrize(
    ("text", "passed", "failed", "names"),
    [
        pytest.param("..F\n1 failed, 2 passed in 0.1s\n", 2, 1, [], id="pytest"),
        pytest.param("===== 3 passed, 1 skipped in 2.0s =====\n", 3, 0, [], id="pytest-rule"),
        pytest.param(
            "--- PASS: TestA (0.1s)\n    --- FAIL: TestB/x (0.1s)\nFAIL\n", 1, 1, ["TestB/x"], id="go-verbose"
        ),
        pytest.param("ok  \ta/b\t0.1s\nFAIL\ta/c\t2.0s\nFAIL\n", 1, 1, ["a/c"], id="go"),
        pytest.param("all is well\n", 0, 0, [], id="unknown"),
    ],
)
def test_what_output_says(text: str, passed: int, failed: int, names: list[str]) -> None:
    counts = junit.read_output(text)
    assert (counts.passed, counts.failed, counts.failures) == (passed, failed, names)


def test_reports_are_read_and_others_are_not(tmp_path: Path) -> None:
    case = '<testcase name="{}"><{}/></testcase>'
    inner = "".join(case.format(*one) for one in (("a", "x"), ("b", "failure"), ("c", "error"), ("d", "skipped")))
    (tmp_path / "one.xml").write_text(f'<testsuite name="s">{inner}</testsuite>')
    (tmp_path / "pom.xml").write_text("<project/>")
    (tmp_path / "broken.xml").write_text("<testsuite")
    found = junit.find(tmp_path, 0.0)
    assert [path.name for path in found] == ["one.xml"]
    assert junit.find(tmp_path, time.time() + 60) == []
    counts = junit.count(found)
    assert (counts.passed, counts.failed, counts.skipped, counts.failures) == (1, 2, 1, ["b", "c"])
