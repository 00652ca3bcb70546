"""Trying again until something is true: how often, and what to say when it never was."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from kloster.apimachinery.errors import StatusError
from kloster.testing.clock import seconds
from kloster.testing.conditions import USAGE
from kloster.testing.errors import TestingError

LONGEST = 0.05
FIRST = 0.003


def checked(condition: object, timeout: float | str) -> float:
    """The seconds to wait for it. Raises TestingError if it is nothing that can be waited for."""
    if not isinstance(condition, str) and not callable(condition):
        raise TestingError(f"{condition!r} is no condition: {USAGE}, or a function")
    return seconds(timeout) if isinstance(timeout, str) else timeout


def pauses(timeout: float) -> Iterator[float]:
    """How long to wait after each try: ever longer; the last try is made when `timeout` (seconds) is over."""
    ends = time.monotonic() + timeout
    pause = FIRST
    while (left := ends - time.monotonic()) > 0:
        yield min(pause, left)
        pause = min(pause * 1.3, LONGEST)
    yield 0.0


class Trials:
    """The tries of one condition: its last result, and in words what was there instead of a true one."""

    def __init__(self) -> None:
        self.result: Any = None
        self._error = ""

    @contextmanager
    def one(self) -> Iterator[None]:
        """One try. What is not found, in the cluster or in an object, and failed assertions count as not yet true."""
        self.result, self._error = None, ""
        try:
            yield
        except StatusError as error:
            if error.code != 404:
                raise
            self._error = f"it found nothing: {error.message}"
        except LookupError as error:
            self._error = f"it failed: {type(error).__name__} {error}"
        except AssertionError as error:
            self._error = f"it failed: {error or 'an assertion without a message'}"

    @property
    def seen(self) -> str:
        return self._error or f"it returned {self.result!r:.500}"
