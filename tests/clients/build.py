"""Builds the Go clients that the tests drive, once, into .cache/clients/VERSION/.

kubectl is built from upstream's own source through the Go module proxy: `go install …@v1.34.4` refuses a module with
replace lines, so go/kubectl is a module of ours that requires k8s.io/kubernetes and repeats those lines. The programs
in go/informers and go/manager are ordinary users of client-go and controller-runtime. A build is skipped while the
module's files are those that the binary was built from.
"""

from __future__ import annotations

import hashlib
import json
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


def own_tests(module: str, version: str, package: str) -> tuple[Path, Path]:
    """A module's own tests of a package, as they are: the binary, and the folder to run it in.

    The module proxy's archives leave out that scripts are executable, and tests may write beside themselves, hence a
    copy. The directory of the module's download is what Go says it is.
    """
    folder = CACHE / f"{module.rpartition('/')[2]}-{version}"
    go = shutil.which("go")
    if go is None:
        raise BuildError(MISSING_GO)
    if not (folder / "go.mod").exists():
        told = subprocess.run(
            [go, "mod", "download", "-json", f"{module}@{version}"], capture_output=True, text=True, check=False
        )
        if told.returncode != 0:
            raise BuildError(f"{module}@{version} cannot be downloaded:\n{told.stdout[-2000:]}{told.stderr[-2000:]}")
        copy = folder.with_suffix(f".{os.getpid()}")
        shutil.copytree(json.loads(told.stdout)["Dir"], copy)
        for path in [copy, *copy.rglob("*")]:
            path.chmod(0o755 if path.is_dir() or path.suffix == ".sh" else 0o644)
        copy.replace(folder)
    binary = folder / f"{package.replace('/', '_')}.test"
    if not binary.exists():
        nice = ["nice"] if shutil.which("nice") else []
        command = [*nice, go, "test", "-c", "-o", str(binary), f"./{package}"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BuildError(f"{module}/{package} cannot be built:\n{done.stderr[-4000:]}")
    return binary, folder / package


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
