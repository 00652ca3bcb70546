"""The requests that came, the last so many. No bodies, no headers but the user agent, no query but the selectors."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

MOST = 10_000
LONGEST = 256  # characters of what clients make up


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


class Recording:
    """A ring of the last requests, numbered from 1."""

    def __init__(self, most: int = MOST) -> None:
        self._kept: deque[Recorded] = deque(maxlen=most)
        self._count = 0

    def add(self, one: Recorded) -> None:
        self._kept.append(one)
        self._count += 1

    def since(self, number: int) -> dict[str, Any]:
        """The requests after that number; how many of them are not kept any longer; the newest number."""
        wanted = max(0, self._count - number)
        kept: Iterable[Recorded] = list(self._kept)[max(0, len(self._kept) - wanted) :] if wanted else ()
        found = [asdict(one) for one in kept]
        return {"requests": found, "lost": wanted - len(found), "newest": self._count}
