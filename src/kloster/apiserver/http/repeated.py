"""Heads that come again: a client sends the same header lines with every request, only the path differs.

The model: what the parser makes of a GET without a body depends on its request line and on its block of header lines,
and on nothing else. So a block that the parser has accepted, on this connection or another, is known by its bytes, and
a request is taken without the parser if it consists of a plain request line and a known block, all of it and nothing
behind. That costs a sixth of parsing. Whatever differs by one byte goes through the parser.

What may be known at all:
- requests of HTTP/1.1 that leave the connection as it was: no body, no upgrade, no ``Connection: close``;
- while the parser stands between two requests, for what is taken here it never sees.
"""

from __future__ import annotations

import re

MAX_BLOCK = 4096
MAX_KNOWN = 256

# A subset of what the parser takes: an origin-form target of visible ASCII without a fragment.
_REQUEST_LINE = re.compile(rb'GET (/[!"$-~]*) HTTP/1\.1\r\n')

_BODIES = ("content-length", "transfer-encoding")


class Block:
    """The header lines of a request with the empty line that ends them, and what the parser made of them."""

    __slots__ = ("data", "headers", "size")

    def __init__(self, data: bytes, headers: dict[str, str], size: int) -> None:
        self.data = data
        self.headers = headers
        self.size = size

    def target(self, data: bytes) -> bytes | None:
        """The target of the GET that `data` is, if it has this block; None for everything else."""
        block = self.data
        if not data.endswith(block):
            return None
        line = _REQUEST_LINE.fullmatch(data, 0, len(data) - len(block))
        return None if line is None else line[1]


class Blocks:
    """The blocks that a server has seen. Bounded, because they come from strangers."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, Block] = {}

    def learn(self, data: bytes, url: bytes, headers: dict[str, str], size: int) -> Block | None:
        """The block of a request that the parser has just accepted and that was all of `data`; None if it is not to be
        known."""
        line = _REQUEST_LINE.match(data)
        if line is None or line[1] != url or data.find(b"\r\n\r\n") != len(data) - 4:
            return None
        lines = data[line.end() :]
        known = self._known.get(lines)
        if known is None:
            if len(lines) > MAX_BLOCK or any(name in headers for name in _BODIES):
                return None
            if len(self._known) >= MAX_KNOWN:
                self._known.clear()
            known = self._known[lines] = Block(lines, headers.copy(), size)
        return known
