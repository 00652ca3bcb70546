"""What can go wrong for who uses `kloster.testing`.

TestingError            one clear line
  FleetGone             the fleet's process has ended
  WaitTimeout           a condition did not come true; also an AssertionError, so that it reads as a failed test
StatusError             (kloster.apimachinery.errors) what a cluster's API refuses, with the complete Status
"""

from __future__ import annotations


class TestingError(Exception):
    """Something that the caller can put right; the text says what."""

    __test__ = False  # pytest would collect it by its name


class FleetGone(TestingError):
    """The process that serves the clusters has ended."""


class WaitTimeout(TestingError, AssertionError):
    """What was waited for did not come; the text shows what was there instead."""
