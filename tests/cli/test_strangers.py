"""Other users, other homes, other places for files: commands work, or say in one line why not."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import nobody
from tests.cli.shell import KLOSTER, Shell

ROOT = os.geteuid() == 0
LONG = "l" * 90
ODD = "mit Lücke 'q \"d"
needs_root = pytest.mark.skipif(not ROOT, reason="only root can become somebody else")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that everybody can reach."""
    with tempfile.TemporaryDirectory(prefix="kloster-strangers-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture
def stranger(place: Path) -> Iterator[Shell]:
    """The shell of a user who is not root."""
    made = Shell(place / "home", place / "data", (sys.executable, nobody.__file__) if ROOT else ())
    for path in (made.home, made.data):
        path.mkdir(exist_ok=True)
        give(path)
    yield made
    made.run("down")


def give(path: Path) -> None:
    if ROOT:
        os.chown(path, nobody.NOBODY, nobody.NOBODY)


def without(shell: Shell, *names: str) -> None:
    for name in names:
        shell.environment.pop(name, None)


def trial(shell: Shell, folder: Path, *command: str, umask: int = 0o022, **environment: str) -> str:
    """What a command says that `kloster run` runs; the run must pass."""
    done = subprocess.run(
        [*shell.kloster, "run", "--versions", "1.34", "--output", str(folder), "--", *command],
        env={**shell.environment, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        umask=umask,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "") and "1.34 ✓" in done.stdout, done
    return (folder / "1.34" / "output.txt").read_text()


# -- whose files ------------------------------------------------------------------------------------------------------


@needs_root
@pytest.mark.parametrize("mode", [0o755, 0o700], ids=["readable", "private"])
def test_somebody_elses_directory(stranger: Shell, place: Path, mode: int) -> None:
    theirs = place / "theirs"
    theirs.mkdir(mode=mode)
    text = f"{theirs} belongs to user 0, not to you (65534); choose another with --data-dir or KLOSTER_DATA_DIR"
    for command in (("up",), ("list",), ("down",)) if mode == 0o700 else (("up",),):
        assert stranger.fails(*command, "--data-dir", str(theirs)) == text
    assert not list(theirs.iterdir())


@needs_root
def test_sudo_leaves_nothing_of_root_in_the_users_home(place: Path) -> None:
    """HOME is the user's, as with `sudo -E` or where sudoers keeps it."""
    shell = Shell(place / "home", place / "home" / ".local" / "share" / "kloster")
    give(shell.home)
    without(shell, "KLOSTER_DATA_DIR")
    sudo = {"SUDO_UID": str(nobody.NOBODY), "SUDO_USER": "ann"}
    told = f"with sudo, files of root would be left in {shell.home}, which is ann's: run it without sudo, or choose"
    for arguments, option in (
        (("up",), "--data-dir or KLOSTER_DATA_DIR"),
        (("up", "--foreground"), "--data-dir or KLOSTER_DATA_DIR"),
        (("envtest", "use", "1.34"), "--bin-dir"),
        (("run", "--output", str(shell.home / "project" / ".kloster"), "--", "true"), "--output"),
        (("create", "dev", "--data-dir", str(place / "data")), "KUBECONFIG"),
    ):
        assert shell.fails(*arguments, **sudo) == f"{told} another folder with {option}"
    assert not list(shell.home.iterdir())
    shell.kubeconfig.parent.mkdir()
    shell.kubeconfig.write_text("current-context: hers\n")
    shell.kubeconfig.chmod(0o640)
    give(shell.kubeconfig.parent)
    give(shell.kubeconfig)
    data = ("--data-dir", str(place / "data"))
    try:
        shell.ok("create", "dev", *data, **sudo)
        found = shell.kubeconfig.stat()
        assert shell.config()["current-context"] == "kloster-dev"
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (nobody.NOBODY, 0o640)
        assert all(path.stat().st_uid == nobody.NOBODY for path in shell.home.rglob("*"))
    finally:
        shell.ok("down", *data)


# -- homes ------------------------------------------------------------------------------------------------------------


@needs_root
def test_a_user_without_a_home(place: Path) -> None:
    """As in containers that run under any number: tests work, and what needs a home says so."""
    shell = Shell(place / "home", place / "data", (sys.executable, nobody.__file__, "--user", "4711"))
    without(shell, "HOME", "KLOSTER_DATA_DIR")
    for command in (("up",), ("list",), ("envtest", "use", "1.34")):
        assert shell.fails(*command) == "user 4711 has no home: set HOME, or name the files by options"
    place.chmod(0o777)
    assert trial(shell, place / "kept", "echo", "ran") == "ran\n"


def test_a_home_that_is_not_there_is_made(stranger: Shell) -> None:
    without(stranger, "KLOSTER_DATA_DIR")
    home = stranger.home / "not" / "yet"
    done = stranger.ok("envtest", "use", "1.34", "-p", "path", HOME=str(home))
    assert done.out == str(home / ".local/share/kloster/envtest/1.34")
    assert "HOME is 'there': expected an absolute path; correct it" in stranger.fails("list", HOME="there")


def test_relative_directories_for_data_are_ignored(stranger: Shell) -> None:
    """As their specification says: the daemon's current directory is another one than yours."""
    without(stranger, "KLOSTER_DATA_DIR")
    expected = stranger.home / ".local/share/kloster"
    assert f"no host is running in {expected};" in stranger.fails("list", XDG_DATA_HOME="there")
    done = stranger.ok("envtest", "use", "1.34", "-p", "path", XDG_DATA_HOME="there")
    assert done.out == str(expected / "envtest/1.34")


def test_a_home_that_can_only_be_read(stranger: Shell, place: Path) -> None:
    data = stranger.environment.pop("KLOSTER_DATA_DIR")
    stranger.home.chmod(0o555)
    told = f"{stranger.home}/.local/share/kloster cannot be used: Permission denied; choose another with --data-dir"
    assert stranger.fails("up") == told
    assert stranger.fails("envtest", "use", "1.34").endswith("Permission denied; choose another place with --bin-dir")
    assert trial(stranger, stranger.data / "kept", "sh", "-c", "cat $KUBECONFIG | head -1; echo ran").endswith("ran\n")
    stranger.environment["KLOSTER_DATA_DIR"] = data
    assert stranger.fails("create", "dev") == (
        f"the kubeconfig {stranger.kubeconfig} cannot be written; correct it, or set KUBECONFIG to another file"
    )
    stranger.ok("create", "dev", "--no-connect")
    assert stranger.ok("connect", "dev", "--", "printenv", "KUBECONFIG").out.startswith("/")
    assert "server: https://" in stranger.ok("connect", "dev", "--print").out


# -- places -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["missing", f"{LONG}/{LONG}", ODD], ids=["missing", "long", "odd"])
def test_temporary_directories(stranger: Shell, name: str) -> None:
    """Where TMPDIR is of no use another one is taken, as everywhere; the locale does not matter either."""
    folder = stranger.data / "temporary" / name
    if name != "missing":
        folder.mkdir(parents=True)
        give(folder)
    look = ("sh", "-c", '"$KUBEBUILDER_ASSETS"/etcd --version; echo "$KUBECONFIG"')
    told = trial(stranger, stranger.data / ODD, *look, TMPDIR=str(folder), LC_ALL="C")
    assert told.startswith("etcd Version: ")
    kubeconfig = Path(told.splitlines()[-1])
    assert (folder in kubeconfig.parents) == (name != "missing")
    assert not kubeconfig.parent.exists()
    assert not list(folder.glob("*"))


def test_long_paths_and_workers(stranger: Shell, place: Path) -> None:
    """Paths of Unix sockets are short: where both directories are long, they are elsewhere, and go with the fleet."""
    sockets = f"kloster-{nobody.NOBODY if ROOT else os.geteuid()}-*"
    before = set(Path("/tmp").glob(sockets))
    long = stranger.data / LONG
    long.mkdir()
    give(long)
    environment = {"TMPDIR": str(long), "KLOSTER_DATA_DIR": str(long / ODD)}
    stranger.ok("up", "--nodes", "1", "--workers", "2", **environment)
    stranger.ok("create", "dev", "--no-connect", **environment)
    stranger.ok("down", **environment)
    assert set(Path("/tmp").glob(sockets)) <= before
    assert [path.name for path in long.iterdir()] == [ODD]


@pytest.mark.parametrize("umask", [0o000, 0o077], ids=["open", "closed"])
def test_umask(stranger: Shell, umask: int) -> None:
    """Nobody else may read what is secret, nor write what is executed; and all works if nobody may anything."""
    look = 'stat -c "%a %n" "$KUBECONFIG" "${KUBECONFIG%/*}" "$KUBEBUILDER_ASSETS" "$KUBEBUILDER_ASSETS"/*'
    told = trial(stranger, stranger.data / "kept", "sh", "-c", look, umask=umask)
    modes = [int(line.split()[0], 8) for line in told.splitlines()]
    assert len(modes) == 6
    assert modes[:2] == [0o600, 0o700]
    assert not [mode for mode in modes if mode & 0o022]
    command = [*stranger.kloster, "envtest", "use", "1.34", "-p", "path"]
    done = subprocess.run(command, env=stranger.environment, umask=umask, capture_output=True, text=True, check=True)
    made = [Path(done.stdout), *Path(done.stdout).parents[:2], *Path(done.stdout).iterdir()]
    assert not [path for path in made if path.stat().st_mode & 0o022]


# -- several at once --------------------------------------------------------------------------------------------------


def test_two_runs_at_once(tmp_path: Path) -> None:
    """Each has a fleet of its own, and leaves nothing."""
    shell = Shell(tmp_path / "home", tmp_path / "data")
    environment = {**shell.environment, "TMPDIR": str(shell.home)}
    command = [*KLOSTER, "run", "--versions=1.31,1.37"]
    runs = [
        subprocess.Popen(
            [*command, "-o", str(tmp_path / name), "--", "printenv", "KUBECONFIG"],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("one", "two")
    ]
    assert [(one.communicate(timeout=60)[0].count("✓"), one.returncode) for one in runs] == [(2, 0), (2, 0)]
    roots = {Path((path / "output.txt").read_text()).parent for path in tmp_path.glob("*/1.*")}
    assert len(roots) == 2
    assert not list(shell.home.iterdir())
