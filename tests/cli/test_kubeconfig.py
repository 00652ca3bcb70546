"""Editing the user's kubeconfig: what is ours changes, what is not stays; several files; kubectl's lock."""

from __future__ import annotations

import errno
import os
import stat
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from kloster.cli import kubeconfig
from kloster.cli.errors import CliError
from kloster.cli.kubeconfig import Mark

MARK = Mark("/data", "default", "dev")


def document(server: str = "https://127.0.0.1:1") -> dict[str, Any]:
    return {
        "clusters": [{"name": "x", "cluster": {"server": server}}],
        "users": [{"name": "x", "user": {"token": "secret"}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }


def theirs(name: str, current: str = "") -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}"}}],
        "users": [{"name": name, "user": {"exec": {"command": "login", "args": ["--cluster", name]}}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, "namespace": "web"}}],
        "current-context": current,
    }


class Files:
    """Kubeconfig files in a directory, listed in KUBECONFIG."""

    def __init__(self, directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.directory = directory
        self.monkeypatch = monkeypatch

    def listed(self, *names: str) -> list[Path]:
        paths = [self.directory / name for name in names]
        self.monkeypatch.setenv("KUBECONFIG", os.pathsep.join(map(str, paths)))
        return paths

    def write(self, name: str, content: Any) -> Path:
        path = self.directory / name
        path.write_text(yaml.safe_dump(content))
        return path


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Files:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    return Files(tmp_path, monkeypatch)


def content(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_the_default_file_is_made_private(files: Files) -> None:
    assert kubeconfig.add(document(), "kloster-dev", MARK, select=True) == ""
    path = files.directory / "home" / ".kube" / "config"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert content(path)["current-context"] == "kloster-dev"
    assert kubeconfig.current()[0] == "kloster-dev"


def test_a_file_keeps_its_mode_its_link_and_everything_in_it(files: Files) -> None:
    real = files.write("real", theirs("prod", "prod"))
    real.chmod(0o640)
    (files.directory / "link").symlink_to(real)
    files.listed("link")
    assert kubeconfig.add(document(), "kloster-dev", MARK, select=True) == "prod"
    assert kubeconfig.remove(files.directory / "link", "kloster-dev") == "prod"
    assert (files.directory / "link").is_symlink()
    assert stat.S_IMODE(real.stat().st_mode) == 0o640
    assert content(real) == theirs("prod", "prod")


@pytest.mark.parametrize(
    ("present", "target"),
    [
        pytest.param([], "c", id="none-exists"),
        pytest.param(["b"], "b", id="one-exists"),
        pytest.param(["a", "b"], "a", id="the-first-that-exists"),
    ],
)
def test_new_entries_go_where_kubectl_puts_them(files: Files, present: list[str], target: str) -> None:
    for name in present:
        files.write(name, theirs(name))
    files.listed("a", "b", "c")
    kubeconfig.add(document(), "kloster-dev", MARK, select=True)
    found = content(files.directory / target)
    assert [one["name"] for one in found["contexts"]] == [*([target] if present else []), "kloster-dev"]
    assert kubeconfig.current()[0] == "kloster-dev"


def test_an_earlier_file_does_not_overrule_the_selected_context(files: Files) -> None:
    first, second = files.listed("missing", "b")[0], files.write("b", theirs("prod", "prod"))
    kubeconfig.add(document(), "kloster-dev", MARK, select=True)
    files.write("missing", theirs("early", "early"))
    kubeconfig.select("early")
    assert kubeconfig.current()[0] == "early"
    assert content(first)["current-context"] == "early"
    assert [one["name"] for one in content(second)["contexts"]] == ["prod", "kloster-dev"]


def test_contexts_are_found_by_their_marks_and_not_by_their_names(files: Files) -> None:
    files.listed("a")
    files.write("a", theirs("kloster-fake", "kloster-fake"))
    kubeconfig.add(document(), "renamed", MARK, select=False)
    assert [(name, mark) for _, name, mark in kubeconfig.ours()] == [
        ("renamed", Mark("/data", "default", "dev", "kloster-fake"))
    ]
    assert kubeconfig.current()[0] == "kloster-fake"


def test_a_name_of_somebody_else_is_not_taken(files: Files) -> None:
    (path,) = files.listed("a")
    files.write("a", theirs("kloster-dev", "kloster-dev"))
    with pytest.raises(
        CliError, match='has a context "kloster-dev" that is not Kloster\'s; rename it, or use --context'
    ):
        kubeconfig.add(document(), "kloster-dev", MARK, select=True)
    assert content(path) == theirs("kloster-dev", "kloster-dev")
    assert kubeconfig.remove(path, "kloster-dev") == "kloster-dev"
    assert content(path) == theirs("kloster-dev", "kloster-dev")


def test_adding_again_replaces_and_remembers_where_one_came_from(files: Files) -> None:
    (path,) = files.listed("a")
    files.write("a", theirs("prod", "prod"))
    kubeconfig.add(document(), "kloster-dev", MARK, select=True)
    kubeconfig.add(document("https://127.0.0.1:2"), "kloster-dev", MARK, select=True)
    found = content(path)
    servers = {one["name"]: one["cluster"]["server"] for one in found["clusters"]}
    assert servers == {"prod": "https://prod", "kloster-dev": "https://127.0.0.1:2"}
    assert len(found["contexts"]) == len(found["users"]) == 2
    assert kubeconfig.remove(path, "kloster-dev") == "prod"


def test_a_context_from_before_that_is_gone_is_not_selected(files: Files) -> None:
    (path,) = files.listed("a")
    files.write("a", theirs("prod", "prod"))
    kubeconfig.add(document(), "kloster-dev", MARK, select=True)
    with kubeconfig.edited(path) as found:
        found["contexts"] = [one for one in found["contexts"] if one["name"] != "prod"]
    assert kubeconfig.remove(path, "kloster-dev") == ""


def test_kubectls_lock_is_waited_for(files: Files) -> None:
    (path,) = files.listed("a")
    lock = path.with_name("a.lock")
    lock.touch()
    release = threading.Timer(0.2, lock.unlink)
    release.start()
    kubeconfig.add(document(), "kloster-dev", MARK, select=True)
    release.join()
    assert not lock.exists()
    assert content(path)["current-context"] == "kloster-dev"


def test_a_lock_that_nobody_releases_is_named(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = files.listed("a")
    monkeypatch.setattr(kubeconfig, "LOCK_SECONDS", 0.1)
    path.with_name("a.lock").touch()
    with pytest.raises(CliError, match=r"a\.lock is held by another program; if none is running, remove it"):
        kubeconfig.add(document(), "kloster-dev", MARK, select=True)
    assert not path.exists()


def test_a_change_that_fails_changes_nothing(files: Files) -> None:
    (path,) = files.listed("a")
    files.write("a", theirs("prod", "prod"))
    with pytest.raises(RuntimeError), kubeconfig.edited(path) as found:
        found["current-context"] = "other"
        raise RuntimeError("no")
    assert content(path) == theirs("prod", "prod")
    assert [one.name for one in path.parent.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(b"[1, 2]", "is no kubeconfig: the file: expected a mapping, found list", id="list"),
        pytest.param(b"a: [", "cannot be read as YAML: while parsing", id="broken"),
        pytest.param(b"\xff\xfe", "cannot be read as YAML: 'utf-8' codec", id="no-text"),
        pytest.param(b"clusters: 3", "clusters: expected a list, found int", id="clusters"),
        pytest.param(b"users: [a]", "each of users: expected a mapping, found str", id="user"),
        pytest.param(b"contexts: [{name: x, context: 5}]", "context x: expected a mapping, found int", id="context"),
        pytest.param(
            b"contexts: [{name: x, context: {extensions: [1]}}]", "each extension of context x", id="extension"
        ),
    ],
)
def test_a_damaged_file_is_left_alone_and_named(files: Files, text: bytes, message: str) -> None:
    (path,) = files.listed("a")
    path.write_bytes(text)
    for attempt in (
        lambda: kubeconfig.check("kloster-dev"),
        lambda: kubeconfig.add(document(), "kloster-dev", MARK, select=True),
        lambda: kubeconfig.select("x"),
        kubeconfig.current,
    ):
        with pytest.raises(CliError, match=message) as refused:
            attempt()
        assert str(refused.value).startswith(f"the kubeconfig {path} ")
        assert "set KUBECONFIG to another file" in str(refused.value)
    assert path.read_bytes() == text
    assert [one.name for one in path.parent.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        pytest.param(lambda path: path.mkdir(), "cannot be read: Is a directory", id="directory"),
        pytest.param(lambda path: path.symlink_to("/dev/null"), "is no regular file", id="device"),
    ],
)
def test_only_a_file_is_written(files: Files, make: Callable[[Path], None], message: str) -> None:
    """A device in its place must not be replaced by a file (as root that would go through)."""
    (path,) = files.listed("a")
    make(path)
    before = path.stat()
    for attempt in (
        lambda: kubeconfig.check("kloster-dev"),
        lambda: kubeconfig.add(document(), "kloster-dev", MARK, select=True),
    ):
        with pytest.raises(CliError, match=message):
            attempt()
    assert (path.stat().st_mode, path.stat().st_ino) == (before.st_mode, before.st_ino)
    assert [one.name for one in path.parent.iterdir()] == ["a"]


@pytest.mark.parametrize("home", ["/proc/1/nobody", "/dev/null/home"])
def test_a_home_that_cannot_be_written(files: Files, home: str) -> None:
    files.monkeypatch.setenv("HOME", home)
    for attempt in (
        lambda: kubeconfig.check("kloster-dev"),
        lambda: kubeconfig.add(document(), "kloster-dev", MARK, select=True),
    ):
        with pytest.raises(CliError, match=rf"the kubeconfig {home}/\.kube/config cannot be (written|read)"):
            attempt()


def test_names_of_others_are_known_before_anything_is_made(files: Files) -> None:
    files.listed("a", "b")
    files.write("b", theirs("kloster-dev"))
    with pytest.raises(CliError, match='has a context "kloster-dev" that is not Kloster'):
        kubeconfig.check("kloster-dev")
    kubeconfig.check("kloster-other")


def test_a_full_disk_keeps_the_file(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    (path,) = files.listed("a")
    files.write("a", theirs("prod", "prod"))
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(CliError, match="cannot be written: No space left on device"):
        kubeconfig.add(document(), "kloster-dev", MARK, select=True)
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.iterdir()] == ["a"]


@pytest.mark.parametrize(
    "text", ["", "apiVersion: v1\nkind: Config\n", "contexts: null\nclusters: null\nusers: null\n"]
)
def test_files_with_nothing_in_them(files: Files, text: str) -> None:
    (path,) = files.listed("a")
    path.write_text(text)
    assert kubeconfig.current() == ("", None)
    kubeconfig.add(document(), "kloster-dev", MARK, select=True)
    assert kubeconfig.current()[0] == "kloster-dev"
