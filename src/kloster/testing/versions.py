"""Which Kubernetes versions are meant by ``1.34``, ``1.31,1.37``, ``1.31..1.37`` and ``all``."""

from __future__ import annotations

from collections.abc import Iterable

from kloster.kinds.catalog import MINORS, parse_version

ALL = "all"


def chosen(asked: Iterable[object]) -> list[str]:
    """The versions, each once, in the order asked for. Raises ValueError naming what there is."""
    found: dict[str, None] = {}
    for text in asked:
        if not isinstance(text, str):
            raise ValueError(f'versions are texts such as "1.31", found {text!r}')
        for part in text.split(","):
            found.update(dict.fromkeys(_part(part.strip())))
    return list(found)


def one(text: str) -> str:
    """A single version. Raises ValueError."""
    return text if text in MINORS else parse_version(text)


def _part(text: str) -> list[str]:
    if text == ALL:
        return list(MINORS)
    first, dots, last = text.partition("..")
    if not dots:
        return [one(text)]
    begin, end = MINORS.index(one(first or MINORS[0])), MINORS.index(one(last or MINORS[-1]))
    if begin > end:
        raise ValueError(f"{text!r} is empty: {first} is newer than {last}")
    return list(MINORS[begin : end + 1])
