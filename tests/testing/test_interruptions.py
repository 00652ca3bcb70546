"""Runs of pytest that are cut off: nothing stays behind but what pytest itself keeps."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.testing.conftest import fleets_of

SUITE = """
import os, time
import pytest

@pytest.mark.parametrize("number", range(8))
def test_it(kloster_cluster, number):
    with open(os.environ["BEGUN"], "a") as begun:
        begun.write(f"{os.getpid()} {kloster_cluster.fleet.pid}\\n")
    while not os.path.exists(os.environ["BEGUN"] + ".go"):
        time.sleep(0.02)
"""


class Run:
    """A run of pytest in a folder of its own, whose temporary files are in there as well."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.begun = folder / "begun"
        folder.mkdir(exist_ok=True)
        (folder / "test_suite.py").write_text(SUITE)
        removed = ("PYTEST_ADDOPTS", "PYTEST_XDIST_WORKER", "PYTEST_XDIST_TESTRUNUID", "KLOSTER_KUBERNETES_VERSION")
        kept = {name: value for name, value in os.environ.items() if name not in removed}
        base = folder / f"base-{time.monotonic_ns()}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", str(base), *arguments],
            cwd=folder,
            env={**kept, "BEGUN": str(self.begun), "TMPDIR": str(folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def wait_begun(self, tests: int) -> list[tuple[int, int]]:
        """(the test's process, the fleet's) of as many tests as are running."""
        ends = time.monotonic() + 60
        while not self.begun.exists() or len(self.begun.read_text().splitlines()) < tests:
            assert time.monotonic() < ends and self.process.poll() is None
            time.sleep(0.02)
        return [(int(test), int(fleet)) for test, fleet in map(str.split, self.begun.read_text().splitlines())]

    def go_on(self) -> None:
        (self.folder / "begun.go").touch()

    def end(self) -> str:
        return self.process.communicate(timeout=60)[0]


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[list[Run]]:
    """Runs that a failing test leaves are ended."""
    begun: list[Run] = []
    yield begun
    for one in begun:
        if one.process.poll() is None:
            os.killpg(one.process.pid, signal.SIGKILL)
            one.process.communicate()


def nothing_left(folder: Path, group: int) -> None:
    """No process of the run, no fleet and so no port, no file of a fleet."""
    ends = time.monotonic() + 30
    while fleets_of(folder) or alive(group) or left(folder):
        assert time.monotonic() < ends, (fleets_of(folder), alive(group), left(folder))
        time.sleep(0.05)


def alive(session: int) -> list[str]:
    """Processes of this session that have not ended, fleets' being sessions of their own."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = path.read_text().rpartition(")")
        except OSError:
            continue
        state, _, _, its = rest.split()[:4]
        if int(its) == session and state != "Z":
            found.append(name)
    return found


def left(folder: Path) -> list[Path]:
    return [*folder.glob("base-*/kloster"), *folder.glob("base-*/*/kloster"), *folder.glob("kloster-*")]


XDIST = ("-n", "2")


@pytest.mark.parametrize(
    ("arguments", "number"),
    [
        pytest.param((), signal.SIGINT, id="int-alone"),
        pytest.param((), signal.SIGTERM, id="term-alone"),
        pytest.param(XDIST, signal.SIGINT, id="int-xdist"),
        pytest.param(XDIST, signal.SIGKILL, id="kill-xdist"),
    ],
)
def test_a_signal_to_pytest(
    tmp_path: Path, runs: list[Run], arguments: tuple[str, ...], number: signal.Signals
) -> None:
    """To the controlling process alone, as a CI service sends it, while tests are running."""
    run = Run(tmp_path / "run", *arguments)
    runs.append(run)
    processes = run.wait_begun(2 if arguments else 1)
    assert len({fleet for _, fleet in processes}) == 1
    os.kill(run.process.pid, number)
    run.end()
    assert run.process.returncode != 0
    nothing_left(run.folder, run.process.pid)


def test_a_killed_worker(tmp_path: Path, runs: list[Run]) -> None:
    """xdist starts another one, which goes on with the same fleet."""
    run = Run(tmp_path / "run", *XDIST)
    runs.append(run)
    processes = run.wait_begun(2)
    os.kill(processes[0][0], signal.SIGKILL)
    run.wait_begun(3)
    run.go_on()
    told = run.end()
    assert "1 failed, 7 passed" in told and "crashed" in told, told
    assert len({line.split()[1] for line in run.begun.read_text().splitlines()}) == 1
    nothing_left(run.folder, run.process.pid)


def test_a_killed_fleet_is_one_clear_line(tmp_path: Path, runs: list[Run]) -> None:
    run = Run(tmp_path / "run")
    runs.append(run)
    ((_, fleet),) = run.wait_begun(1)
    os.kill(fleet, signal.SIGKILL)
    run.go_on()
    told = run.end()
    assert f"the fleet (process {fleet}) has ended" in told and "plugin.py" not in told, told
    nothing_left(run.folder, run.process.pid)


def test_two_runs_at_once(tmp_path: Path, runs: list[Run]) -> None:
    """In the same folder; one is killed, which the other does not notice."""
    runs += [Run(tmp_path / "run"), Run(tmp_path / "run", *XDIST)]
    processes = runs[0].wait_begun(3)
    assert len({fleet for _, fleet in processes}) == 2
    os.killpg(runs[0].process.pid, signal.SIGKILL)
    runs[0].end()
    runs[1].go_on()
    told = runs[1].end()
    assert "8 passed" in told, told
    for one in runs:
        nothing_left(one.folder, one.process.pid)


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_random(tmp_path: Path, runs: list[Run], seed: int) -> None:
    """Any process of the run, at any moment, then all that are left."""
    rng = random.Random(seed)
    run = Run(tmp_path / "run", *rng.choice([(), XDIST]))
    runs.append(run)
    time.sleep(rng.uniform(0.2, 3.0))
    run.go_on()
    fleets = fleets_of(run.folder)
    victims = [run.process.pid, *children(run.process.pid), *fleets]
    chosen = rng.sample(victims, k=min(2, len(victims)))
    for victim in chosen:
        try:
            os.kill(victim, signal.SIGKILL)
        except ProcessLookupError:
            continue
    time.sleep(rng.uniform(0.0, 0.5))
    if run.process.poll() is None:
        os.kill(run.process.pid, rng.choice([signal.SIGTERM, signal.SIGINT, signal.SIGKILL]))
    run.end()
    ends = time.monotonic() + 30
    while fleets_of(run.folder) or alive(run.process.pid):
        assert time.monotonic() < ends
        time.sleep(0.05)
    if set(fleets).isdisjoint(chosen):  # a fleet that is killed leaves its files in pytest's temporary folder
        assert not [path for root in left(run.folder) for path in (root / "data").glob("clusters/*/*")]


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
