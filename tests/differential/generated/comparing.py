"""Replays a kind's recorded cases to a cluster in memory."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from tests.differential.generated import corpus, playing
from tests.differential.generated.cases import plan
from tests.differential.generated.corpus import Answer


class StaleError(Exception):
    """The generator has changed since the answers were recorded."""


@dataclass(frozen=True)
class Outcome:
    """different  id → (what upstream answers, what we answer)
    unknown    ids that differ and are not known to
    mended     ids that are known to differ and do not
    """

    total: int
    different: dict[str, tuple[Answer, Answer]]
    unknown: list[str]
    mended: list[str]

    def told(self, id: str) -> str:
        """The difference of a case, for people."""
        wanted, found = (answer.shown().splitlines() for answer in self.different[id])
        return "\n".join(difflib.unified_diff(wanted, found, "upstream", "Kloster", n=3, lineterm=""))


async def replay(minor: str, kind: str, only: Iterable[str] | None = None) -> Outcome:
    """`only`: ids of the cases to send; all that are recorded if None."""
    recorded = corpus.load(minor, kind)
    made = plan(minor, kind)
    fresh = {case.id: corpus.digest(case) for case in (*made.creations, *made.changes)}
    stale = [id for id, (sum, _) in recorded.items() if fresh.get(id) != sum]
    if stale:
        raise StaleError(f"{kind}: {len(stale)} recorded requests have changed ({stale[0]}): record them again")
    chosen = recorded.keys() if only is None else recorded.keys() & set(only)
    found = await playing.play_ours(await playing.prepare_ours(minor), made, chosen)
    different = {
        id: (recorded[id][1], answer) for id, answer in found.items() if id in chosen and answer != recorded[id][1]
    }
    known = corpus.known(minor, kind)
    return Outcome(
        len(found),
        different,
        [id for id in different if id not in known],
        [id for id in known if id in found and id not in different],
    )
