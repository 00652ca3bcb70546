"""Versions as options and markers name them."""

from __future__ import annotations

import pytest

from kloster.kinds.catalog import MINORS
from kloster.testing import versions


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (["1.34"], ["1.34"]),
        (["v1.34", "1.34"], ["1.34"]),
        (["1.37,1.31"], ["1.37", "1.31"]),
        (["1.31..1.33"], ["1.31", "1.32", "1.33"]),
        (["1.36.."], ["1.36", "1.37"]),
        (["..1.32", "1.37"], ["1.31", "1.32", "1.37"]),
        (["all"], list(MINORS)),
    ],
    ids=["one", "twice", "list", "range", "from", "up-to", "all"],
)
def test_versions_are_read(asked: list[object], found: list[str]) -> None:
    assert versions.chosen(asked) == found


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("1.12", "'1.12' is not supported; supported are 1.31"),
        ("latest", "'latest' is not supported"),
        ("1.34..1.32", "'1.34..1.32' is empty: 1.34 is newer than 1.32"),
        (1.34, 'versions are texts such as "1.31", found 1.34'),
    ],
    ids=["old", "word", "backwards", "number"],
)
def test_others_are_refused(asked: object, words: str) -> None:
    with pytest.raises(ValueError, match=words.replace(".", r"\.")):
        versions.chosen([asked])
