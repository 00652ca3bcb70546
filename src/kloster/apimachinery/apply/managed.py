"""metadata.managedFields: who owns which fields of an object.

An entry belongs to a manager (a name, an operation, for updates also an apiVersion, a subresource) and lists the paths
that it owns. Entries stand in upstream's order: by operation, time, manager, apiVersion, subresource. Of update
managers at most `MOST_UPDATES` are kept apart; the oldest are gathered under one name.
Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from kloster.apimachinery import Object
from kloster.apimachinery.apply import fieldset
from kloster.apimachinery.apply.fieldset import FieldSet

APPLY = "Apply"
UPDATE = "Update"
MOST_UPDATES = 10
ANCIENT = "ancient-changes"
UNKNOWN = "unknown"


class Identity(NamedTuple):
    """What tells managers apart. An applier is the same manager in whatever apiVersion it applies."""

    manager: str
    operation: str
    api_version: str
    subresource: str

    def text(self) -> str:
        """The identity as upstream writes it, by which it sorts."""
        fields = {
            "manager": self.manager,
            "operation": self.operation,
            "apiVersion": self.api_version,
            "subresource": self.subresource,
        }
        return json.dumps({name: value for name, value in fields.items() if value}, separators=(",", ":"))


def identity(manager: str, operation: str, api_version: str, subresource: str) -> Identity:
    return Identity(manager or UNKNOWN, operation, api_version if operation == UPDATE else "", subresource)


@dataclass(frozen=True, slots=True)
class Entry:
    """One manager's paths. `stored` is the entry as it stands in the object, while it is unchanged."""

    identity: Identity
    api_version: str
    time: str
    fields: FieldSet
    stored: Object | None = None

    def owning(self, fields: FieldSet, time: str | None = None) -> Entry:
        """The entry with other paths; itself if they are the same."""
        if fields is self.fields and time in (None, self.time):
            return self
        if fields is self.fields and self.stored is not None and self.time and time:
            return replace(self, time=time, stored={**self.stored, "time": time})
        return replace(self, fields=fields, time=self.time if time is None else time, stored=None)

    def encoded(self, ordered: FieldSet | None = None) -> Object:
        """As it stands in the object; `ordered` are its paths if they are in order already."""
        if self.stored is not None:
            return self.stored
        entry: Object = {}
        if self.identity.manager:
            entry["manager"] = self.identity.manager
        entry["operation"] = self.identity.operation
        entry["apiVersion"] = self.api_version
        if self.time:
            entry["time"] = self.time
        entry["fieldsType"] = "FieldsV1"
        entry["fieldsV1"] = fieldset.ordered(self.fields) if ordered is None else ordered
        if self.identity.subresource:
            entry["subresource"] = self.identity.subresource
        return entry


Managers = dict[Identity, Entry]


def decode(entries: Iterable[Any] | None, *, foreign: bool = False) -> Managers:
    """Reads managedFields. Entries that a client sent (`foreign`) are brought into canonical form.

    Raises ValueError, in upstream's words, for entries that say nothing usable.
    """
    managers: Managers = {}
    for index, entry in enumerate(entries or ()):
        operation = entry.get("operation")
        if operation not in (APPLY, UPDATE):
            raise ValueError("operation must be `Apply` or `Update`")
        version = entry.get("apiVersion")
        if not version:
            raise ValueError("apiVersion must not be empty")
        kind = entry.get("fieldsType") or ""
        if not kind:
            raise ValueError(f"missing fieldsType in managed fields entry {index}")
        if kind != "FieldsV1":
            raise ValueError(f'invalid fieldsType "{kind}" in managed fields entry {index}')
        fields = entry.get("fieldsV1") or {}
        if foreign:
            fields = _parsed(fields)
        who = Identity(
            entry.get("manager") or "",
            operation,
            version if operation == UPDATE else "",
            entry.get("subresource") or "",
        )
        stored = None if foreign else entry
        managers[who] = Entry(who, version, entry.get("time") or "", fields, stored)
    return managers


def _parsed(fields: Any) -> FieldSet:
    try:
        return fieldset.parse(fields)
    except (ValueError, AttributeError) as error:
        raise ValueError(f"error decoding set: {error}") from error


def is_reset(entries: Any) -> bool:
    """Whether a client asks to forget all managers: an empty list, or one empty entry."""
    return isinstance(entries, list) and (not entries or (len(entries) == 1 and not any(entries[0].values())))


def encode(managers: Managers) -> list[Object]:
    """The entries in upstream's order."""
    return [entry.encoded() for entry in sorted(managers.values(), key=_order)]


def _order(entry: Entry) -> tuple[str, ...]:
    who = entry.identity
    return who.operation, entry.time, who.manager, entry.api_version, who.subresource


def cap_updates(managers: Managers) -> Managers:
    """Gathers the oldest update managers under one name (per apiVersion) while there are too many."""
    updates = [entry for entry in managers.values() if entry.identity.operation == UPDATE]
    excess = len(updates) - MOST_UPDATES
    if excess <= 0:
        return managers
    out = dict(managers)
    first: dict[str, Entry] = {}
    for entry in sorted(updates, key=lambda entry: (entry.time, entry.identity.text())):
        if excess <= 0:
            break
        version = entry.api_version
        if version not in first:
            first[version] = entry
            continue
        bucket = Identity(ANCIENT, UPDATE, version, "")
        if bucket not in out:
            oldest = first[version]
            out.pop(oldest.identity, None)
            out[bucket] = replace(oldest, identity=bucket, stored=None)
        joined = fieldset.union(entry.fields, out[bucket].fields)
        out.pop(entry.identity, None)
        # The time is that of the younger one: it is when the gathered fields changed last.
        out[bucket] = replace(out[bucket], fields=joined, time=entry.time, stored=None)
        excess -= 1
    return out


def keep_times(old: list[Object] | None, new: list[Object] | None) -> list[Object] | None:
    """`new`, with the times of `old` if nothing but times differs.

    For writes that leave an object as it was: the caller compares the rest of the objects and uses the result, so that
    a time stamp alone never makes a new version.
    """
    if not old or not new or len(old) != len(new) or old == new:
        return new
    without = [{name: value for name, value in entry.items() if name != "time"} for entry in (*old, *new)]
    return old if without[: len(old)] == without[len(old) :] else new
