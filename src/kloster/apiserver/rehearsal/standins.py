"""Where a process of a test stands in for a port of a pod: pods of simulated nodes run nothing themselves.

An operator's manifests name a Service; its process runs beside the test and listens on some port of the machine. A
stand-in joins the two. Where it may be is decided by whoever connects, as for every address that somebody else chose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

SERVICE, POD = "service", "pod"
MOST = 200


@dataclass(frozen=True, slots=True)
class StandIn:
    """Who connects to this port of a Service or pod reaches ``host:at``. A `port` of 0 stands for all."""

    kind: str
    namespace: str
    name: str
    port: int
    host: str
    at: int


class StandIns:
    """All of a cluster."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[tuple[str, str, str, int], StandIn] = {}

    def find(self, kind: str, namespace: str, name: str, port: int) -> StandIn | None:
        known = self._known
        return known.get((kind, namespace, name, port)) or known.get((kind, namespace, name, 0))

    def replace(self, body: Any) -> None:
        """From now on those of a body ``{"standIns": […]}``. Raises ValueError, which names what is wrong."""
        listed = body.get("standIns") if isinstance(body, Mapping) else None
        if not isinstance(listed, list) or len(listed) > MOST:
            raise ValueError(f"expected at most {MOST} standIns")
        found = [_parsed(one) for one in listed]
        self._known = {(one.kind, one.namespace, one.name, one.port): one for one in found}

    def to_json(self) -> dict[str, Any]:
        return {"standIns": [asdict(one) for one in self._known.values()]}


def _parsed(one: Any) -> StandIn:
    fields = ("kind", "namespace", "name", "port", "host", "at")
    if not isinstance(one, Mapping) or set(one) != set(fields):
        raise ValueError(f"a stand-in has {', '.join(fields)}")
    texts = [one[name] for name in ("kind", "namespace", "name", "host")]
    if not all(isinstance(text, str) and 0 < len(text) <= 253 for text in texts) or one["kind"] not in (SERVICE, POD):
        raise ValueError("kind is service or pod; namespace, name and host are texts")
    for name, least in (("port", 0), ("at", 1)):
        if isinstance(one[name], bool) or not isinstance(one[name], int) or not least <= one[name] <= 65535:
            raise ValueError(f"{name}: expected a number from {least} to 65535, found {one[name]!r}")
    return StandIn(**one)
