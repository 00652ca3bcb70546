"""One pod's turn through the rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kloster.apimachinery import Object
from kloster.scheduler.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Cycle:
    """The pod, what the nodes hold, and what rules computed once for all nodes (`memo`, by rule)."""

    pod: Object
    snapshot: Snapshot
    memo: dict[str, Any] = field(default_factory=dict)
