"""Matchers: one compiled function for all conditions of a selector."""

from __future__ import annotations

from collections.abc import Callable, Mapping

Matcher = Callable[[Mapping[str, str]], bool]


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
