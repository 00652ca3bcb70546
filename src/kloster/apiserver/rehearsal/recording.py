"""The requests that came, the last so many. No bodies, no headers but the user agent."""

from __future__ import annotations

from collections import deque
from dataclasses import asdict, dataclass
from typing import Any

from kloster.apiserver.audit.event import COMPLETE, STARTED, Noted, event

MOST = 10_000
LONGEST = 256  # characters of what clients make up
_LONGEST_URI = 2048
_LONGEST_TEXT = 1024


@dataclass(frozen=True, slots=True)
class Recorded:
    """One request.

    time       seconds since 1970, when it came
    verb       get, list, watch, create, update, patch, apply, delete, deletecollection; for other paths the method
    resource   plural, with ``.GROUP`` behind it and ``/SUBRESOURCE`` behind that; "" for other paths
    path       for what is no resource
    latency    seconds until the answer was ready; of a watch until it began
    """

    time: float
    agent: str
    user: str
    verb: str
    resource: str
    namespace: str
    name: str
    labels: str
    fields: str
    path: str
    status: int
    latency: float


def shortened(noted: Noted) -> Noted:
    """What is kept of it for the audit trail: bounded, whatever clients make up."""
    noted.uri, noted.agent, noted.sources = noted.uri[:_LONGEST_URI], noted.agent[:LONGEST], noted.sources[:8]
    noted.reason = noted.reason[:_LONGEST_TEXT]
    if len(str(noted.status.get("message", ""))) > _LONGEST_TEXT or "details" in noted.status:
        kept = {key: value for key, value in noted.status.items() if key != "details"}
        noted.status = {**kept, "message": str(kept.get("message", ""))[:_LONGEST_TEXT]} if "message" in kept else kept
    return noted


class Recording:
    """A ring of the last requests, numbered from 1."""

    def __init__(self, most: int = MOST) -> None:
        self._kept: deque[tuple[Recorded, Noted | None]] = deque(maxlen=most)
        self._count = 0

    def add(self, one: Recorded, noted: Noted | None = None) -> None:
        self._kept.append((one, noted))
        self._count += 1

    def since(self, number: int) -> dict[str, Any]:
        """The requests after that number; how many of them are not kept any longer; the newest number."""
        return self._told("requests", number, [asdict(one) for one, _ in self._after(number)])

    def trail(self, number: int) -> dict[str, Any]:
        """The same as audit events, those of watches when they began and when they ended."""
        found = []
        for _, noted in self._after(number):
            if noted is None:
                continue
            if not noted.completed or noted.started != noted.completed:
                found.append(event(noted, STARTED))
            if noted.completed:
                found.append(event(noted, COMPLETE))
        return self._told("events", number, found)

    def _after(self, number: int) -> list[tuple[Recorded, Noted | None]]:
        wanted = max(0, self._count - number)
        return list(self._kept)[max(0, len(self._kept) - wanted) :] if wanted else []

    def _told(self, what: str, number: int, found: list[dict[str, Any]]) -> dict[str, Any]:
        wanted = max(0, self._count - number)
        return {what: found, "lost": wanted - min(wanted, len(self._kept)), "newest": self._count}
