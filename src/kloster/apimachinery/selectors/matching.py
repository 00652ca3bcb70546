"""Matchers: one compiled function for all conditions of a selector.

A selector can have ten thousand conditions, and be asked about ten thousand objects: strangers write both. So a long
one is arranged by key (`by_key`): what asking costs depends on how many labels there are, not on how many conditions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

Matcher = Callable[[Mapping[str, str]], bool]
Test = Callable[[str], bool]

FEW = 4
"""Conditions that are asked one after the other."""


def everything(_: Mapping[str, str]) -> bool:
    return True


def nothing(_: Mapping[str, str]) -> bool:
    return False


def compiled(matchers: list[Matcher]) -> Matcher:
    if not matchers:
        return everything
    if len(matchers) == 1:
        return matchers[0]
    if len(matchers) == 2:
        first, second = matchers
        return lambda labels: first(labels) and second(labels)
    return lambda labels: all(matcher(labels) for matcher in matchers)


def by_key(conditions: Iterable[tuple[str, bool, Test]]) -> Matcher:
    """All conditions, each (key, whether there must be such a label, what its value must fulfil if there is)."""
    needed: dict[str, list[Test]] = {}
    free: dict[str, list[Test]] = {}
    for key, must_be, test in conditions:
        (needed if must_be else free).setdefault(key, []).append(test)

    def matches(labels: Mapping[str, str]) -> bool:
        if len(needed) > len(labels):
            return False
        for key, tests in needed.items():
            value = labels.get(key)
            if value is None or not all(test(value) for test in tests):
                return False
        if len(free) < len(labels):
            return all(key not in labels or all(test(labels[key]) for test in tests) for key, tests in free.items())
        return all(all(test(value) for test in free[key]) for key, value in labels.items() if key in free)

    return matches


def one_of(values: Iterable[str]) -> Test:
    return frozenset(values).__contains__


def none_of(values: Iterable[str]) -> Test:
    refused = frozenset(values)
    return lambda value: value not in refused


def anything(_: str) -> bool:
    return True


def never(_: str) -> bool:
    return False
