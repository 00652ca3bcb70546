"""Which resource is meant by ``deploy``, ``pods``, ``widgets.example.com`` or an object's apiVersion and kind."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from kloster.client.api import Resource
from kloster.testing.errors import TestingError

ACCEPT = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


def bare(kind: str, text: str) -> str:
    """``web-1`` of ``pod/web-1``, ``pods/web-1`` or ``web-1``. Raises TestingError for another kind's."""
    before, slash, name = text.rpartition("/")
    if slash and before not in (kind, f"{kind}s"):
        raise TestingError(f'expected the name of a {kind}, found "{text}"')
    return name


class Resources:
    """What a cluster serves, as its discovery documents said when something was looked for and not known yet.

    ask     gives the document at a path
    known   what another cluster serves that this one is like
    """

    def __init__(self, ask: Callable[[str], Any], known: Resources | None = None) -> None:
        self._ask = ask
        self._names: dict[str, Resource] = dict(known._names) if known else {}
        self._kinds: dict[tuple[str, str], Resource] = dict(known._kinds) if known else {}
        self.all: list[Resource] = list(known.all) if known else []

    def of_kind(self, api_version: str, kind: str) -> Resource:
        """Raises TestingError if there is no such kind."""
        found = self._kinds.get((api_version, kind))
        if found is None:
            self.refresh()
            found = self._kinds.get((api_version, kind))
        if found is None:
            raise TestingError(f'the cluster serves no kind "{kind}" in {api_version}; is its definition installed?')
        return found

    def named(self, name: str) -> Resource:
        """By plural, singular, short name or kind; with ``.group`` behind it if several groups have one."""
        wanted = name.lower()
        found = self._names.get(wanted)
        if found is None:
            self.refresh()
            found = self._names.get(wanted)
        if found is None:
            near = difflib.get_close_matches(wanted, self._names, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise TestingError(f'the cluster serves no resource "{name}"{hint}')
        return found

    def refresh(self) -> None:
        """Ask again: definitions may have come."""
        self._names.clear()
        self._kinds.clear()
        self.all.clear()
        for root in ("/api", "/apis"):
            for group in self._ask(root).get("items") or ():
                self._add(group)

    def _add(self, group: dict[str, Any]) -> None:
        """The preferred version of a group comes first, and so do the groups that others must not hide."""
        name = (group.get("metadata") or {}).get("name", "")
        known: set[str] = set()
        for version in group.get("versions") or ():
            for entry in version.get("resources") or ():
                kind = (entry.get("responseKind") or {}).get("kind", "")
                plural = entry["resource"]
                resource = Resource(name, version["version"], plural, kind, entry.get("scope") == "Namespaced")
                self._kinds.setdefault((resource.api_version, kind), resource)
                if plural in known:
                    continue
                known.add(plural)
                if "list" in entry.get("verbs", ()):
                    self.all.append(resource)
                for alias in (plural, entry.get("singularResource"), kind, *entry.get("shortNames", ())):
                    if alias:
                        self._names.setdefault(alias.lower(), resource)
                        if name:
                            self._names.setdefault(f"{alias.lower()}.{name}", resource)
