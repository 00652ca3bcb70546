"""What a write does to ownership: `track_update` for create, update and patch, `apply` for server-side apply.

An update takes what it changes: the changed paths leave all other managers and join the writer's. An apply states
what its manager wants to own: it is merged into the live object, what the manager owned before and no longer states
is removed unless somebody else owns it as well, and changing what others own is a conflict unless forced.

Paths of other apiVersions of a kind are taken to mean the same: entries stay as they are, as far as the paths exist.
Source: https://kubernetes.io/docs/reference/using-api/server-side-apply/ (KEP-555)
"""

from __future__ import annotations

from kloster.apimachinery import Object
from kloster.apimachinery.apply import conflicts, created, fieldset, lastapplied, managed
from kloster.apimachinery.apply.compare import compare
from kloster.apimachinery.apply.empty import zero
from kloster.apimachinery.apply.fieldset import FieldSet
from kloster.apimachinery.apply.managed import APPLY, UPDATE, Entry, Identity, Managers
from kloster.apimachinery.apply.merge import merge, remove
from kloster.apimachinery.apply.reset import NOTHING, Reset
from kloster.apimachinery.apply.shape import validate
from kloster.apimachinery.apply.typed import ItemError, fieldset_of, reconciled, with_named_fields
from kloster.apimachinery.cloning import clone
from kloster.apimachinery.errors import StatusError, bad_request
from kloster.apimachinery.schema.model import StructType, Type

BEFORE_FIRST_APPLY = "before-first-apply"

_UNTRACKED = frozenset({"apiVersion", "kind"})
_UNTRACKED_METADATA = (
    "clusterName",
    "creationTimestamp",
    "generation",
    "managedFields",
    "name",
    "namespace",
    "resourceVersion",
    "selfLink",
    "uid",
)
_STRIPPED = fieldset.from_paths(
    ("f:apiVersion",),
    ("f:kind",),
    ("f:metadata",),
    *(("f:metadata", f"f:{name}") for name in _UNTRACKED_METADATA),
)


def track_update(
    old: Object | None,
    new: Object,
    type: Type,
    *,
    manager: str,
    operation: str = UPDATE,
    api_version: str,
    now: str,
    subresource: str = "",
    reset: Reset = NOTHING,
) -> list[Object]:
    """The managedFields of `new`, which `manager` writes in place of `old` (None: it is created).

    Both objects are in `api_version`, decoded and defaulted, before admission. `reset` names the paths that this
    request cannot change (see `reset.of`). The managedFields that `new` carries are what the client sent: usually the
    old ones; others replace the stored ones; an empty entry forgets them.
    """
    try:
        if old is None and isinstance(type, StructType) and new.get("metadata", {}).get("managedFields") is None:
            who = managed.identity(manager, operation, api_version, subresource)
            return _created_by(new, type, who, api_version, now, reset)
        managers = _base(old, new, subresource)
        if not managers and old is not None:
            # Objects without managers are not tracked until somebody applies.
            return []
        before = zero(type) if old is None else old
        managers = _updated(before, new, type, managers, reset, manager, operation, api_version, now, subresource)
        return managed.encode(managed.cap_updates(managers))
    except ItemError:
        # Upstream drops what it can no longer tell.
        return []


def _created_by(new: Object, type: StructType, who: Identity, api_version: str, now: str, reset: Reset) -> list[Object]:
    """The managedFields of what `who` creates."""

    def compute() -> FieldSet:
        _, modified, added = _compare(zero(type), new, type, reset)
        return fieldset.difference(fieldset.union(modified, added), _STRIPPED)

    own = created.fields(new, type, reset, compute)
    return [Entry(who, api_version, now, own).encoded(own)] if own else []


def _base(old: Object | None, new: Object, subresource: str) -> Managers:
    stored = (old or {}).get("metadata", {}).get("managedFields")
    sent = new.get("metadata", {}).get("managedFields")
    if not subresource and sent is not None and sent is not stored and sent != stored:
        if managed.is_reset(sent):
            return {}
        try:
            managers = managed.decode(sent, foreign=True)
        except (ValueError, AttributeError):
            managers = {}
        if managers:
            return managers
    try:
        return managed.decode(stored)
    except ValueError:
        return {}


