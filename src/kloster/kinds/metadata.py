"""Validation of ObjectMeta, the same for every kind.

Upstream validates metadata twice: each built-in kind's strategy with its own rule for names (and, for most kinds, a
rule that a finalizer without a prefix must be one of the standard ones), and the generic registry with the loosest
rule. `validate_create` gives what the first reports, or, when that is silent, the second; `validate_update` what
stands before the strategy's findings. Source: k8s.io/apimachinery/pkg/api/validation/objectmeta.go.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, forbidden_field, invalid_value, required, too_long
from kloster.kinds import names

ANNOTATIONS_LIMIT = 256 * 1024
"""Bytes of all keys and values of an object's annotations."""

WHOLE_OBJECT = "[]"
"""The path of findings about an object as a whole: how upstream prints an empty path."""

IMMUTABLE = "field is immutable"
NOT_STANDARD = "name is neither a standard finalizer name nor is it fully qualified"
STANDARD_FINALIZERS = frozenset({"kubernetes", "orphan", "foregroundDeletion"})


def validate_labels(labels: Mapping[str, str] | None, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    for key, value in (labels or {}).items():
        found.extend(invalid_value(path, key, text) for text in names.qualified_name(key))
        found.extend(invalid_value(path, value, text) for text in names.label_value(value))
    return found


def validate_annotations(annotations: Mapping[str, str] | None, path: str) -> list[FieldError]:
    """Keys are qualified names, whatever their case; all together hold at most 256 KiB."""
    found: list[FieldError] = []
    size = 0
    for key, value in (annotations or {}).items():
        size += len(key.encode()) + len(value.encode())
        found.extend(invalid_value(path, key, text) for text in names.qualified_name(key.lower()))
    if size > ANNOTATIONS_LIMIT:
        found.append(too_long(path, ANNOTATIONS_LIMIT))
    return found


def validate_owner_references(owners: Sequence[Object] | None, path: str) -> list[FieldError]:
    """At most one owner is the controller, and an Event can own nothing."""
    found: list[FieldError] = []
    controller = ""
    for owner in owners or ():
        found.extend(_validate_owner(owner, path))
        if owner.get("controller"):
            current = f"{owner.get('kind', '')}/{owner.get('name', '')}"
            if controller:
                text = (
                    'Only one reference can have Controller set to true. Found "true" in references for '
                    f"{controller} and {current}"
                )
                found.append(invalid_value(path, owners, text))
            else:
                controller = current
    return found


def _validate_owner(owner: Object, path: str) -> Iterable[FieldError]:
    api_version = owner.get("apiVersion", "")
    version = api_version.rpartition("/")[2] if api_version.count("/") <= 1 else ""
    if not version:
        yield invalid_value(f"{path}.apiVersion", api_version, "version must not be empty")
    for name in ("kind", "name", "uid"):
        if not owner.get(name):
            yield invalid_value(f"{path}.{name}", "", "must not be empty")
    if api_version == "v1" and owner.get("kind") == "Event":
        yield invalid_value(path, owner, "/v1, Kind=Event is disallowed from being an owner")


def validate_finalizers(finalizers: Sequence[str] | None, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    for finalizer in finalizers or ():
        found.extend(invalid_value(path, finalizer, text) for text in names.qualified_name(finalizer))
    if finalizers and "orphan" in finalizers and "foregroundDeletion" in finalizers:
        text = "finalizer orphan and foregroundDeletion cannot be both set"
        found.append(invalid_value(path, list(finalizers), text))
    return found


def validate_finalizer_names(finalizers: Sequence[str] | None, path: str) -> list[FieldError]:
    """The stricter rule of built-in kinds: a finalizer has a prefix or is a standard one."""
    return [
        invalid_value(f"{path}[{index}]", finalizer, NOT_STANDARD)
        for index, finalizer in enumerate(finalizers or ())
        if "/" not in finalizer and finalizer not in STANDARD_FINALIZERS
    ]


def validate_managed_fields(entries: Sequence[Object] | None, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    for index, entry in enumerate(entries or ()):
        at = f"{path}[{index}]"
        if entry.get("operation") not in ("Apply", "Update"):
            found.append(invalid_value(f"{at}.operation", entry.get("operation", ""), "must be `Apply` or `Update`"))
        if entry.get("fieldsType", "FieldsV1") not in ("", "FieldsV1"):
            found.append(invalid_value(f"{at}.fieldsType", entry["fieldsType"], "must be `FieldsV1`"))
        found.extend(validate_field_manager(entry.get("manager", ""), f"{at}.manager"))
        if len(entry.get("subresource", "")) > 256:
            found.append(too_long(f"{at}.subresource", 256))
    return found


def validate_field_manager(manager: str, path: str) -> list[FieldError]:
    """A field manager's name, in managedFields and in request options."""
    if len(manager) <= 128 and manager.isascii() and manager.isprintable():
        return []
    found: list[FieldError] = []
    if len(manager.encode()) > 128:
        found.append(too_long(path, 128))
    offset = 0
    for char in manager:
        if not (char.isprintable() and (char == " " or not char.isspace())):
            text = f"invalid character U+{ord(char):04X} (at position {offset})"
            found.append(invalid_value(path, manager, text))
        offset += len(char.encode())
    return found


NameRule = str | Callable[[str, bool], list[str]]
"""A rule of `names.object_name`, or a function of the name and whether it is a prefix (generateName)."""


def _check_name(rule: NameRule, name: str, prefix: bool) -> list[str]:
    return names.object_name(rule, name, prefix) if isinstance(rule, str) else rule(name, prefix)


def _validate_names(meta: Object, rule: NameRule, path: str) -> list[FieldError]:
    found: list[FieldError] = []
    generate = meta.get("generateName", "")
    if generate:
        at = f"{path}.generateName"
        found.extend(invalid_value(at, generate, text) for text in _check_name(rule, generate, True))
    name = meta.get("name", "")
    if name:
        found.extend(invalid_value(f"{path}.name", name, text) for text in _check_name(rule, name, False))
    else:
        found.append(required(f"{path}.name", "name or generateName is required"))
    return found


def validate_whole(
    meta: Object, *, namespaced: bool, name: NameRule = "subdomain", path: str = "metadata"
) -> list[FieldError]:
    """Metadata by itself, as upstream's validation of a kind looks at it."""
    found = _validate_meta(meta, namespaced, name, path)
    return [*found, *validate_finalizer_names(meta.get("finalizers"), f"{path}.finalizers")]


def _validate_meta(meta: Object, namespaced: bool, rule: NameRule, path: str) -> list[FieldError]:
    found = _validate_names(meta, rule, path)
    namespace = meta.get("namespace", "")
    if not namespaced:
        if namespace:
            found.append(forbidden_field(f"{path}.namespace", "not allowed on this type"))
    elif namespace:
        found.extend(invalid_value(f"{path}.namespace", namespace, text) for text in names.label(namespace))
    else:
        found.append(required(f"{path}.namespace"))
    generation = meta.get("generation") or 0
    if generation < 0:
        found.append(invalid_value(f"{path}.generation", generation, "must be greater than or equal to 0"))
    found.extend(validate_labels(meta.get("labels"), f"{path}.labels"))
    found.extend(validate_annotations(meta.get("annotations"), f"{path}.annotations"))
    found.extend(validate_owner_references(meta.get("ownerReferences"), f"{path}.ownerReferences"))
    found.extend(validate_finalizers(meta.get("finalizers"), f"{path}.finalizers"))
    found.extend(validate_managed_fields(meta.get("managedFields"), f"{path}.managedFields"))
    return found


def validate_create(
    meta: Object, *, namespaced: bool, name: NameRule = "subdomain", builtin: bool = True, path: str = "metadata"
) -> list[FieldError]:
    """Metadata of a new object whose name has been generated. `name` is `Strategy.name`.

    builtin  applies the finalizer rule of built-in kinds (custom resources only need qualified names)
    """
    found = _validate_meta(meta, namespaced, name, path)
    if builtin:
        found.extend(validate_finalizer_names(meta.get("finalizers"), f"{path}.finalizers"))
    if not found and name != "path":  # upstream looks at everything once more, of which only the names can be wrong
        found = _validate_names(meta, "path", path)
    return found


_SERVER_FIELDS = (
    ("name", ""),
    ("namespace", ""),
    ("uid", ""),
    ("creationTimestamp", None),
    ("deletionTimestamp", None),
    ("deletionGracePeriodSeconds", None),
)


def validate_update(new: Object, old: Object, *, builtin: bool = True, path: str = "metadata") -> list[FieldError]:
    """Metadata of an update. Both are the `metadata` objects; the registry has already carried over what it owns."""
    found: list[FieldError] = []
    finalizers = new.get("finalizers") or []
    if old.get("deletionTimestamp"):
        extra = sorted(set(finalizers) - set(old.get("finalizers") or ()))
        if extra:
            # Go's %#v of a list of strings.
            listed = ", ".join(json.dumps(name, ensure_ascii=False) for name in extra)
            text = (
                "no new finalizers can be added if the object is being deleted, "
                f"found new finalizers []string{{{listed}}}"
            )
            found.append(forbidden_field(f"{path}.finalizers", text))
    if not new.get("resourceVersion"):
        found.append(invalid_value(f"{path}.resourceVersion", "", "must be specified for an update"))
    if (new.get("generation") or 0) < (old.get("generation") or 0):
        found.append(invalid_value(f"{path}.generation", new.get("generation") or 0, "must not be decremented"))
    for field, empty in _SERVER_FIELDS:
        found.extend(immutable(new.get(field, empty), old.get(field, empty), f"{path}.{field}"))
    found.extend(validate_labels(new.get("labels"), f"{path}.labels"))
    found.extend(validate_annotations(new.get("annotations"), f"{path}.annotations"))
    found.extend(validate_owner_references(new.get("ownerReferences"), f"{path}.ownerReferences"))
    found.extend(validate_managed_fields(new.get("managedFields"), f"{path}.managedFields"))
    if builtin:
        found.extend(validate_finalizer_names(finalizers, f"{path}.finalizers"))
    return found


def immutable(new: Any, old: Any, path: str) -> list[FieldError]:
    """The complaint that a field has changed. Empty lists and maps count as absent, as in upstream's DeepEqual."""
    if same(new, old):
        return []
    return [invalid_value(path, new, IMMUTABLE)]


def same(new: Any, old: Any) -> bool:
    """Semantic equality of JSON values: absent, null, empty list and empty map are one (apiequality.Semantic)."""
    if new == old:
        # True == 1 in Python, but no field of the API can hold both.
        return True
    if isinstance(new, dict) and isinstance(old, dict):
        return all(same(new.get(key), old.get(key)) for key in new.keys() | old.keys())
    if isinstance(new, list) and isinstance(old, list):
        return len(new) == len(old) and all(same(left, right) for left, right in zip(new, old, strict=True))
    return new in (None, [], {}) and old in (None, [], {})
