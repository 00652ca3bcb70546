"""Generated names: five characters that cannot spell words, as upstream's."""

from __future__ import annotations

from typing import Protocol

_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"
_LONGEST_BASE = 58


class Choices(Protocol):
    """Picks numbers below a bound."""

    def choice(self, count: int) -> int: ...


def suffix(random: Choices) -> str:
    return "".join(_ALPHABET[random.choice(len(_ALPHABET))] for _ in range(5))


def generated(prefix: str, random: Choices) -> str:
    """A name with metadata.generateName's prefix."""
    return prefix[:_LONGEST_BASE] + suffix(random)
