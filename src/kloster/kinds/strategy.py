"""What a kind does beyond its data: the counterpart of upstream's registry strategies.

Each built-in kind that needs more than the data of its version has a module ``kinds/<group>/<plural>.py`` with a
constant ``STRATEGY``; a kind without a module gets `DEFAULT`. The group's folder is its first label
(``rbac`` for rbac.authorization.k8s.io, ``core`` for the core group; see `catalog.folder`). STRATEGY is the behaviour
from the oldest minor on; where it changed later (a gate that was opened, other columns), the module has
``CHANGED = {minor: Strategy}`` as well.

All functions are pure. Objects are in the storage version. Those that may change the object change it in place; the
pipeline gives them a copy of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError


def _nothing(_: Object) -> None:
    return None


def _nothing2(_new: Object, _old: Object) -> None:
    return None


def _no_errors(_: Object) -> Iterable[FieldError]:
    return ()


def _no_errors2(_new: Object, _old: Object) -> Iterable[FieldError]:
    return ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """A kind's behaviour. Everything has the default of a plain kind.

    default              fills in defaults, on every write (and on read for what was stored by an older version)
    default_beside_spec  the same without what `default` does in spec, for who has left that alone. Default: `default`
    prepare_create       after decoding and defaulting, before validation: clears status, sets generated fields
    prepare_update       the same for updates of the main resource: restores status from old, ...
    prepare_status       the same for /status: restores everything but status from old. Default: keeps
                         metadata changes upstream allows and takes spec from old
    validate             findings on create (and, by default, on the new object of an update)
    validate_update      findings that compare new with old (immutability); run beside `validate`
    validate_status      findings for an update of /status
    warn                 what the answer warns of: (new object, the old one or None on create, minor of the server);
                         called when the object is found valid
    name                 checks metadata.name: "subdomain" (DNS-1123), "label", "label-1035", "path", "any"
    generation           metadata.generation: 1 at creation, +1 whenever something outside metadata and status changes
    status               has a /status subresource: main writes ignore status, status writes ignore the rest
    create_on_update     PUT creates a missing object
    unconditional_update PUT without resourceVersion is accepted
    returns_deleted      DELETE answers with the object rather than a Status
    graceful             seconds of grace for a deletion, None for immediate deletion:
                         (object, asked seconds or None) → seconds
    orphan_by_default    dependents are orphaned unless the request says otherwise
    cells                the row of its table, in the order of its columns: (object, now) → cells
    tables               the same for versions whose columns differ: names of the columns → cells (see `row`);
                         in a catalog, `cells` are already those of the version
    row_order            what the rows of a list are sorted by; None: as the list
    fields               selectable fields beyond metadata.name and metadata.namespace: path → text of object
    convert              (from version, to version) → function that returns the object in the other version
    """

    default: Callable[[Object], None] = _nothing
    default_beside_spec: Callable[[Object], None] | None = None
    prepare_create: Callable[[Object], None] = _nothing
    prepare_update: Callable[[Object, Object], None] = _nothing2
    prepare_status: Callable[[Object, Object], None] | None = None
    validate: Callable[[Object], Iterable[FieldError]] = _no_errors
    validate_update: Callable[[Object, Object], Iterable[FieldError]] = _no_errors2
    validate_status: Callable[[Object, Object], Iterable[FieldError]] = _no_errors2
    warn: Callable[[Object, Object | None, int], Iterable[str]] | None = None
    name: str = "subdomain"
    generation: bool = False
    status: bool = False
    create_on_update: bool = False
    unconditional_update: bool = True
    returns_deleted: bool = False
    graceful: Callable[[Object, int | None], int | None] | None = None
    orphan_by_default: bool = False
    cells: Callable[[Object, float], list[Any]] | None = None
    tables: Mapping[tuple[str, ...], Callable[[Object, float], list[Any]]] = field(default_factory=dict)
    row_order: Callable[[Object], tuple[int, str]] | None = None
    fields: Mapping[str, Callable[[Object], str]] = field(default_factory=dict)
    convert: Mapping[tuple[str, str], Callable[[Object], Object]] = field(default_factory=dict)

    def row(self, columns: Sequence[str]) -> Callable[[Object, float], list[Any]] | None:
        """What makes the rows of a table with these columns; None: the name and the creation time."""
        return self.tables.get(tuple(columns), self.cells)


DEFAULT = Strategy()
