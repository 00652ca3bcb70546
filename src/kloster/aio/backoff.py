"""How long to wait before trying again: exponentially longer, bounded, never in step with others."""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Delays in seconds: `first` after one failure, then `factor` times longer each, at most `limit`.

    `jitter` is the share of a delay that is drawn at random: 0.5 means between 50 % and 100 % of it.
    """

    first: float
    limit: float
    factor: float = 2.0
    jitter: float = 0.5

    def delay(self, failures: int, rng: random.Random) -> float:
        """The wait after `failures` failures in a row (1 or more)."""
        exponent = min(max(failures, 1) - 1, 64)
        full = min(self.limit, self.first * self.factor**exponent)
        return full * (1 - self.jitter * rng.random())
