"""Nothing stays behind, however the processes of a test run end."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.testing.conftest import fleets_of

from kloster.testing import Cluster, Fleet, FleetGone, fleets

USER = """
import sys, time
from pathlib import Path
from kloster.testing import Cluster, Fleet
with Fleet(Path(sys.argv[1])) as fleet:
    with Cluster("1.34", fleet=fleet) as cluster:
        cluster.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "mine"}})
        print("served by", fleet.pid, flush=True)
        sys.stdin.read()
"""


def user(root: Path) -> subprocess.Popen[str]:
    """A process that uses the fleet until its standard input ends."""
    return subprocess.Popen(
        [sys.executable, "-c", USER, str(root)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def served_by(process: subprocess.Popen[str]) -> int:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("served by "), line
    return int(line.split()[-1])


def eventually(true: Callable[[], bool], seconds: float = 20.0) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not come true"
        time.sleep(0.02)


def gone(root: Path) -> bool:
    return not root.exists() and not fleets_of(root)


def test_users_share_a_fleet_that_goes_with_the_last(tmp_path: Path) -> None:
    root = tmp_path / "kloster"
    users = [user(root) for _ in range(3)]
    assert len({served_by(one) for one in users}) == 1
    for one in users[:2]:
        one.communicate(timeout=20)
    with Fleet(root) as fleet, Cluster(fleet=fleet) as cluster:
        users[2].communicate(timeout=20)
        assert cluster.exists("ns/default")
        assert fleets_of(root) == [fleet.pid]
    assert gone(root)


@pytest.mark.parametrize("seed", range(6))
def test_killed_users_leave_nothing(tmp_path: Path, seed: int) -> None:
    """At any moment: while the fleet starts, while a cluster is made, in use."""
    rng = random.Random(seed)
    root = tmp_path / "kloster"
    users = [user(root) for _ in range(2)]
    try:
        time.sleep(rng.uniform(0.0, 1.5))
    finally:
        for one in users:
            os.kill(one.pid, rng.choice([signal.SIGKILL, signal.SIGTERM]))
            one.communicate(timeout=20)
    eventually(lambda: not fleets_of(root))
    if root.exists():  # killed while it was starting: the next one cleans up
        fleets.remove(root)
    with Fleet(root) as fleet:
        assert fleet.request("GET", "/livez") == "ok"
    assert gone(root)


def test_a_killed_fleet_leaves_nothing(tmp_path: Path) -> None:
    root = tmp_path / "kloster"
    with Fleet(root) as fleet:
        fleet.kill()
        with pytest.raises(FleetGone, match="has ended"):
            fleet.request("GET", "/livez")
        with pytest.raises(FleetGone, match="was killed"):
            Fleet(root)
    assert gone(root)


def test_what_was_killed_all_at_once_is_swept_away_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    root = tmp_path / f"{fleets.PREFIX}{os.geteuid()}-x"
    one = user(root)
    pid = served_by(one)
    os.kill(pid, signal.SIGKILL)
    one.kill()
    one.communicate(timeout=20)
    eventually(lambda: not fleets_of(root))
    assert root.exists()
    fleets.sweep()
    assert root.exists(), "it is too young to be sure"
    os.utime(root, (0, 0))
    with Fleet(tmp_path / f"{fleets.PREFIX}{os.geteuid()}-used") as used:
        os.utime(used.root, (0, 0))
        fleets.sweep()
        assert used.request("GET", "/livez") == "ok"
    assert not root.exists()


def test_a_fork_does_not_end_its_parents_fleet(tmp_path: Path) -> None:
    with Fleet(tmp_path / "kloster") as fleet, Cluster(fleet=fleet) as cluster:
        child = os.fork()
        if child == 0:
            fleet.close()
            os._exit(0 if cluster.exists("ns/default") else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert cluster.exists("ns/default")
    assert gone(tmp_path / "kloster")


def test_that_no_fleet_can_start_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(Exception, match="no fleet could be started for the tests") as failure:
        Fleet(tmp_path / "kloster", options=["--port", "1", "--bind", "203.0.113.1"])
    assert "\n" not in str(failure.value).strip()
    assert gone(tmp_path / "kloster")
