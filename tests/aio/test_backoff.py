"""Delays between attempts."""

import random

import pytest

from kloster.aio.backoff import Backoff


@pytest.mark.parametrize(("failures", "full"), [(1, 1.0), (2, 2.0), (4, 8.0), (5, 10.0), (10_000, 10.0)])
def test_delays_double_up_to_the_limit(failures: int, full: float) -> None:
    steady = Backoff(first=1.0, limit=10.0, jitter=0.0)
    assert steady.delay(failures, random.Random(1)) == full
    rng = random.Random(1)
    delays = [Backoff(first=1.0, limit=10.0, jitter=0.5).delay(failures, rng) for _ in range(100)]
    assert full / 2 <= min(delays) < max(delays) <= full
