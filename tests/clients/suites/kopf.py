"""kopf's own end-to-end tests: its source distribution's tests/e2e and examples, which run its examples by `kopf run`.

They need a cluster (KUBECONFIG) and kubectl. Most of their time they wait, so they are dealt out to several clusters.
The environment is what kopf's own CI installs. That has oscrypto at a commit between releases, whose change to the
released version is made here: it reads OpenSSL's version also where a part of it has two digits.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path

from tests.clients.build import CACHE
from tests.clients.suites.results import HERE, Outcome, SuiteError, of_junit

NAME = "kopf"
WHERE = ("tests/e2e", "examples")
OPTIONS = ("--timeout=30", "--only-e2e", "-W", "ignore::pytest.PytestUnraisableExceptionWarning")
"""As kopf's own CI runs them, apart from the last.

kopf's tests take every warning for a failure, and say that -W is the way around it. A transport that is not closed when
Python collects the operator's event loop warns: a race within the client, on a busy machine with any server.
"""

LIMIT = 600
_PIP = HERE.parents[2] / "tools" / "bootstrap" / "pip-25.3-py3-none-any.whl" / "pip"
_SOURCE, _NEEDS = HERE / "kopf-source.txt", HERE / "kopf-needs.txt"
_DIGITS = (r"\\b(\\d\\.\\d\\.\\d[a-z]*)\\b", r"\\b(\\d+\\.\\d+\\.\\d+[a-z]*)\\b")


def environment() -> Path:
    """The interpreter of an environment with everything that the tests need but kopf. Made once."""
    digest = hashlib.sha256(_NEEDS.read_bytes() + sys.version.encode()).hexdigest()[:12]
    folder = CACHE / f"kopf-{digest}"
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        _checked([sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)])
        _checked([*_pip(python), "install", "--quiet", "--require-hashes", "--no-deps", "-r", str(_NEEDS)])
        for path in folder.glob("lib/*/site-packages/oscrypto/_openssl/_libcrypto_c*.py"):
            path.write_text(path.read_text().replace(*_DIGITS))
        (folder / "ready").touch()
    return python


def unpack(folder: Path) -> Path:
    """kopf's source distribution, unchanged, in a new folder."""
    download = CACHE / "sources"
    pinned = _SOURCE.read_text().split("==")[1].split()[0]
    archive = download / f"kopf-{pinned}.tar.gz"
    options = ["--no-binary", ":all:", "--no-build-isolation", "--no-deps", "--require-hashes", "-r", str(_SOURCE)]
    if not archive.exists():
        _checked([*_pip(environment()), "download", "--quiet", *options, "--dest", str(download)])
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return folder / f"kopf-{pinned}"


def run(kubeconfigs: Sequence[Path], kubectl: Path, folder: Path) -> dict[str, Outcome]:
    """Run all tests, each on one of these clusters, and all clusters at a time."""
    python, source = environment(), unpack(folder)
    listed = _pytest(python, source, kubectl, kubeconfigs[0], [*WHERE, "--collect-only", "-q"], folder / "collected")
    listed.wait(timeout=LIMIT)
    tests = [line for line in (folder / "collected.log").read_text().splitlines() if "::" in line]
    if not tests:
        raise SuiteError((folder / "collected.log").read_text()[-3000:])
    running = []
    for number, kubeconfig in enumerate(kubeconfigs):
        mine = tests[number :: len(kubeconfigs)]
        if mine:
            others = [f"--deselect={test}" for test in tests if test not in mine]
            arguments = [*WHERE, *others]
            running.append(_pytest(python, source, kubectl, kubeconfig, arguments, folder / f"part-{number}"))
    found = {test: Outcome("missing") for test in tests}
    try:
        for process in running:
            process.wait(timeout=LIMIT)
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
    for number in range(len(running)):
        found |= of_junit(folder / f"part-{number}.xml")
    return found


def _pytest(
    python: Path, source: Path, kubectl: Path, kubeconfig: Path, arguments: Sequence[str], output: Path
) -> subprocess.Popen[bytes]:
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "COV_"))}
    env |= {
        "HOME": str(output.parent),
        "KUBECONFIG": str(kubeconfig),
        "PATH": f"{kubectl.parent}{os.pathsep}{env['PATH']}",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": str(source),
    }
    command = [str(python), "-m", "pytest", "-p", "no:cacheprovider", *OPTIONS, f"--junitxml={output}.xml", *arguments]
    with output.with_suffix(".log").open("wb") as log:
        return subprocess.Popen(command, cwd=source, env=env, stdout=log, stderr=log)


def _pip(python: Path) -> list[str]:
    return [sys.executable, str(_PIP), "--python", str(python)]


def _checked(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SuiteError(
            f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        )
