"""Which objects a list shows: one consistent state, and the part of it that is asked for.

The state is the newest, or an older one that the log can still rebuild (an exact resourceVersion, the later pages of a
paged list). A scan of it is a snapshot, however long it takes: where there is much to look at, others get their turns
in between.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import orjson

from kloster.aio.turns import Turn
from kloster.apimachinery import errors
from kloster.apiserver import options
from kloster.apiserver.call import Call
from kloster.apiserver.options import InconsistentContinue, ListOptions, Token
from kloster.apiserver.selection import Selection
from kloster.stores.api import Compacted, Entry, FutureRevision, View

_TOGETHER = 5_000
"""Entries that are taken as they come in one go: a millisecond."""


@dataclass(frozen=True, slots=True)
class Page:
    """What one answer shows. `remaining` is None when it is not told (selectors, last page)."""

    entries: Sequence[Entry]
    revision: int
    token: str = ""
    remaining: int | None = None

    def metadata(self, custom: bool = False) -> bytes:
        """ListMeta as JSON. Lists of custom resources are maps: sorted, with an empty continue."""
        about: dict[str, str | int] = {"resourceVersion": str(self.revision)}
        if custom:
            about["continue"] = self.token
            if self.remaining:
                about["remainingItemCount"] = self.remaining
            return orjson.dumps(about, option=orjson.OPT_SORT_KEYS)
        if self.token:
            about["continue"] = self.token
        if self.remaining:
            about["remainingItemCount"] = self.remaining
        return orjson.dumps(about)


def page(call: Call, asked: ListOptions, selected: Selection) -> Page | Awaitable[Page]:
    """The page asked for; an awaitable if there is much to look at."""
    view, revision, after = _position(call, asked)
    search = _Search(selected, view, after, asked.limit)
    return search.page(revision) if search.go_on() else _slowly(search, revision)


async def whole_page(call: Call, asked: ListOptions, selected: Selection) -> Page:
    """The same for whoever waits in any case."""
    found = page(call, asked, selected)
    return found if isinstance(found, Page) else await found


async def _slowly(search: _Search, revision: int) -> Page:
    await search.turn.next()
    while not search.go_on():
        await search.turn.next()
    return search.page(revision)


class _Search:
    """Collects the entries of a page, and finds out whether there are more."""

    def __init__(self, selected: Selection, view: View, after: tuple[str, str] | None, limit: int) -> None:
        self._everything = selected.everything
        self._matches = selected.matches
        self._counted = selected.labels is None and selected.fields is None
        self._left: Iterator[Entry] = selected.candidates(view, after)
        self._limit = limit
        self._found: list[Entry] = []
        self._rest = 0
        self.turn = Turn()

    def go_on(self) -> bool:
        """Whether all has been looked at."""
        while not self.turn.over():
            looked = self._take() if self._everything else self._choose()
            if looked is None:
                return True
        return False

    def _take(self) -> bool | None:
        """The next ones as they come. None: that was all."""
        if self._limit and len(self._found) >= self._limit:
            seen = sum(1 for _ in islice(self._left, _TOGETHER))
            self._rest += seen
            return None if seen < _TOGETHER else True
        wanted = min(self._limit - len(self._found), _TOGETHER) if self._limit else _TOGETHER
        some = list(islice(self._left, wanted))
        self._found += some
        return None if len(some) < wanted else True

    def _choose(self) -> bool | None:
        """The same, of those that are selected. How many of them remain need not be known if nobody is told."""
        matches = self._matches
        for number, entry in enumerate(self._left, 1):
            if matches(entry):
                if not self._limit or len(self._found) < self._limit:
                    self._found.append(entry)
                else:
                    self._rest += 1
                    if not self._counted:
                        return None
            if not number & 15 and self.turn.over():
                return True
        return None

    def page(self, revision: int) -> Page:
        if not self._rest:
            return Page(self._found, revision)
        token = options.encode_token(Token(revision, self._found[-1].key[1:]))
        return Page(self._found, revision, token, self._rest if self._counted else None)


def _position(call: Call, asked: ListOptions) -> tuple[View, int, tuple[str, str] | None]:
    """The state to read, its revision, and the key to go on after."""
    store = call.shown
    if asked.token:
        token = options.decode_token(asked.token)
        if asked.version and asked.version != "0":
            raise errors.bad_request("specifying resource version is not allowed when using continue")
        if token.revision < 0:
            return store, store.revision, token.after
        try:
            return store.at(token.revision), token.revision, token.after
        except (Compacted, FutureRevision):
            raise InconsistentContinue(options.encode_token(Token(-1, token.after))) from None
    try:
        version = options.parse_version(asked.version)
    except ValueError as error:
        raise errors.bad_request(f"invalid resource version: {error}") from None
    if version > store.revision:
        raise errors.too_large_resource_version(version, store.revision)
    exact = asked.match == "Exact" or (asked.limit and not asked.match)
    if not version or not exact or version == store.revision:
        return store, store.revision, None
    try:
        return store.at(version), version, None
    except Compacted:
        raise errors.expired("The resourceVersion for the provided list is too old.") from None
