"""CEL's numbers: 64 bits, signed, unsigned or floating; and the bounds that arithmetic is held to."""

from __future__ import annotations

LEAST, GREATEST = -(2**63), 2**63 - 1
GREATEST_UNSIGNED = 2**64 - 1


class UInt(int):
    """An unsigned integer, a type of its own: `1u` and `1` are equal, but do not add."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{int(self)}u"
