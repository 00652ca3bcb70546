"""What a schema demands of a value: its type and members, and which of the alternatives it has to fit.

The findings and their texts (`findings`) are those of upstream's validator
(k8s.io/kube-openapi/pkg/validation/validate), down to its choice among failed alternatives: of several it shows the
complaints of the one in which most checks held. Hence every validation counts, beside what it finds, how many of its
checks were good.

An update is *ratcheted*: what has not changed is not complained about, so that a stricter schema does not lock objects
that were made before. `old` is what a value was before the update, `NEW` where there is nothing to compare it with.
Items of a list can be told apart only where the list is a map.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation,
#validation-ratcheting
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from typing import Any

from kloster.apimachinery import Object, errors, golang
from kloster.apimachinery.errors import FieldError
from kloster.apimachinery.structural import formats
from kloster.apimachinery.structural.findings import (
    NONE,
    Finding,
    Found,
    composite,
    field_error,
    invalid,
    merged,
    quoted,
    wrong_type,
)
from kloster.apimachinery.structural.scalars import check_number, check_string

NEW: Any = object()
_TYPE_META = ("kind", "apiVersion")
_INT_OR_STRING = ("integer", "string")


def validate(checker: Checker, value: Any, *, old: Any = NEW, path: str = "") -> list[FieldError]:
    """What `value` violates. `path` is where it stands in the object, ``""`` for the object itself.

    Raises StatusError 413 if finding out would take too long.
    """
    _left.alternatives = MOST_ALTERNATIVES
    found, _ = checker.validate(value, "", old, not path)
    return [field_error(each, path) for each in found]


def identical(left: Any, right: Any) -> bool:
    """Equality of JSON values that tells 1, 1.0 and true apart."""
    if left.__class__ is not right.__class__:
        return False
    if left.__class__ is dict:
        return left.keys() == right.keys() and all(identical(left[key], right[key]) for key in left)
    if left.__class__ is list:
        return len(left) == len(right) and all(map(identical, left, right))
    return bool(left == right)


class Checker:
    """One schema, made ready for validation in Kubernetes 1.`minor`; its parts when they are first needed."""

    __slots__ = (
        "_additional",
        "_all_of",
        "_alternatives",
        "_any_of",
        "_children",
        "_enum",
        "_format",
        "_format_check",
        "_items",
        "_list_keys",
        "_members",
        "_minor",
        "_not",
        "_nullable",
        "_one_of",
        "_raw",
        "_required",
        "_texts",
        "_types",
    )

    def __init__(self, raw: Object, minor: int) -> None:
        self._raw = raw
        self._minor = minor
        named = raw.get("type") or ""
        self._types: tuple[str, ...] = (named,) if named else ()
        if raw.get("x-kubernetes-int-or-string"):
            self._types = _INT_OR_STRING
        self._nullable = bool(raw.get("nullable"))
        self._format: str = raw.get("format") or ""
        self._format_check = formats.known(self._format, minor) if self._format else None
        if self._format_check is None:
            self._format = ""
        self._enum: list[Any] = raw.get("enum") or []
        self._members: tuple[str, str] | None = None  # as findings list them
        self._texts = frozenset(each for each in self._enum if each.__class__ is str)
        self._alternatives = sum(len(raw.get(name) or ()) for name in JUNCTORS)
        self._required: list[str] = raw.get("required") or []
        self._children: dict[str, Checker] = {}
        additional = raw.get("additionalProperties")
        self._additional: Object | Checker | None = additional if isinstance(additional, dict) else None
        self._items: Checker | None = None
        self._list_keys: list[str] | None = None
        if raw.get("x-kubernetes-list-type") == "map":
            self._list_keys = list(raw.get("x-kubernetes-list-map-keys") or ())
        self._all_of = [Checker(each, minor) for each in raw.get("allOf") or ()]
        self._any_of = [Checker(each, minor) for each in raw.get("anyOf") or ()]
        self._one_of = [Checker(each, minor) for each in raw.get("oneOf") or ()]
        negated = raw.get("not")
        self._not = Checker(negated, minor) if negated is not None else None

    # --- one value ------------------------------------------------------------------------------------------------

    def validate(self, value: Any, path: str, old: Any = NEW, is_root: bool = False) -> Found:
        """The findings about `value`, which stands at `path`; none if it is what it was."""
        found, count = self._validate(value, path, old, is_root)
        if found and old is not NEW and identical(value, old):
            return NONE, count
        return found, count

    def _validate(self, value: Any, path: str, old: Any, is_root: bool) -> Found:
        if value is None:
            found, count = self._check_null(path)
            return merged(found, self._check_enum(value, path)), count
        count = 1
        found = NONE
        if self._types or self._format:
            complaint = self._check_type(value, path)
            if complaint is None:
                count += 2
            else:
                found = complaint
                count += 1
        more, good = self._check_junctors(value, path, old, is_root)
        found, count = merged(found, more), count + good + 2
        cls = value.__class__
        if cls is str:
            found = merged(found, check_string(self._raw, value, path))
            count += 1
            if self._format_check is not None:
                count += 1
                if not self._format_check(value):
                    found = merged(found, [wrong_type(path, self._format, value)])
        elif cls is int or cls is float:
            found = merged(found, check_number(self._raw, value, path))
            count += 2
        elif cls is list:
            more, good = self._check_list(value, path, old)
            found, count = merged(found, more), count + good + 2
        if self._enum:
            found = merged(found, self._check_enum(value, path))
        count += 1
        if cls is dict:
            more, good = self._check_object(value, path, old, is_root)
            found, count = merged(found, more), count + good + 1
        return found, count

    # --- types ----------------------------------------------------------------------------------------------------

    def _check_null(self, path: str) -> Found:
        if self._types and not self._nullable:
            return [wrong_type(path, ",".join(self._types), "null")], 0
        return NONE, 1

    def _check_type(self, value: Any, path: str) -> Sequence[Finding] | None:
        kind, form = _KINDS[value.__class__]
        types = self._types
        whole = kind == "number" and float(value).is_integer() and "integer" in types
        fits = kind in types or whole or (kind == "integer" and "number" in types)
        if self._format:
            if kind not in ("string", "array"):
                if not fits:
                    return [wrong_type(path, self._format, form)]
            elif "number" not in types and "integer" not in types:
                return None
        return None if fits else [wrong_type(path, ",".join(types), kind)]

    def _check_enum(self, value: Any, path: str) -> Sequence[Finding]:
        """Numbers are compared as numbers; null is no member of any enum."""
        if not self._enum:
            return NONE
        if value.__class__ is str:
            if value in self._texts:
                return NONE
        elif any(each is not None and _equal(value, each) for each in self._enum):
            return NONE
        if self._members is None:
            members = self._enum[:_MOST_MEMBERS]
            listed = [each if isinstance(each, str) else json.dumps(each, separators=(",", ":")) for each in members]
            names = errors.not_supported("", "", listed).text.partition(": supported values: ")[2]
            self._members = golang.shown(members), names
        shown, names = self._members
        text = f"{errors.not_supported('', value, ()).text}: supported values: {names}"
        message = f"{path} in body should be one of {shown}"
        return [Finding(message, path, "FieldValueNotSupported", text)]

    # --- lists and objects ----------------------------------------------------------------------------------------

    def _check_list(self, value: list[Any], path: str, old: Any) -> Found:
        raw = self._raw
        found: Sequence[Finding] = NONE
        count = 0
        items = raw.get("items")
        if isinstance(items, dict):
            item = self._items
            if item is None:
                item = self._items = Checker(items, self._minor)
            before = self._correlated(old)
            for index, each in enumerate(value):
                more, good = item.validate(each, f"{path}[{index}]", before(each) if before else NEW)
                count += good
                if more:
                    found = merged(found, more)
        size, least, most = len(value), raw.get("minItems"), raw.get("maxItems")
        if least is not None and size < least:
            found = merged(found, [invalid(path, size, f"{path} in body should have at least {least} items")])
        if most is not None and size > most:
            message = f"{path} in body should have at most {most} items"
            many = Finding(message, path, "FieldValueTooMany", errors.too_many("", size, most).text)
            found = merged(found, [many])
        return found, count

    def _correlated(self, old: Any) -> Callable[[Any], Any] | None:
        """Finds what an item was before: only in lists that are maps, by their keys."""
        keys = self._list_keys
        if not keys or old.__class__ is not list:
            return None
        known = {_key(each, keys): each for each in old if each.__class__ is dict}
        return lambda item: known.get(_key(item, keys), NEW) if item.__class__ is dict else NEW

    def _check_object(self, value: Object, path: str, old: Any, is_root: bool) -> Found:
        raw = self._raw
        found: Sequence[Finding] = NONE
        count, size = 0, len(value)
        least, most = raw.get("minProperties"), raw.get("maxProperties")
        if least is not None and size < least:
            found = [invalid(path, size, f"{path} in body should have at least {least} properties")]
        if most is not None and size > most:
            message = f"{path} in body should have at most {most} properties"
            found = [*found, Finding(message, path, "FieldValueTooMany", errors.too_many("", size, most).text)]
        properties = raw.get("properties") or {}
        before: Object = old if old.__class__ is dict else {}
        if raw.get("additionalProperties") is False:
            for name in value:
                if name not in properties:
                    found = merged(found, [invalid(path, name, f"{path}.{name} in body is a forbidden property")])
        elif self._additional is not None:
            rest = self._additional
            if not isinstance(rest, Checker):
                rest = self._additional = Checker(rest, self._minor)
            for name, each in value.items():
                if name not in properties:
                    more, good = rest.validate(each, f"{path}.{name}", before.get(name, NEW))
                    count += good
                    if more:
                        found = merged(found, more)
        for name in properties:
            if name in value:
                was = NEW if is_root and name in _TYPE_META else before.get(name, NEW)
                more, good = self._child(name).validate(value[name], f"{path}.{name}" if path else name, was)
                count += good
                if more:
                    found = merged(found, more)
        for name in self._required:
            if name not in value:
                message = f"{path}.{name} in body is required"
                missing = Finding(message, f"{path}.{name}", "FieldValueRequired", errors.required("").text)
                found = merged(found, [missing])
        return found, count

    def _child(self, name: str) -> Checker:
        found = self._children.get(name)
        if found is None:
            found = self._children[name] = Checker(self._raw["properties"][name], self._minor)
        return found

    # --- alternatives ---------------------------------------------------------------------------------------------

    def _check_junctors(self, value: Any, path: str, old: Any, is_root: bool) -> Found:
        """The inner schemas are not ratcheted as wholes, but inside."""
        found: Sequence[Finding] = NONE
        count = 0
        if self._alternatives:
            _spend(self._alternatives)
        if self._any_of:
            found, count = self._check_any_of(value, path, old, is_root)
        if self._one_of:
            more, good = self._check_one_of(value, path, old, is_root)
            found, count = merged(found, more), count + good
        if self._all_of:
            more, good = self._check_all_of(value, path, old, is_root)
            found, count = merged(found, more), count + good
        if self._not is not None and not self._not._validate(value, path, old, is_root)[0]:
            found = merged(found, [composite(f"{quoted(path)} must not validate the schema (not)")])
        return found, count

    def _check_any_of(self, value: Any, path: str, old: Any, is_root: bool) -> Found:
        best: Found | None = None
        for each in self._any_of:
            result = each._validate(value, path, old, is_root)
            if not result[0]:
                return result
            if best is None or result[1] > best[1]:
                best = result
        assert best is not None
        first = composite(f"{quoted(path)} must validate at least one schema (anyOf)")
        return merged([first], best[0]), best[1]

    def _check_one_of(self, value: Any, path: str, old: Any, is_root: bool) -> Found:
        best: Found | None = None
        first: Found | None = None
        valid = 0
        for each in self._one_of:
            result = each._validate(value, path, old, is_root)
            if not result[0]:
                valid += 1
                best = None
                first = first or result
            elif not valid and (best is None or result[1] > best[1]):
                best = result
        if valid == 1 and first is not None:
            return first
        why = f"Found {valid} valid alternatives" if valid else "Found none valid"
        failed = composite(f"{quoted(path)} must validate one and only one schema (oneOf). {why}")
        return ([failed], 0) if best is None else (merged([failed], best[0]), best[1])

    def _check_all_of(self, value: Any, path: str, old: Any, is_root: bool) -> Found:
        found: Sequence[Finding] = NONE
        count = valid = 0
        for each in self._all_of:
            more, good = each._validate(value, path, old, is_root)
            count += good
            valid += not more
            found = merged(found, more)
        if valid == len(self._all_of):
            return found, count
        why = "" if valid else ". None validated"
        text = f"{quoted(path)} must validate all the schemas (allOf){why}"
        return merged(found, [composite(text)]), count


JUNCTORS = ("anyOf", "oneOf", "allOf")
MOST_ALTERNATIVES = 200_000
"""Schemas that may be tried on the values of one object, because several are possible or demanded at one place."""
_MOST_MEMBERS = 100
"""Members of an enum that a finding lists."""

_left = threading.local()


def _spend(alternatives: int) -> None:
    left = getattr(_left, "alternatives", MOST_ALTERNATIVES) - alternatives
    _left.alternatives = left
    if left < 0:
        text = f"checking it would try more than {MOST_ALTERNATIVES} alternatives of its schema"
        raise errors.too_large(f"Request entity too large: {text}")


def alternatives(raw: Any) -> int:
    """How many there are in a schema, but for those that say int-or-string."""
    found = 0
    waiting = [raw]
    while waiting:
        inner = waiting.pop()
        if isinstance(inner, list):
            waiting.extend(inner)
        elif isinstance(inner, dict):
            if not inner.get("x-kubernetes-int-or-string"):
                found += sum(len(listed) for name in JUNCTORS if isinstance(listed := inner.get(name), list))
            waiting.extend(inner.values())
    return found


_KINDS: dict[type, tuple[str, str]] = {
    bool: ("boolean", ""),
    str: ("string", ""),
    int: ("integer", "int64"),
    float: ("number", "float64"),
    list: ("array", ""),
    dict: ("object", ""),
}


def _equal(value: Any, member: Any) -> bool:
    numbers = (int, float)
    if value.__class__ in numbers and member.__class__ in numbers:
        return bool(value == member) if member.__class__ is float else int(value) == member
    return identical(value, member)


def _key(item: Object, keys: Sequence[str]) -> str:
    return json.dumps([item.get(name) for name in keys], sort_keys=True)
