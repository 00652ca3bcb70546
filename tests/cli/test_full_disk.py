"""A disk that is really full: a file system of some kilobytes, in a mount namespace of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.cli.shell import Shell, wait
from tests.cli.test_robustness import CONFIG_MAPS, api, config_map, of

from kloster.apimachinery.errors import StatusError

MAP = () if os.geteuid() == 0 else ("--map-root-user",)
JOIN = () if os.geteuid() == 0 else ("--user", "--preserve-credentials")


@dataclass(frozen=True, slots=True)
class Disk:
    """`path`, under which the disk is for commands that begin with `before`; `files`: the same for everybody."""

    path: Path
    before: tuple[str, ...]
    files: Path

    def fill(self) -> None:
        """Until nothing more fits."""
        with (self.files / "ballast").open("wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(bytes(1024))
            except OSError:
                return

    def free(self) -> None:
        (self.files / "ballast").unlink()


@contextmanager
def disk(path: Path, size: str) -> Iterator[Disk]:
    path.mkdir()
    mount = 'mount -t tmpfs -o size="$1",mode=700 none "$2" && echo mounted && exec sleep 600'
    with subprocess.Popen(
        ["unshare", "--mount", *MAP, "sh", "-c", mount, "sh", size, str(path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        try:
            assert holder.stdout is not None
            if holder.stdout.readline() != "mounted\n":
                pytest.skip("no file system can be mounted here; test_robustness.py has what can be tested without")
            enter = ("sh", "-c", 'cd "$0" && exec "$@"', str(path))
            before = ("nsenter", f"--target={holder.pid}", "--mount", "--root", "--wd", *JOIN, "--", *enter)
            yield Disk(path, before, Path(f"/proc/{holder.pid}/root{path}"))
        finally:
            holder.kill()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Callable[[str], tuple[Disk, Shell]]]:
    """Makes a disk of a size, and a shell whose data directory is on it."""
    open_: list[tuple[Any, Shell]] = []

    def make(size: str) -> tuple[Disk, Shell]:
        context = disk(tmp_path / "disk", size)
        made = context.__enter__()
        open_.append((context, Shell(tmp_path / "home", made.path / "data", made.before)))
        return made, open_[-1][1]

    yield make
    for context, shell in open_:
        shell.run("down")
        context.__exit__(None, None, None)


Small = Callable[[str], tuple[Disk, Shell]]


def test_a_disk_on_which_nothing_fits(small: Small) -> None:
    _, shell = small("64k")
    told = f"the disk of {shell.data} is full: free some space, or choose another directory with --data-dir"
    assert shell.fails("up") == told
    assert shell.fails("create", "dev", "--no-connect") == told
    wait(lambda: not of(shell))


def test_a_disk_that_fills_up(small: Small) -> None:
    """What is not stored is refused, what was acknowledged stays, and with space it goes on, also after a crash."""
    disk, shell = small("8m")
    shell.ok("create", "dev", "--no-connect")
    dev, acknowledged = api(shell, "dev"), list[str]()

    def write(prefix: str) -> StatusError | None:
        for number in range(3):
            try:
                dev.create(CONFIG_MAPS, config_map(f"{prefix}{number}", 10_000))
                acknowledged.append(f"{prefix}{number}")
            except StatusError as error:
                return error
        return None

    assert write("before") is None
    disk.fill()
    refused = next(filter(None, (write(f"full{number}-") for number in range(20))), None)
    told = "the server could not store the change, since its disk is full; nothing was written"
    assert refused is not None and (refused.code, refused.message) == (503, told)
    assert shell.fails("create", "other", "--no-connect") == told
    assert dev.get(f"{CONFIG_MAPS}/before0")["data"]
    assert [one["metadata"]["name"] for one in shell.ok("list", "-o", "json").json()["items"]] == ["dev"]
    disk.free()
    assert write("after") is None
    disk.fill()
    shell.kill()
    disk.free()
    shell.ok("up")
    assert {one["metadata"]["name"] for one in dev.get(CONFIG_MAPS)["items"]} - {"kube-root-ca.crt"} == {*acknowledged}
    shell.ok("create", "other", "--no-connect")


def run(disk: Disk, shell: Shell, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Anything, on the disk; it may fail, but not with a traceback."""
    done = subprocess.run(
        [*disk.before, *arguments],
        env={**shell.environment, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "Traceback" not in done.stdout + done.stderr, done
    return done


def test_runs(small: Small, tmp_path: Path) -> None:
    """Where output, reports or the fleet do not fit."""
    disk, shell = small("4m")
    kloster = (*shell.kloster[len(disk.before) :], "run", "--versions", "1.34", "-o")
    inside, outside = str(disk.path / "kept"), str(tmp_path / "kept")
    disk.fill()
    done = run(disk, shell, *kloster, inside, "--", "true")
    assert done.stderr == f"error: {inside} cannot be used: No space left on device; choose another with --output\n"
    disk.free()
    done = run(disk, shell, *kloster, inside, "--", "sh", "-c", "head -c 99M /dev/zero; true")
    assert (done.returncode, done.stderr) == (0, "") and "1.34 ✓" in done.stdout, done
    report = """echo '<testsuite><testcase name="a"/></testsuite>' >"$KLOSTER_JUNIT"; head -c 99M /dev/zero; exit 3"""
    done = run(disk, shell, *kloster, inside, "--", "sh", "-c", report)
    assert (disk.files / "kept" / "1.34" / "junit.xml").read_text().startswith("<testsuite>")
    assert done.stderr == f"error: {inside} cannot be used: No space left on device; choose another with --output\n"
    assert done.returncode == 1 and "1.34 ✗" in done.stdout
    done = run(disk, shell, *kloster, outside, "--", "true", TMPDIR=str(disk.path))
    assert (done.returncode, done.stderr) == (0, ""), "another temporary directory is taken"


SUITE = """
import os

def test_before(kloster_cluster):
    assert kloster_cluster.exists("ns/default")

def test_full(kloster_cluster):
    with open("ballast", "wb", buffering=0) as ballast:
        try:
            for _ in range(65536): ballast.write(bytes(1024))
        except OSError:
            pass

def test_after(kloster_cluster):
    pass

def test_later(kloster_cluster):
    pass
"""


@pytest.mark.parametrize("size", ["64k", "4m"], ids=["from-the-start", "later"])
def test_pytest(small: Small, tmp_path: Path, size: str) -> None:
    disk, shell = small(size)
    (tmp_path / "test_suite.py").write_text(SUITE)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:timeout", "-rE"]
    command += ["--basetemp", str(disk.path / "t"), "--kloster-dump=", str(tmp_path / "test_suite.py")]
    done = run(disk, shell, *command)
    errors = [line for line in done.stdout.splitlines() if "disk of" in line and not line.startswith("ERROR ")]
    assert errors and all("is full" in line for line in errors), done.stdout
    assert "During handling" not in done.stdout and "plugin.py" not in done.stdout
    if size == "64k":
        assert "4 errors" in done.stdout and len(errors) == 4
        assert errors[0].startswith("no fleet could be started for the tests: the disk of ")
    else:
        assert "2 passed, 2 errors" in done.stdout or "3 passed, 1 error" in done.stdout, done.stdout
    wait(lambda: not of(shell))


def test_the_small_disk_is_seen_by_its_commands_alone(small: Small) -> None:
    disk, shell = small("64k")
    disk.fill()
    assert not list(disk.path.iterdir()) and (disk.files / "ballast").exists()
    assert run(disk, shell, "ls").stdout == "ballast\n"
