"""Which objects a list, a watch or a deletecollection means: namespace, name, label and field selectors.

Everything is decided on what an entry carries beside its bytes (key, labels, selectable fields): no decoding.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kloster.apimachinery import errors, selectors
from kloster.apimachinery.selectors import FieldSelector, LabelSelector
from kloster.apiserver import storage
from kloster.apiserver.call import Call
from kloster.apiserver.options import ListOptions
from kloster.apiserver.resources import Served
from kloster.stores.api import Entry, Key, View

_KEY_FIELDS = ("metadata.name", "metadata.namespace")


@dataclass(frozen=True, slots=True)
class Selection:
    """`labels` and `fields` are None when they select everything; `name` narrows to one object."""

    served: Served
    namespace: str
    name: str = ""
    labels: LabelSelector | None = None
    fields: FieldSelector | None = None

    @property
    def everything(self) -> bool:
        """Whether every object of the resource and namespace is meant."""
        return not self.name and self.labels is None and self.fields is None

    def matches(self, entry: Entry) -> bool:
        """Whether an entry of the right resource is meant."""
        key = entry.key
        if self.namespace and key.namespace != self.namespace:
            return False
        if self.name and key.name != self.name:
            return False
        if self.labels is not None and not self.labels.matches(entry.labels):
            return False
        return self.fields is None or self.fields.matches(_fields(self.served, entry))

    def scan(self, view: View, after: tuple[str, str] | None = None) -> Iterator[Entry]:
        """The entries that are meant, in key order."""
        entries = self.candidates(view, after)
        return entries if self.everything else filter(self.matches, entries)

    def candidates(self, view: View, after: tuple[str, str] | None = None) -> Iterator[Entry]:
        """All that have to be looked at for that (`matches`), in key order."""
        if not self.name or (self.served.namespaced and not self.namespace):
            return view.scan(self.served.id, self.namespace, after)
        found = view.get(Key(self.served.id, self.namespace, self.name))
        return iter(()) if found is None or (after is not None and after >= found.key[1:]) else iter((found,))


def _fields(served: Served, entry: Entry) -> dict[str, str]:
    key, fields = entry.key, entry.fields
    if entry.version != served.stamp and not served.kind.builtin:
        # Stored before its definition changed, perhaps before that had these selectable fields.
        item = storage.thaw(served, entry)
        fields = {path: read(item) for path, read in served.strategy.fields.items()}
    return {**fields, "metadata.name": key.name, "metadata.namespace": key.namespace}


def select(call: Call, options: ListOptions) -> Selection:
    """The selection of a request. Raises StatusError 400 for selectors that cannot be read or are not supported."""
    served, target = call.resource, call.target
    namespace = target.namespace if served.namespaced else ""
    labels = selectors.parse_labels(options.labels) if options.labels else None
    fields = selectors.parse_fields(options.fields) if options.fields else None
    if fields is not None:
        for term in fields.terms:
            if term.field not in _KEY_FIELDS and term.field not in served.kind.selectable:
                raise errors.bad_request(_unsupported(served, term.field))
    return Selection(served, namespace, target.name, labels, fields)


def _unsupported(served: Served, name: str) -> str:
    """Kinds with selectable fields of their own word it each in their own way."""
    if not served.kind.builtin:
        return f"field label not supported: {name}"
    if all(path in _KEY_FIELDS for path in served.kind.selectable):
        listed = ", ".join(f'"{path}"' for path in _KEY_FIELDS)
        return f'"{name}" is not a known field selector: only {listed}'
    if served.group == "batch":
        return f'field label "{name}" not supported for {served.kind.kind}'
    if served.group == "resource.k8s.io":
        return f"field label not supported for {served.kind.api_version}, Kind={served.kind.kind}: {name}"
    return f"field label not supported: {name}"
