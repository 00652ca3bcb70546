"""A dictionary of objects that are seldom looked at: kept encoded, decoded for a while when somebody asks.

A decoded object takes five to ten times the memory of its JSON. Whoever follows a whole cluster to serve a few requests
is better off decoding again what it needs.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, MutableMapping
from typing import TypeVar

import orjson

from kloster.apimachinery import Object

Name = TypeVar("Name")


class Packed(MutableMapping[Name, Object]):
    """Maps names to objects. The `recent` that were read or written last are kept decoded.

    As everywhere they are shared and must not be changed.
    """

    def __init__(self, recent: int = 256) -> None:
        self._encoded: dict[Name, bytes] = {}
        self._decoded: OrderedDict[Name, Object] = OrderedDict()
        self._recent = recent

    def __getitem__(self, name: Name) -> Object:
        found = self._decoded.get(name)
        if found is None:
            found = orjson.loads(self._encoded[name])
            self._remember(name, found)
        else:
            self._decoded.move_to_end(name)
        return found

    def __setitem__(self, name: Name, item: Object) -> None:
        self._encoded[name] = orjson.dumps(item)
        self._remember(name, item)

    def __delitem__(self, name: Name) -> None:
        del self._encoded[name]
        self._decoded.pop(name, None)

    def __iter__(self) -> Iterator[Name]:
        return iter(self._encoded)

    def __len__(self) -> int:
        return len(self._encoded)

    def __contains__(self, name: object) -> bool:
        return name in self._encoded

    def rest(self) -> None:
        """Keep nothing decoded."""
        self._decoded.clear()

    def _remember(self, name: Name, item: Object) -> None:
        self._decoded[name] = item
        self._decoded.move_to_end(name)
        if len(self._decoded) > self._recent:
            self._decoded.popitem(last=False)
