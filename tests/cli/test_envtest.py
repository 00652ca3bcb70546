"""`kloster envtest use`: the directory, what is printed, and scripts that explain themselves."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.cli.shell import Shell

from kloster.envtest import assets


def test_printing_the_path(shell: Shell) -> None:
    """Without a newline, as setup-envtest prints it."""
    done = shell.ok("envtest", "use", "1.34", "-p", "path")
    assert done.out == str(shell.home / ".local" / "share" / "kloster" / "envtest" / "1.34")
    assert sorted(path.name for path in Path(done.out).iterdir()) == ["etcd", "kube-apiserver", "kubectl"]


def test_printing_for_a_shell(shell: Shell, tmp_path: Path) -> None:
    folder = tmp_path / "it's here"
    done = shell.ok("envtest", "use", "latest", "-p", "env", "--bin-dir", str(folder))
    shown = subprocess.run(
        ["sh", "-c", f'{done.out}\nprintf %s "$KUBEBUILDER_ASSETS"'], capture_output=True, text=True, check=True
    )
    assert shown.stdout == str(folder / "1.37")


@pytest.mark.parametrize("version", ["1.31", "1.31.x", "v1.31", "1.31.*"])
def test_versions(shell: Shell, tmp_path: Path, version: str) -> None:
    done = shell.ok("envtest", "use", version, "--bin-dir", str(tmp_path))
    assert done.out.startswith("Version: 1.31.") and f"Path: {tmp_path}/1.31" in done.out


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        pytest.param(["use", "1.99"], "'1.99' is not supported; supported are 1.31", id="version"),
        pytest.param(["use", "1.34", "--bin-dir", "/proc/no"], "cannot be written", id="unwritable"),
    ],
)
def test_mistakes(shell: Shell, arguments: list[str], text: str) -> None:
    done = shell.run("envtest", *arguments)
    assert done.code == 1 and text in done.err


def test_listing(shell: Shell) -> None:
    lines = shell.ok("envtest", "list").out.splitlines()
    assert len(lines) == 7 and lines[0].startswith("1.31  v1.31.")


def _run(script: Path, *arguments: str, path: str = "/usr/bin:/bin") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(script), *arguments], env={"PATH": path}, capture_output=True, text=True, timeout=60, check=False
    )


def test_what_envtest_looks_for_in_the_help(tmp_path: Path) -> None:
    """It sets --insecure-port=0 and --unsafe-no-fsync where the help has lines with them."""
    assets.write(tmp_path, "1.34")
    server, etcd = _run(tmp_path / "kube-apiserver", "--help"), _run(tmp_path / "etcd", "--help")
    assert "--insecure-port" not in server.stdout and "\n      --secure-port" in server.stdout
    assert "\n      --unsafe-no-fsync" in etcd.stdout


def test_versions_of_the_programs(tmp_path: Path) -> None:
    assets.write(tmp_path, "1.34")
    assert _run(tmp_path / "kube-apiserver", "--version").stdout.startswith("Kubernetes v1.34.")
    assert _run(tmp_path / "etcd", "--version").stdout.startswith("etcd Version: 3.")


def test_a_python_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", str(tmp_path / "gone" / "python"))
    assets.write(tmp_path, "1.34")
    done = _run(tmp_path / "etcd", "--version")
    assert done.returncode == 1 and "run again: kloster envtest use 1.34" in done.stderr


def test_kubectl_is_whichever_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None)
    folder, elsewhere, linked = tmp_path / "assets", tmp_path / "else where", tmp_path / "linked"
    assets.write(folder, "1.34")
    linked.symlink_to(folder)
    done = _run(folder / "kubectl", "version", path=f"{linked}:{folder}/")
    assert done.returncode == 1
    assert "no kubectl was found" in done.stderr and "TEST_ASSET_KUBECTL" in done.stderr
    elsewhere.mkdir()
    (elsewhere / "kubectl").write_text('#!/bin/sh\necho "found $1"\n')
    (elsewhere / "kubectl").chmod(0o755)
    done = _run(folder / "kubectl", "version", path=f"{linked}:{elsewhere}")
    assert done.stdout == "found version\n"
    monkeypatch.setattr("shutil.which", lambda name: str(elsewhere / "kubectl"))
    assets.write(folder, "1.34")
    assert _run(folder / "kubectl", "config", path="/nowhere").stdout == "found config\n"


def test_what_is_right_is_left_alone(tmp_path: Path) -> None:
    assets.write(tmp_path, "1.34")
    before = {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assets.write(tmp_path, "1.34")
    assert {path.name: path.stat().st_mtime_ns for path in tmp_path.iterdir()} == before
    (tmp_path / "etcd").write_text("damaged")
    assets.write(tmp_path, "1.34")
    assert (tmp_path / "etcd").read_text() == assets.script("etcd", "1.34")
