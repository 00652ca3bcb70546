"""Conflicts: an apply that would change what other managers own."""

from __future__ import annotations

from kloster.apimachinery.apply import fieldset
from kloster.apimachinery.apply.fieldset import FieldSet
from kloster.apimachinery.apply.managed import UPDATE, Identity, Managers
from kloster.apimachinery.errors import StatusError, shown


def refuse(managers: Managers, who: Identity, changed: FieldSet, allowed: FieldSet) -> None:
    """Raises 409 if the apply changes what other managers own. With `allowed`, conflicts are forgiven all together if
    they all lie in it; if not, only those outside are told."""
    conflicts: list[tuple[Identity, tuple[str, ...]]] = []
    for other in sorted(managers, key=Identity.text):
        if other != who:
            hit = fieldset.difference(fieldset.intersection(managers[other].fields, changed), allowed)
            conflicts.extend((other, path) for path in fieldset.paths(hit))
    if not conflicts:
        return
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {_named(other)}", "field": fieldset.shown(path)}
        for other, path in conflicts
    ]
    raise StatusError(409, "Conflict", _conflict_text(conflicts), details={"causes": causes})


def _conflict_text(conflicts: list[tuple[Identity, tuple[str, ...]]]) -> str:
    if len(conflicts) == 1:
        other, path = conflicts[0]
        return f"Apply failed with 1 conflict: conflict with {_named(other)}: {fieldset.shown(path)}"
    lines: list[str] = []
    seen: Identity | None = None
    for other, path in conflicts:
        if other != seen:
            lines.append(f"conflicts with {_named(other)}:")
            seen = other
        lines.append(f"- {fieldset.shown(path)}")
    return f"Apply failed with {len(conflicts)} conflicts: " + "\n".join(lines)


def _named(who: Identity) -> str:
    text = shown(who.manager)
    if who.subresource:
        text += f' with subresource "{who.subresource}"'
    return f"{text} using {who.api_version}" if who.operation == UPDATE else text
