"""What a test pays for a cluster of its own: set-up and tear-down of the fixture `kloster_cluster`.

The prepared cluster is small: a definition, a namespace, a deployment. Each round forks it, asks the fork for an object
and closes it, as the plugin does: the next one is made while the test runs, and deleted while others run. Wall time of
both together, and the processor time of the test's process and of the fleet's, deletions included.

Wanted: ≤ 60 ms together.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from statistics import median

from support import prepared, processes, report

from kloster.testing.session import Session


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="fleets that are started")
    parser.add_argument("--tests", type=int, default=40, help="clusters made one after the other, per round")
    parser.add_argument("--work", type=float, default=0.1, help="seconds that a test takes")
    given = parser.parse_args()
    print(processes.machine())
    turns = []
    for _ in range(given.rounds):
        with tempfile.TemporaryDirectory() as folder:
            session = Session(Path(folder) / "kloster")
            try:
                plain = _turn(session, None, given.tests, given.work)
                forks = _turn(session, prepared.prepare, given.tests, given.work)
            finally:
                session.close()
        turns.append({**{f"plain {key}": plain[key] for key in plain}, **{f"fork {key}": forks[key] for key in forks}})
    report.table("set-up and tear-down of a test's cluster", {"kloster": turns})


def _turn(session: Session, prepare: object, tests: int, work: float) -> dict[str, float]:
    """Milliseconds per test. The first is left out: it prepares, and connects."""
    session.cluster("1.34", prepare).close()  # type: ignore[arg-type]
    together, setup = [], []
    own, fleet = time.process_time(), processes.cpu_seconds([session.fleet.pid])
    for _ in range(tests):
        began = time.perf_counter()
        cluster = session.cluster("1.34", prepare)  # type: ignore[arg-type]
        ready = time.perf_counter()
        cluster.get("namespace/default")
        time.sleep(work)
        asked = time.perf_counter()
        cluster.close()
        together.append(time.perf_counter() - asked + ready - began)
        setup.append(ready - began)
    own, fleet = time.process_time() - own, processes.cpu_seconds([session.fleet.pid]) - fleet
    return {
        "together ms": median(together) * 1000,
        "set-up ms": median(setup) * 1000,
        "own CPU ms": own / tests * 1000,
        "fleet CPU ms": fleet / tests * 1000,
    }


if __name__ == "__main__":
    main()
