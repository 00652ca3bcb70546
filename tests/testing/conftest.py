"""A fleet for the tests of this folder, and what they look for when it has gone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kloster.testing import Cluster, Fleet


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    with Fleet(tmp_path_factory.mktemp("fleet") / "kloster") as fleet:
        yield fleet


@pytest.fixture(scope="module")
def shared(fleet: Fleet) -> Iterator[Cluster]:
    """A cluster for tests that leave nothing behind that would disturb others."""
    with Cluster("1.34", fleet=fleet) as cluster:
        yield cluster


def fleets_of(root: Path) -> list[int]:
    """The processes that serve a fleet below this folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                line = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if b"kloster.fleet" in line and str(root).encode() in line:
                found.append(int(entry.name))
    return found