def _updated(
    old: Object,
    new: Object,
    type: Type,
    managers: Managers,
    reset: Reset,
    manager: str,
    operation: str,
    api_version: str,
    now: str,
    subresource: str,
) -> Managers:
    removed, modified, added = _compare(old, new, type, reset)
    if not (removed or modified or added):
        return managers
    mine = fieldset.union(modified, added)
    taken = fieldset.union(removed, mine)
    who = managed.identity(manager, operation, api_version, subresource)
    out = _without(managers, taken, keep=who)
    own = fieldset.difference(mine, _STRIPPED)
    previous = managers.get(who)
    if own:
        if previous:
            out[who] = previous.owning(fieldset.union(fieldset.difference(previous.fields, removed), own), now)
        else:
            out[who] = Entry(who, api_version, now, own)
    elif previous:
        fields = fieldset.difference(previous.fields, taken)
        if fields:
            out[who] = previous.owning(fields)
    return out


def _compare(old: Object, new: Object, type: Type, reset: Reset) -> tuple[FieldSet, FieldSet, FieldSet]:
    """Removed, modified and added paths, without those that are reset or never owned."""
    changes = compare(old, new, type, _UNTRACKED)
    return tuple(reset.filter(fieldset.difference(tree, _STRIPPED)) for tree in changes)  # type: ignore[return-value]


def _without(managers: Managers, taken: FieldSet, keep: Identity) -> Managers:
    """All managers but `keep` without the taken paths; who owns nothing any more is gone."""
    out: Managers = {}
    for who, entry in managers.items():
        if who == keep:
            continue
        fields = fieldset.difference(entry.fields, taken)
        if fields:
            out[who] = entry.owning(fields)
    return out


# --- apply -------------------------------------------------------------------------------------------------------


def apply(
    live: Object | None,
    patch: Object,
    type: Type,
    *,
    manager: str,
    api_version: str,
    force: bool,
    now: str,
    subresource: str = "",
    reset: Reset = NOTHING,
    kind: str = "",
) -> Object:
    """The object after `manager` applied `patch` to `live` (None: it does not exist), with its managedFields.

    `live` is in `api_version`, as it is stored; the result is still to be decoded and defaulted. If the result equals
    `live` apart from managedFields, no time stamp has changed. `kind` is checked if it is given.

    Raises StatusError: 409 with a cause per conflict, 400 for a patch of another type or with managedFields, 500 (as
    upstream) for fields that the schema does not have.
    """
    _check(patch, api_version, kind)
    if live is not None:
        try:
            managers = managed.decode(live.get("metadata", {}).get("managedFields"))
        except ValueError as error:
            raise StatusError(500, "", f"failed to decode managed fields: {error}") from error
        managers = {who: entry.owning(reconciled(entry.fields, type)) for who, entry in managers.items()}
    else:
        managers = {}
    _check_schema(patch, type)
    who = managed.identity(manager, APPLY, api_version, subresource)
    if live is None:
        return _created(patch, type, who, api_version, now, reset)
    bare = _bare(live)
    if not managers:
        managers = _updated(
            zero(type), bare, type, {}, reset, BEFORE_FIRST_APPLY, UPDATE, api_version, now, subresource
        )
    allowed = lastapplied.allowed(live, type, api_version) if manager == lastapplied.MANAGER else {}
    result, managers = _applied(bare, patch, type, managers, who, api_version, now, reset, force, allowed)
    if manager == lastapplied.MANAGER:
        lastapplied.refresh(result, patch)
    return _with_managers(result, managers)


def _check(patch: Object, api_version: str, kind: str) -> None:
    version, given = patch.get("apiVersion", ""), patch.get("kind", "")
    if version != api_version or (kind and given != kind):
        raise bad_request(f"invalid object type: {_group_version_kind(patch)}")
    metadata = patch.get("metadata")
    if isinstance(metadata, dict) and metadata.get("managedFields") is not None:
        raise bad_request("metadata.managedFields must be nil")


