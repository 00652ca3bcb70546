"""Upstream's programs, built once by Go for a version and kept outside the tree.

A plain ``go install k8s.io/kubernetes/cmd/kube-apiserver@VERSION`` is refused, because that module has replace lines.
So a module of our own is made, which requires it and repeats these lines with the staging modules' published
versions. The version is stamped as upstream's release build does: without it, /version says v0.0.0.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

RELEASES = {
    "1.31": "v1.31.0",
    "1.32": "v1.32.13",
    "1.33": "v1.33.13",
    "1.34": "v1.34.4",
    "1.35": "v1.35.4",
    "1.36": "v1.36.3",
    "1.37": "v1.37.2",
}
"""The patch releases that Kloster's data is made of."""

# 3.4, which Debian has, lacks what kube-apiserver needs for streamed lists.
ETCD = "v3.6.5"
_ETCD_PACKAGE = "go.etcd.io/etcd/server/v3"
_KUBERNETES = "k8s.io/kubernetes"
_STAGING = re.compile(r"^\s*(k8s\.io/\S+) => \./staging/src/k8s\.io/\S+$", re.MULTILINE)
_BUILD_SECONDS = 3600


class BuildError(Exception):
    """A component could not be built; the text says what Go said."""


def cache() -> Path:
    if chosen := os.environ.get("KLOSTER_UPSTREAM_CACHE"):
        return Path(chosen)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "kloster" / "upstream"


def component(name: str, minor: str, given: Sequence[Path] = ()) -> Path:
    """kube-apiserver, kube-controller-manager, kube-scheduler or kubectl of a minor, or etcd.

    The first of the folders `given` that has it is trusted to have the right version (the server says its own).
    """
    for folder in given:
        if (folder / name).is_file():
            return folder / name
    version = ETCD if name == "etcd" else RELEASES[minor]
    program = cache() / version / name
    if not program.exists():
        program.parent.mkdir(parents=True, exist_ok=True)
        _build_etcd(program) if name == "etcd" else _build(program, version)
    return program


def _build(program: Path, version: str) -> None:
    module = program.parent / "module"
    module.mkdir(exist_ok=True)
    package = f"{_KUBERNETES}/cmd/{program.name}"
    original = Path(json.loads(_go(module, "mod", "download", "-json", f"{_KUBERNETES}@{version}"))["GoMod"])
    (module / "go.mod").write_text(own_module(original.read_text(), version))
    (module / "tools.go").write_text(f'//go:build tools\n\npackage tools\n\nimport _ "{package}"\n')
    _go(module, "mod", "tidy")
    major, minor, _ = version.removeprefix("v").split(".")
    stamps = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    flags = " ".join(f"-X k8s.io/component-base/version.{key}={value}" for key, value in stamps.items())
    _compile(module, program, package, f"-s -w {flags}")


def _build_etcd(program: Path) -> None:
    module = program.parent / "module"
    module.mkdir(exist_ok=True)
    (module / "go.mod").write_text(f"module kloster.dev/upstream\n\ngo 1.24.0\n\nrequire {_ETCD_PACKAGE} {ETCD}\n")
    (module / "tools.go").write_text(f'//go:build tools\n\npackage tools\n\nimport _ "{_ETCD_PACKAGE}"\n')
    _go(module, "mod", "tidy")
    _compile(module, program, _ETCD_PACKAGE, "-s -w")


def own_module(original: str, version: str) -> str:
    """A go.mod that requires Kubernetes as its own go.mod would have it built."""
    staged = f"v0.{version.removeprefix('v1.')}"
    kept = [line for line in original.splitlines() if line.startswith(("go ", "godebug "))]
    # A block of godebug settings is written over several lines.
    block = re.search(r"^godebug \(\n(?:.*\n)*?\)", original, re.MULTILINE)
    if block:
        kept = [line for line in kept if not line.startswith("godebug")] + [block[0]]
    lines = ["module kloster.dev/upstream", *kept, f"require {_KUBERNETES} {version}"]
    lines += [f"replace {name} => {name} {staged}" for name in _STAGING.findall(original)]
    return "\n\n".join(lines) + "\n"


def _compile(module: Path, program: Path, package: str, flags: str) -> None:
    unfinished = program.with_suffix(f".{os.getpid()}")
    _go(module, "build", "-trimpath", "-ldflags", flags, "-o", str(unfinished), package)
    unfinished.replace(program)


def _go(folder: Path, *arguments: str) -> str:
    go = shutil.which("go")
    if go is None:
        raise BuildError("Go 1.24 or newer is needed on PATH to build upstream's programs (or give a folder of them)")
    nice = ["nice"] if shutil.which("nice") else []
    try:
        done = subprocess.run(
            [*nice, go, *arguments],
            cwd=folder,
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod"},
            capture_output=True,
            text=True,
            check=False,
            timeout=_BUILD_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"go {arguments[0]} took longer than {_BUILD_SECONDS} s") from error
    if done.returncode:
        raise BuildError(f"go {' '.join(arguments[:2])} failed:\n{done.stdout[-1000:]}{done.stderr[-3000:]}")
    return done.stdout
