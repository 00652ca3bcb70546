"""Two things at once, both to their end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

One = TypeVar("One")
Other = TypeVar("Other")


async def both(one: Awaitable[One], other: Awaitable[Other]) -> tuple[One, Other]:
    """What each comes to. If one fails, its failure (the first's, if both do) is raised when the other has ended, too:
    nothing goes on that nobody waits for."""
    first, second = await asyncio.gather(one, other, return_exceptions=True)
    if isinstance(first, BaseException):
        raise first
    if isinstance(second, BaseException):
        raise second
    return first, second
