"""Objects that are kept encoded read as if they were not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kloster.client.packed import Packed

NAMES = st.sampled_from("abcde")
STEPS = st.lists(st.tuples(st.sampled_from(["put", "drop", "get", "rest"]), NAMES, st.integers()), max_size=60)


@given(STEPS)
def test_it_is_a_dictionary(steps: list[tuple[str, str, int]]) -> None:
    packed: Packed[str] = Packed(recent=2)
    plain: dict[str, dict[str, Any]] = {}
    for what, name, number in steps:
        item = {"metadata": {"name": name, "labels": {"n": str(number)}}, "n": [number % 2**53, None, "ü"]}
        if what == "put":
            packed[name] = plain[name] = item
        elif what == "drop":
            assert packed.pop(name, None) == plain.pop(name, None)
        elif what == "rest":
            packed.rest()
        assert packed.get(name) == plain.get(name)
        assert (name in packed) == (name in plain)
    assert dict(packed) == plain
    assert list(packed) == list(plain)
    assert len(packed) == len(plain)


def test_what_is_read_again_is_the_same_object_for_a_while() -> None:
    packed: Packed[str] = Packed(recent=2)
    for name in "abc":
        packed[name] = {"name": name}
    first = packed["a"]
    assert packed["a"] is first
    packed["b"], packed["c"] = {"name": "b"}, {"name": "c"}
    assert packed["a"] is not first
    assert packed["a"] == first


def test_what_is_not_there() -> None:
    with pytest.raises(KeyError):
        Packed()["a"]
