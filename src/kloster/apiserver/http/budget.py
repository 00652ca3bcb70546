"""Bytes of requests that are held at the same time, before anybody knows who sends them.

Bodies, and heads that come in pieces, are kept before anybody is authenticated, so anybody can have them kept. All
connections share one budget, of which one cluster may have a quarter and one remote address half (an eighth of the
whole for one cluster): whoever floods a cluster, or from one address, leaves room for the others.
"""

from __future__ import annotations

import ipaddress
from typing import Any

SITE_PART = 4
REMOTE_PART = 2
BOTH_PART = 8


class Account(tuple[str, str]):
    """(site, remote): whose bytes they are. The site is empty where it is not known."""

    __slots__ = ()


NOBODY = Account(("", ""))


class Budget:
    """What is held. Nothing is kept about those who hold nothing."""

    __slots__ = ("_both", "_remotes", "_sites", "limit", "used")

    def __init__(self, limit: int = 256 * 1024 * 1024) -> None:
        self.limit = limit
        self.used = 0
        self._sites: dict[str, int] = {}
        self._remotes: dict[str, int] = {}
        self._both: dict[Account, int] = {}

    def take(self, account: Account, size: int) -> bool:
        """Whether there is room; then it is taken."""
        limit, (site, remote) = self.limit, account
        used, of_site = self.used + size, self._sites.get(site, 0) + size
        of_remote, of_both = self._remotes.get(remote, 0) + size, self._both.get(account, 0) + size
        if used > limit or (site and of_site * SITE_PART > limit):
            return False
        if remote and (of_remote * REMOTE_PART > limit or (site and of_both * BOTH_PART > limit)):
            return False
        self.used, self._sites[site], self._remotes[remote], self._both[account] = used, of_site, of_remote, of_both
        return True

    def give(self, account: Account, size: int) -> None:
        """What was taken is held no longer."""
        site, remote = account
        self.used -= size
        _less(self._sites, site, size)
        _less(self._remotes, remote, size)
        _less(self._both, account, size)


def _less(held: dict[Any, int], name: Any, size: int) -> None:
    left = held[name] - size
    if left:
        held[name] = left
    else:
        del held[name]


def origin(address: str) -> str:
    """Who has a remote address, as far as it tells: of IPv6, who has one has 2**64."""
    if ":" not in address:
        return address
    try:
        found = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    return str(found.ipv4_mapped or found.exploded[:19])