def _group_version_kind(patch: Object) -> str:
    version = str(patch.get("apiVersion", ""))
    return f"{version if '/' in version else '/' + version}, Kind={patch.get('kind', '')}"


def _check_schema(patch: Object, type: Type) -> None:
    errors = list(validate(patch, type))
    if errors:
        metadata = patch.get("metadata") if isinstance(patch.get("metadata"), dict) else {}
        name = f"{metadata.get('namespace', '')}/{metadata.get('name', '')}"  # type: ignore[union-attr]
        listed = errors[0] if len(errors) == 1 else "\n  ".join(["errors:", *errors])
        subject = f"{name}; {_group_version_kind(patch)}"
        raise StatusError(500, "", f"failed to create typed patch object ({subject}): {listed}")


def _bare(live: Object) -> Object:
    metadata = live.get("metadata", {})
    if "managedFields" not in metadata:
        return live
    return {**live, "metadata": {name: value for name, value in metadata.items() if name != "managedFields"}}


def _stated(patch: Object, type: Type, reset: Reset) -> FieldSet:
    """What the patch states to own; the paths that are never owned are still in it."""
    return reset.filter(fieldset_of(patch, type))


def _created(patch: Object, type: Type, who: Identity, api_version: str, now: str, reset: Reset) -> Object:
    own = fieldset.difference(_stated(patch, type, reset), _STRIPPED)
    managers = {who: Entry(who, api_version, now, own)} if own else {}
    return _with_managers(clone(patch), managers)


def _applied(
    live: Object,
    patch: Object,
    type: Type,
    managers: Managers,
    who: Identity,
    api_version: str,
    now: str,
    reset: Reset,
    force: bool,
    allowed: FieldSet,
) -> tuple[Object, Managers]:
    previous = managers.get(who)
    stated = _stated(patch, type, reset)
    result = merge(live, patch, type)
    if previous and previous.fields:
        others = [entry.fields for other, entry in managers.items() if other != who]
        result = _pruned(result, type, previous.fields, [*others, stated])
    removed, modified, added = _compare(live, result, type, reset)
    changed = fieldset.union(modified, added)
    if not force:
        conflicts.refuse(managers, who, changed, allowed)
    out = _without(managers, fieldset.union(removed, changed), keep=who)
    own = fieldset.difference(stated, _STRIPPED)
    if own:
        # An apply that changes nothing keeps its time; a new manager that changes nothing has none.
        time = now if result != live else previous.time if previous else ""
        if previous and previous.fields == own and previous.api_version == api_version:
            out[who] = previous.owning(previous.fields, time)
        else:
            out[who] = Entry(who, api_version, time, own)
    return result, out


def _pruned(merged: Object, type: Type, previous: FieldSet, claims: list[FieldSet]) -> Object:
    """`merged` without what the manager owned before and nobody claims now.

    First everything of `previous` goes, with what is below it; then what others claim comes back; then what was below
    but never belonged to the manager.
    """
    last = with_named_fields(previous, type)
    before = with_named_fields(fieldset_of(merged, type), type)
    pruned = remove(merged, last, type)
    claimed: FieldSet = {}
    for claim in claims:
        claimed = fieldset.union(claimed, claim)
    kept = fieldset.union(
        with_named_fields(fieldset_of(pruned, type), type),
        with_named_fields(claimed, type),
    )
    pruned = remove(merged, fieldset.difference(before, kept), type)
    left = with_named_fields(fieldset_of(pruned, type), type)
    gone = fieldset.intersection(fieldset.difference(before, left), last)
    return remove(merged, gone, type) or {}


def _with_managers(result: Object, managers: Managers) -> Object:
    metadata = result.setdefault("metadata", {})
    entries = managed.encode(managers)
    if entries:
        metadata["managedFields"] = entries
    else:
        metadata.pop("managedFields", None)
    return result
