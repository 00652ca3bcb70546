"""Records and compares the generated cases.

    record MINOR   asks a real server twice (started here, or that of --kubeconfig) and keeps what it answered alike
    compare MINOR  replays all recorded cases to ours: what differs unexpectedly, how many are equal
    known MINOR    writes down what differs now, keeping the reasons that are known
    show MINOR KIND ID  one case: its request, and both answers where they differ

Kinds may be named after the minor, as ``apps/v1/deployments``.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import orjson
import structlog
from tests.apiserver import hurry
from tests.differential.generated import corpus, playing
from tests.differential.generated.cases import kinds, plan
from tests.differential.generated.comparing import Outcome, replay
from tests.upstream.server import running


def record(minor: str, chosen: list[str], kubeconfig: Path | None, given: list[Path]) -> None:
    with ExitStack() as stack:
        if kubeconfig is None:
            kubeconfig = stack.enter_context(running(minor, given)).kubeconfig
        playing.prepare_real(kubeconfig)
        total = 0
        for kind in chosen:
            made = plan(minor, kind)
            first, second = playing.play_real(kubeconfig, made), playing.play_real(kubeconfig, made)
            cases = {case.id: case for case in (*made.creations, *made.changes)}
            stable = {
                id: (corpus.digest(cases[id]), found)
                for id, found in first.items()
                if found is not None and second[id] == found
            }
            corpus.save(minor, kind, stable)
            total += len(stable)
            moving = sorted(first.keys() - stable.keys())
            note = f", left out, as they differ from time to time or end the connection: {moving}" if moving else ""
            print(f"{kind}: {len(stable)} answers{note}", flush=True)
        print(f"{total} answers of {minor}")


def compare(minor: str, chosen: list[str]) -> int:
    total = equal = unexpected = 0
    for kind in chosen:
        outcome = _outcome(minor, kind)
        total, equal = total + outcome.total, equal + outcome.total - len(outcome.different)
        for id in outcome.unknown:
            print(f"{kind}: differs: {id}")
        for id in outcome.mended:
            print(f"{kind}: is equal now, remove it from the known differences: {id}")
        unexpected += len(outcome.unknown) + len(outcome.mended)
    print(f"{minor}: {total} cases, {equal} equal ({100 * equal / max(total, 1):.2f} %), {unexpected} unexpected")
    return unexpected


def write_known(minor: str, chosen: list[str]) -> None:
    counts: Counter[str] = Counter()
    for kind in chosen:
        outcome = _outcome(minor, kind)
        corpus.save_known(minor, kind, outcome.different, corpus.known(minor, kind))
        if outcome.different:
            counts[kind] = len(outcome.different)
    for kind, count in counts.most_common():
        print(f"{count:6} {kind}")
    print(f"{counts.total():6} in all")


def show(minor: str, kind: str, id: str) -> None:
    outcome = _outcome(minor, kind, [id])
    case = next(case for case in _all_cases(minor, kind) if case.id == id)
    print(f"{case.method} {case.path}\n{case.type}\n{orjson.dumps(case.body).decode()}\n")
    print(outcome.told(id) if id in outcome.different else f"equal:\n{corpus.load(minor, kind)[id][1].shown()}")


def _all_cases(minor: str, kind: str) -> list[playing.Case]:
    made = plan(minor, kind)
    return [*made.creations, *made.changes]


def _outcome(minor: str, kind: str, only: list[str] | None = None) -> Outcome:
    found: Outcome = hurry.run(replay(minor, kind, only))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.differential.generated", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", choices=("record", "compare", "known", "show"))
    parser.add_argument("minor")
    parser.add_argument("kinds", nargs="*")
    parser.add_argument("--kubeconfig", type=Path, help="record: a running server without controllers")
    parser.add_argument("--bin", type=Path, action="append", default=[], help="record: a folder with built programs")
    asked = parser.parse_args()
    # What a handler dies of is told by its answer, a 500.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    if asked.what == "show":
        return show(asked.minor, asked.kinds[0], asked.kinds[1])
    chosen = asked.kinds or kinds(asked.minor)
    if asked.what != "record":
        chosen = [kind for kind in chosen if corpus.is_recorded(asked.minor, kind)]
    if asked.what == "record":
        return record(asked.minor, chosen, asked.kubeconfig, asked.bin)
    if asked.what == "known":
        return write_known(asked.minor, chosen)
    return sys.exit(1 if compare(asked.minor, chosen) else 0)


if __name__ == "__main__":
    main()
