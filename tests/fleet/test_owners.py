"""Homes that are missing or odd, and sudo, decided without being anybody else."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from kloster.fleet import owners
from kloster.fleet.datadir import DataDir, DataDirError
from kloster.fleet.owners import HomeError
from kloster.stores.disk import disk_full


def test_no_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: {}[number])
    with pytest.raises(HomeError, match=r"user \d+ has no home: set HOME"):
        owners.home()
    with pytest.raises(HomeError, match="has no home"):
        owners.expanded(Path("~/x"))


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        pytest.param({"HOME": "/h"}, "/h/.local/share", id="home"),
        pytest.param({"HOME": "/h", "XDG_DATA_HOME": ""}, "/h/.local/share", id="empty"),
        pytest.param({"HOME": "/h", "XDG_DATA_HOME": "x/y"}, "/h/.local/share", id="relative"),
        pytest.param({"HOME": "there", "XDG_DATA_HOME": "/x y"}, "/x y", id="chosen"),
        pytest.param({"HOME": "there"}, "", id="relative-home"),
    ],
)
def test_where_data_is(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: str) -> None:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if expected:
        assert owners.data_home() == Path(expected)
    else:
        with pytest.raises(HomeError, match="expected an absolute path"):
            owners.data_home()


def test_tildes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/h")
    assert owners.expanded(Path("~/a/b")) == Path("/h/a/b")
    assert owners.expanded(Path("a/~")) == Path("a/~")
    with pytest.raises(HomeError, match="there is no user nosuchuser"):
        owners.expanded(Path("~nosuchuser/x"))


@pytest.mark.parametrize(
    ("effective", "caller", "owner", "refused"),
    [
        pytest.param(0, "1000", 1000, True, id="sudo-in-the-callers-home"),
        pytest.param(0, "1000", 0, False, id="sudo-elsewhere"),
        pytest.param(0, "", 1000, False, id="root-in-a-container"),
        pytest.param(0, "0", 0, False, id="sudo-by-root"),
        pytest.param(0, "x", 1000, False, id="nonsense"),
        pytest.param(1000, "1001", 1001, False, id="sudo-to-another-user"),
    ],
)
def test_sudo(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, effective: int, caller: str, owner: int, refused: bool
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: effective)
    monkeypatch.setenv("SUDO_UID", caller)
    monkeypatch.setenv("SUDO_USER", "ann")
    monkeypatch.setattr(owners, "_owner", lambda path: owner)
    if refused:
        with pytest.raises(HomeError, match=f"left in {tmp_path}, which is ann's: .* another folder with --option"):
            owners.refuse_sudo(tmp_path / "a" / "b", "--option")
    else:
        owners.refuse_sudo(tmp_path / "a" / "b", "--option")


def test_full_disks_are_known() -> None:
    full = OSError(28, "No space left on device")
    wrapped = DataDirError("x")
    wrapped.__cause__ = full
    broken = sqlite3.OperationalError("database or disk is full")
    broken.sqlite_errorcode = sqlite3.SQLITE_FULL
    assert [disk_full(one) for one in (full, wrapped, broken)] == [True] * 3
    assert not disk_full(OSError(13, "Permission denied")) and not disk_full(None)


def test_sockets_of_long_directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in the directory, nor in a temporary directory that is long itself; private, and gone when asked to."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / ("ü" * 60)))
    directory = DataDir(tmp_path / ("x" * 100))
    made = directory.sockets()
    assert made.parent == Path("/tmp") and made.stat().st_mode & 0o777 == 0o700
    (made / "worker-0.sock").touch()
    directory.forget_sockets()
    assert not made.exists()
