"""A suite that is bound by the processor, in all versions at once: ``kloster run --versions all -- pytest``.

Twenty tests, each of which computes for 0.2 s beside a create and a get with the official client. The least that seven
runs can take is the longest of them alone (its processor time: it waits for little else), or all processor time divided
by the processors. That is told of the suites, and of everything: the fleet and kloster run as well. The ratio is wall
time to that least, so it means something on a machine that does nothing else.

Wanted: ≤ 1.2.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from support import processes, report, suites

from kloster.kinds.catalog import MINORS

CONFTEST = """
import os
import resource
from pathlib import Path


def pytest_unconfigure():
    used = resource.getrusage(resource.RUSAGE_SELF)
    Path(os.environ["KLOSTER_RUN_DIR"], "cpu").write_text(str(used.ru_utime + used.ru_stime))
"""

TESTS = """
import time

import pytest
from kubernetes import client, config


@pytest.fixture(scope="module")
def core():
    config.load_kube_config()
    return client.CoreV1Api()


@pytest.mark.parametrize("number", range({count}))
def test_work(core, number):
    core.create_namespaced_config_map("default", {{"metadata": {{"name": f"c{{number}}"}}, "data": {{"a": "b"}}}})
    ends = time.process_time() + {seconds}
    while time.process_time() < ends:
        sum(range(1000))
    assert core.read_namespaced_config_map(f"c{{number}}", "default").data == {{"a": "b"}}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="runs")
    parser.add_argument("--tests", type=int, default=20, help="tests of a suite")
    parser.add_argument("--seconds", type=float, default=0.2, help="of processor time, each")
    given = parser.parse_args()
    print(processes.machine())
    turns = [_turn(given.tests, given.seconds) for _ in range(given.rounds)]
    report.table(f"{len(MINORS)} versions of {given.tests} tests of {given.seconds:g} s", {"kloster": turns})


def _turn(count: int, seconds: float) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "conftest.py").write_text(CONFTEST)
        (folder / "test_work.py").write_text(TESTS.format(count=count, seconds=seconds))
        kloster = [sys.executable, "-m", "kloster.cli", "run", "--versions", "all", "--"]
        run = suites.run([*kloster, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"], folder)
        suites_cpu = [float((folder / ".kloster" / minor / "cpu").read_text()) for minor in MINORS]
    if run.output.count(f"{count} passed") != len(MINORS):
        raise RuntimeError(run.output)
    cores = len(os.sched_getaffinity(0))
    return {
        "wall s": run.wall,
        "longest suite's CPU s": max(suites_cpu),
        "suites' CPU s": sum(suites_cpu),
        "all CPU s": run.cpu,
        "ratio to suites": run.wall / max(*suites_cpu, sum(suites_cpu) / cores),
        "ratio to all": run.wall / max(*suites_cpu, run.cpu / cores),
    }


if __name__ == "__main__":
    main()
