from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from kloster.stores.threads import commit_threads

from .storeworld import Backend


@pytest.fixture(params=["memory", "sqlite"])
def backend(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Backend]:
    with commit_threads(2) as executor:
        yield Backend(request.param, tmp_path, executor)
