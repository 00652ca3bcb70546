"""Two hundred tests of an operator, each with a cluster of its own, by two workers of pytest-xdist.

The operator is that of examples/greeter (kopf). Every test starts it in its cluster, applies a Greeting, and waits for
the ConfigMap that it makes and for its status. Wall time of the whole run, from `python -m pytest` to its end, and the
processor time of all its processes.

Wanted: ≤ 60 s.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
from pathlib import Path

from support import processes, report, suites
from support.fleet_process import ROOT

EXAMPLE = ROOT / "examples" / "greeter"
FILES = ("greeter.py", "crd.yaml", "conftest.py", "pytest.ini")
TESTS = """
import pytest


@pytest.mark.parametrize("number", range({count}))
def test_greeting(cluster, number):
    text = f"Hello, number {{number}}!"
    greeting = {{"apiVersion": "example.com/v1", "kind": "Greeting", "metadata": {{"name": "world"}}}}
    cluster.apply({{**greeting, "spec": {{"whom": f"number {{number}}"}}}})
    cluster.wait_for(f"configmap/world jsonpath={{{{.data.text}}}}={{text}}")
    cluster.wait_for(f"greeting/world jsonpath={{{{.status.text}}}}={{text}}")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="runs")
    parser.add_argument("--tests", type=int, default=200, help="tests of a run")
    parser.add_argument("--processes", default="2", help="as -n of xdist")
    given = parser.parse_args()
    print(processes.machine())
    turns = [_turn(given.tests, given.processes) for _ in range(given.rounds)]
    report.table(f"{given.tests} tests of a kopf operator, -n {given.processes}", {"kloster": turns})


def _turn(count: int, workers: str) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in FILES:
            shutil.copy(EXAMPLE / file, folder)
        (folder / "test_many.py").write_text(TESTS.format(count=count))
        run = suites.run([sys.executable, "-m", "pytest", "-q", "-n", workers, "--basetemp", f"{name}/run"], folder)
    passed = re.search(r"(\d+) passed", run.output)
    if passed is None or int(passed[1]) != count:
        raise RuntimeError(run.output)
    return {"wall s": run.wall, "CPU s": run.cpu, "CPU ms a test": run.cpu / count * 1000}


if __name__ == "__main__":
    main()
