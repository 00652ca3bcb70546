"""A further cluster for tests, beside envtest: how soon it answers, what it costs, what happens in it by itself.

    bench/envtest.py --assets DIR        DIR has a real kube-apiserver and etcd (what setup-envtest installs)
    bench/envtest.py --kind              with kind, if this machine has it

Everybody lends clusters in turns. In each turn: from the first step until a GET of namespace default is answered; then
a test's worth of requests; then the cluster is given back. Processor time is that of all servers for all of it.
Memory is that of a further cluster: several are lent, all have served requests and stay connected, and the growth is
what a straight line through the sums says. USS is what a process alone holds; PSS counts what it shares in proportion.

Wanted: an answer 10 times sooner than envtest's, a hundredth of its 300 MB.
"""

from __future__ import annotations

import argparse
import math
import shlex
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from support import behaviour, processes, report
from support.envtest import Envtest
from support.kind import Kind
from support.lending import Created, Forked, Lender

from kloster.client.blocking import Blocking
from kloster.envtest import assets
from kloster.testing.fleets import Fleet

DEFAULT = "/api/v1/namespaces/default"
REAL, KIND = "envtest", "kind"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--assets", type=Path, help="directory with a real kube-apiserver and etcd")
    parser.add_argument("--kind", action="store_true", help="measure kind as well")
    parser.add_argument("--kind-options", default="", help="of kind create cluster, such as --image")
    parser.add_argument("--version", default="1.34", help="Kubernetes version of Kloster's clusters")
    parser.add_argument("--rounds", type=int, default=5, help="turns that each gets")
    parser.add_argument("--clusters", type=int, default=50, help="clusters of a fleet at a time, for memory")
    parser.add_argument("--planes", type=int, default=4, help="control planes at a time, for memory (kind: 2)")
    parser.add_argument("--patience", type=float, default=5.0, help="seconds until what did not happen is a no")
    given = parser.parse_args()
    print(processes.machine())
    with ExitStack() as stack:
        lenders = _lenders(given, stack)
        _turns(lenders, given.rounds)
        _behaviours(lenders, given.patience)
    _memory(given)


def _lenders(given: argparse.Namespace, stack: ExitStack) -> list[Lender]:
    fleet = stack.enter_context(_fleet())
    found: list[Lender] = [Forked(fleet, given.version), Created(fleet, given.version)]
    return found + _planes(given, stack)


def _planes(given: argparse.Namespace, stack: ExitStack) -> list[Lender]:
    """Those whose clusters are processes of their own."""
    ours = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    assets.write(ours, given.version)
    found: list[Lender] = [
        Envtest("kloster as envtest", ours),
        Envtest("the same, controllers", ours, more=["--kloster-controllers=*"]),
    ]
    if given.assets is not None:
        found += [Envtest(REAL, given.assets), Envtest("envtest with fsync", given.assets, fsync=True)]
    if given.kind:
        found.append(Kind(shlex.split(given.kind_options)))
    return found


@contextmanager
def _fleet() -> Iterator[Fleet]:
    """As the pytest plugin has it."""
    with tempfile.TemporaryDirectory() as folder, Fleet(Path(folder, "kloster")) as fleet:
        yield fleet


# -- time -----------------------------------------------------------------------------------------------------------


def _turns(lenders: Sequence[Lender], rounds: int) -> None:
    turns: dict[str, list[dict[str, float]]] = {lender.name: [] for lender in lenders}
    for _ in range(rounds):
        for lender in lenders:
            turns[lender.name].append(_turn(lender))
    report.against("a further cluster", turns, [peer for peer in (REAL, KIND) if peer in turns])


def _turn(lender: Lender) -> dict[str, float]:
    cpu, began = lender.cpu_seconds(), time.perf_counter()
    with lender.lend() as api:
        api.get(DEFAULT)
        answered = time.perf_counter() - began
        until_answer = lender.cpu_seconds() - cpu
        use(api)
    return {
        "first answer ms": answered * 1000,
        "CPU until then ms": until_answer * 1000,
        "CPU in all ms": (lender.cpu_seconds() - cpu) * 1000,
        "and back ms": (time.perf_counter() - began) * 1000,
    }


def use(api: Blocking) -> None:
    """What a small test asks: twenty requests."""
    path = f"{DEFAULT}/configmaps"
    for number in range(5):
        api.create(path, {"metadata": {"name": f"settings-{number}"}, "data": {"mode": "fast"}})
        api.get(f"{path}/settings-{number}")
        api.patch(f"{path}/settings-{number}", {"data": {"mode": "slow"}})
    assert len(api.get(path, labelSelector="")["items"]) >= 5
    api.get("/api/v1/namespaces")
    for number in range(3):
        api.delete(f"{path}/settings-{number}")


# -- behaviour ------------------------------------------------------------------------------------------------------


def _behaviours(lenders: Sequence[Lender], patience: float) -> None:
    seen = {}
    for lender in lenders:
        with lender.lend() as api:
            seen[lender.name] = behaviour.observe(api, patience)
    print(f"\nwhat happens by itself (no: not within {patience:g} s)")
    width = max(map(len, behaviour.CHECKS)) + 2
    print(" " * width + "".join(f"{name:>23}" for name in seen))
    for what in behaviour.CHECKS:
        cells = (_said(one[what]) for one in seen.values())
        print(f"{what:<{width}}" + "".join(f"{cell:>23}" for cell in cells), flush=True)


def _said(seconds: float) -> str:
    return "no" if seconds == behaviour.NO else f"yes, {seconds * 1000:.0f} ms"


# -- memory ---------------------------------------------------------------------------------------------------------


def _memory(given: argparse.Namespace) -> None:
    turns = {}
    for kind in (Forked, Created):
        with _fleet() as fleet:
            turns[kind.name] = [_growth(kind(fleet, given.version), given.clusters)]
    with ExitStack() as stack:
        for lender in _planes(given, stack):
            lender_count = 2 if lender.name == KIND else given.planes
            turns[lender.name] = [_growth(lender, lender_count)]
    title = f"memory of a further cluster (fleets: {given.clusters} at a time, others: {given.planes})"
    report.against(title, turns, [peer for peer in (REAL, KIND) if peer in turns])


def _growth(lender: Lender, count: int) -> dict[str, float]:
    """MiB that each further cluster adds."""
    step = max(1, count // 10)
    seen: list[tuple[int, float, float]] = []
    with ExitStack() as stack:
        for number in range(1, count + 1):
            use(stack.enter_context(lender.lend()))
            if number % step == 0 or number == 1:
                time.sleep(1.0)
                seen.append((number, *_held(lender.pids())))
    return {
        "PSS MiB": _slope([(number, pss) for number, pss, _ in seen]),
        "USS MiB": _slope([(number, uss) for number, _, uss in seen]),
        "first, PSS MiB": seen[0][1],
    }


def _held(pids: Sequence[int]) -> tuple[float, float]:
    """(PSS, USS) in MiB; nan where nobody may look."""
    if not pids:
        return math.nan, math.nan
    return sum(map(processes.pss, pids)), sum(map(processes.uss, pids))


def _slope(points: Sequence[tuple[int, float]]) -> float:
    """Of the straight line that is nearest to the points."""
    middle_x = sum(x for x, _ in points) / len(points)
    middle_y = sum(y for _, y in points) / len(points)
    return sum((x - middle_x) * (y - middle_y) for x, y in points) / sum((x - middle_x) ** 2 for x, _ in points)


if __name__ == "__main__":
    main()
