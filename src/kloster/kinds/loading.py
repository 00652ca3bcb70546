"""Reads the packaged data of a minor version (written by ``make reference``, see tools/reference/packing.py).

``data/<minor>.zz`` is zlib over lines: facts, discovery, bootstrap objects, then one type a line. Lines stay bytes
until somebody asks: loading a version parses the facts only, and a type costs something when it is first looked at.
"""

from __future__ import annotations

import hashlib
import zlib
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson

from kloster.apimachinery import Object
from kloster.apimachinery.schema.build import Described

_DATA = Path(__file__).parent / "data"


def minors() -> tuple[str, ...]:
    """The minor versions whose data is packaged, oldest first."""
    names = (path.name.removesuffix(".zz") for path in _DATA.glob("*.zz") if path.name.count(".") == 2)
    return tuple(sorted(names, key=lambda minor: [int(part) for part in minor.split(".")]))


def _lines(path: Path) -> list[bytes]:
    return zlib.decompress(path.read_bytes()).split(b"\n")


def _by_name(lines: list[bytes]) -> dict[str, bytes]:
    pairs = (line.split(b"\t", 1) for line in lines)
    return {name.decode(): text for name, text in pairs}


class Reference:
    """One minor's data. `facts` is parsed; everything else is parsed anew each time it is asked for."""

    def __init__(self, minor: str, directory: Path = _DATA) -> None:
        self._files = (directory / f"{minor}.zz", directory / f"{minor}.descriptions.zz")
        facts, self._discovery, self._bootstrap, *types = _lines(self._files[0])
        self.facts: dict[str, Any] = orjson.loads(facts)
        self._types = _by_name(types)

    def discovery(self) -> dict[str, list[Object]]:
        found: dict[str, list[Object]] = orjson.loads(self._discovery)
        return found

    def bootstrap(self) -> list[Object]:
        found: list[Object] = orjson.loads(self._bootstrap)
        return found

    def type(self, name: str) -> Described | None:
        """(extras of the struct, its fields) of a Go type."""
        text = self._types.get(name)
        if text is None:
            return None
        extras, fields = orjson.loads(text)
        return extras, fields

    @cached_property
    def digest(self) -> str:
        """Changes with the data, that of descriptions included."""
        return hashlib.sha256(b"".join(path.read_bytes() for path in self._files)).hexdigest()

    @property
    def type_names(self) -> list[str]:
        return list(self._types)


def descriptions(minor: str) -> dict[str, bytes]:
    """Go type → JSON ``[text, {field: text}]``. Large: for OpenAPI, which does not keep it."""
    return _by_name(_lines(_DATA / f"{minor}.descriptions.zz"))
