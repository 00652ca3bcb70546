"""Builds the Go clients that the tests drive, once, into .cache/clients/VERSION/.

kubectl is built from upstream's own source through the Go module proxy: `go install …@v1.34.4` refuses a module with
replace lines, so go/kubectl is a module of ours that requires k8s.io/kubernetes and repeats those lines. The programs
in go/informers and go/manager are ordinary users of client-go and controller-runtime. A build is skipped while the
module's files are those that the binary was built from.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from pathlib import Path

SOURCES = Path(__file__).parent / "go"
CACHE = Path(__file__).parents[2] / ".cache" / "clients"
MISSING_GO = "tests/clients needs Go 1.24 or newer on PATH (it builds kubectl and the Go clients)"


class BuildError(Exception):
    """A client could not be built."""


def kubectl() -> Path:
    """The kubectl whose outputs the golden files hold: exactly the version that go/kubectl/go.mod pins."""
    version = _required("kubectl", "k8s.io/kubernetes")
    major, minor, _ = version.removeprefix("v").split(".")
    stamped = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    packages = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    flags = " ".join(f"-X {package}.{key}={value}" for package in packages for key, value in stamped.items())
    return _built("kubectl", version, "k8s.io/kubernetes/cmd/kubectl", flags)


def informers() -> Path:
    """The client-go program."""
    return _built("informers", _required("informers", "k8s.io/client-go"), ".")


def manager() -> Path:
    """The controller-runtime program."""
    return _built("manager", _required("manager", "sigs.k8s.io/controller-runtime"), ".")


def _required(module: str, path: str) -> str:
    text = (SOURCES / module / "go.mod").read_text()
    found = re.search(rf"^(?:require)?\s*{re.escape(path)} (v\S+)", text, re.MULTILINE)
    if found is None:
        raise BuildError(f"{module}/go.mod does not require {path}")
    return found[1]


def _built(module: str, version: str, package: str, flags: str = "") -> Path:
    directory = SOURCES / module
    binary = CACHE / version / module
    stamp = binary.with_suffix(".sum")
    sources = _digest(directory, flags)
    if binary.exists() and stamp.exists() and stamp.read_text() == sources:
        return binary
    go = shutil.which("go")
    if go is None:
        raise BuildError(MISSING_GO)
    binary.parent.mkdir(parents=True, exist_ok=True)
    command = [go, "build", "-trimpath", "-ldflags", f"-s -w {flags}".strip(), "-o", str(binary), package]
    finished = subprocess.run(
        ["nice", *command] if shutil.which("nice") else command,
        cwd=directory,
        env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"},
        capture_output=True,
        text=True,
        check=False,
    )
    if finished.returncode:
        raise BuildError(f"building {module} failed:\n{finished.stderr[-2000:]}")
    stamp.write_text(sources)
    return binary


def _digest(directory: Path, flags: str) -> str:
    files = sorted(path for path in directory.iterdir() if path.suffix in {".go", ".mod", ".sum"})
    return hashlib.sha256(
        flags.encode() + b"".join(path.name.encode() + path.read_bytes() for path in files)
    ).hexdigest()
