"""One fleet for the tests of commands, and a home of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.cli.shell import Shell


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """A shell with an empty home and a data directory of its own. What it started is stopped afterwards."""
    made = Shell(tmp_path / "home", tmp_path / "data")
    yield made
    made.run("down")


@pytest.fixture(scope="module")
def shared_data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The directory of a fleet that a module's tests share."""
    root = tmp_path_factory.mktemp("fleet")
    made = Shell(root / "home", root / "data")
    made.ok("up", "--nodes", "1")
    yield made.data
    made.ok("down")


@pytest.fixture
def here(tmp_path: Path, shared_data: Path) -> Iterator[Shell]:
    """A shell with an empty home, on the shared fleet. Its clusters are deleted afterwards."""
    made = Shell(tmp_path / "home", shared_data)
    yield made
    made.ok("delete", "--all")
