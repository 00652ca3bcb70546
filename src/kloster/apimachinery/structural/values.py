"""What a schema demands of values: types, enums, bounds, patterns, formats, and allOf, anyOf, oneOf, not.

The findings and their texts are those of upstream's validator (k8s.io/kube-openapi/pkg/validation/validate), down to
its choice among failed alternatives: of several it shows the complaints of the one in which most checks held. Hence
every validation counts, beside what it finds, how many of its checks were good.

An update is *ratcheted*: what has not changed is not complained about, so that a stricter schema does not lock objects
that were made before. `old` is what a value was before the update, `NEW` where there is nothing to compare it with.
Items of a list can be told apart only where the list is a map.

Source: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation,
#validation-ratcheting
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from kloster.apimachinery import Object, errors, golang
from kloster.apimachinery.errors import FieldError
from kloster.apimachinery.structural import formats, patterns

NEW: Any = object()
_TYPE_META = ("kind", "apiVersion")
_INT_OR_STRING = ("integer", "string")


class _Finding(NamedTuple):
    """`message` identifies it; `name` is its path, None for a finding about alternatives."""

    message: str
    name: str | None
    type: str
    text: str


_NONE: Sequence[_Finding] = ()
Found = tuple[Sequence[_Finding], int]
"""The findings, and how many checks were good."""


def validate(checker: Checker, value: Any, *, old: Any = NEW, path: str = "") -> list[FieldError]:
    """What `value` violates. `path` is where it stands in the object, ``""`` for the object itself."""
    found, _ = checker.validate(value, "", old, not path)
    return [_field_error(each, path) for each in found]


def _field_error(found: _Finding, path: str) -> FieldError:
    name = (found.name or "").removeprefix(".")
    field = f"{path}.{name}" if path and name else path or name or "<nil>"
    return FieldError(found.type, field, found.text)


def identical(left: Any, right: Any) -> bool:
    """Equality of JSON values that tells 1, 1.0 and true apart."""
    if left.__class__ is not right.__class__:
        return False
    if left.__class__ is dict:
        return left.keys() == right.keys() and all(identical(left[key], right[key]) for key in left)
    if left.__class__ is list:
        return len(left) == len(right) and all(map(identical, left, right))
    return bool(left == right)


def _merged(into: Sequence[_Finding], more: Sequence[_Finding]) -> Sequence[_Finding]:
    """Findings without repetitions."""
    if not more:
        return into
    known = {each.message for each in into}
    fresh = []
    for each in more:
        if each.message not in known:
            known.add(each.message)
            fresh.append(each)
    return [*into, *fresh]


class Checker:
    """One schema, made ready for validation in Kubernetes 1.`minor`; its parts when they are first needed."""

    __slots__ = (
        "_additional",
        "_all_of",
        "_any_of",
        "_children",
        "_enum",
        "_format",
        "_format_check",
        "_items",
        "_list_keys",
        "_minor",
        "_not",
        "_nullable",
        "_one_of",
        "_raw",
        "_required",
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
            return _NONE, count
        return found, count

    def _validate(self, value: Any, path: str, old: Any, is_root: bool) -> Found:
        if value is None:
            found, count = self._check_null(path)
            return _merged(found, self._check_enum(value, path)), count
        count = 1
        found = _NONE
        if self._types or self._format:
            complaint = self._check_type(value, path)
            if complaint is None:
                count += 2
            else:
                found = complaint
                count += 1
        more, good = self._check_junctors(value, path, old, is_root)
        found, count = _merged(found, more), count + good + 2
        cls = value.__class__
        if cls is str:
            found = _merged(found, self._check_string(value, path))
            count += 1
            if self._format_check is not None:
                count += 1
                if not self._format_check(value):
                    found = _merged(found, [_wrong_type(path, self._format, value)])
        elif cls is int or cls is float:
            found = _merged(found, self._check_number(value, path))
            count += 2
        elif cls is list:
            more, good = self._check_list(value, path, old)
            found, count = _merged(found, more), count + good + 2
        if self._enum:
            found = _merged(found, self._check_enum(value, path))
        count += 1
        if cls is dict:
            more, good = self._check_object(value, path, old, is_root)
            found, count = _merged(found, more), count + good + 1
        return found, count

    # --- types ----------------------------------------------------------------------------------------------------

    def _check_null(self, path: str) -> Found:
        if self._types and not self._nullable:
            return [_wrong_type(path, ",".join(self._types), "null")], 0
        return _NONE, 1

    def _check_type(self, value: Any, path: str) -> Sequence[_Finding] | None:
        kind, form = _KINDS[value.__class__]
        types = self._types
        whole = kind == "number" and float(value).is_integer() and "integer" in types
        fits = kind in types or whole or (kind == "integer" and "number" in types)
        if self._format:
            if kind not in ("string", "array"):
                if not fits:
                    return [_wrong_type(path, self._format, form)]
            elif "number" not in types and "integer" not in types:
                return None
        return None if fits else [_wrong_type(path, ",".join(types), kind)]

    def _check_enum(self, value: Any, path: str) -> Sequence[_Finding]:
        """Numbers are compared as numbers; null is no member of any enum."""
        if not self._enum:
            return _NONE
        for each in self._enum:
            if each is not None and _equal(value, each):
                return _NONE
        listed = [each if isinstance(each, str) else json.dumps(each, separators=(",", ":")) for each in self._enum]
        text = errors.not_supported("", value, listed).text
        message = f"{path} in body should be one of {golang.shown(self._enum)}"
        return [_Finding(message, path, "FieldValueNotSupported", text)]

    # --- texts and numbers ----------------------------------------------------------------------------------------

    def _check_string(self, value: str, path: str) -> Sequence[_Finding]:
        raw = self._raw
        limit = raw.get("maxLength")
        if limit is not None and len(value) > limit:
            message = f"{path} in body should be at most {limit} chars long"
            return [_Finding(message, path, "FieldValueTooLong", errors.too_long("", limit).text)]
        least = raw.get("minLength")
        if least is not None and len(value) < least:
            return [_invalid(path, value, f"{path} in body should be at least {least} chars long")]
        pattern = raw.get("pattern")
        if pattern:
            try:
                if not patterns.matches(pattern, value):
                    return [_invalid(path, value, f"{path} in body should match '{pattern}'")]
            except patterns.PatternError as error:
                text = f"{path} in body should match '{pattern}, but pattern is invalid: {error}'"
                return [_invalid(path, value, text)]
        return _NONE

    def _check_number(self, value: int | float, path: str) -> Sequence[_Finding]:
        raw = self._raw
        found: list[_Finding] = []
        factor, least, most = raw.get("multipleOf"), raw.get("minimum"), raw.get("maximum")
        # Bounds count as whole numbers where the value is one.
        shape: Callable[[Any], int | float] = int if value.__class__ is int else float
        if factor is not None:
            found.extend(_check_factor(value, shape(factor), path))
        if least is not None:
            bound, exclusive = shape(least), raw.get("exclusiveMinimum")
            if value < bound or (exclusive and value == bound):
                word = "greater than" if exclusive else "greater than or equal to"
                found.append(_invalid(path, value, f"{path} in body should be {word} {_number(bound)}"))
        if most is not None:
            bound, exclusive = shape(most), raw.get("exclusiveMaximum")
            if value > bound or (exclusive and value == bound):
                word = "less than" if exclusive else "less than or equal to"
                found.append(_invalid(path, value, f"{path} in body should be {word} {_number(bound)}"))
        return found

    # --- lists and objects ----------------------------------------------------------------------------------------

    def _check_list(self, value: list[Any], path: str, old: Any) -> Found:
        raw = self._raw
        found: Sequence[_Finding] = _NONE
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
                    found = _merged(found, more)
        size, least, most = len(value), raw.get("minItems"), raw.get("maxItems")
        if least is not None and size < least:
            found = _merged(found, [_invalid(path, size, f"{path} in body should have at least {least} items")])
        if most is not None and size > most:
            message = f"{path} in body should have at most {most} items"
            many = _Finding(message, path, "FieldValueTooMany", errors.too_many("", size, most).text)
            found = _merged(found, [many])
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
        found: Sequence[_Finding] = _NONE
        count, size = 0, len(value)
        least, most = raw.get("minProperties"), raw.get("maxProperties")
        if least is not None and size < least:
            found = [_invalid(path, size, f"{path} in body should have at least {least} properties")]
        if most is not None and size > most:
            message = f"{path} in body should have at most {most} properties"
            found = [*found, _Finding(message, path, "FieldValueTooMany", errors.too_many("", size, most).text)]
        properties = raw.get("properties") or {}
        before: Object = old if old.__class__ is dict else {}
        if raw.get("additionalProperties") is False:
            for name in value:
                if name not in properties:
                    found = _merged(found, [_invalid(path, name, f"{path}.{name} in body is a forbidden property")])
        elif self._additional is not None:
            rest = self._additional
            if not isinstance(rest, Checker):
                rest = self._additional = Checker(rest, self._minor)
            for name, each in value.items():
                if name not in properties:
                    more, good = rest.validate(each, f"{path}.{name}", before.get(name, NEW))
                    count += good
                    if more:
                        found = _merged(found, more)
        for name in properties:
            if name in value:
                was = NEW if is_root and name in _TYPE_META else before.get(name, NEW)
                more, good = self._child(name).validate(value[name], f"{path}.{name}" if path else name, was)
                count += good
                if more:
                    found = _merged(found, more)
        for name in self._required:
            if name not in value:
                message = f"{path}.{name} in body is required"
                missing = _Finding(message, f"{path}.{name}", "FieldValueRequired", errors.required("").text)
                found = _merged(found, [missing])
        return found, count

    def _child(self, name: str) -> Checker:
        found = self._children.get(name)
        if found is None:
            found = self._children[name] = Checker(self._raw["properties"][name], self._minor)
        return found

    # --- alternatives ---------------------------------------------------------------------------------------------

    def _check_junctors(self, value: Any, path: str, old: Any, is_root: bool) -> Found:
        """The inner schemas are not ratcheted as wholes, but inside."""
        found: Sequence[_Finding] = _NONE
        count = 0
        if self._any_of:
            found, count = self._check_any_of(value, path, old, is_root)
        if self._one_of:
            more, good = self._check_one_of(value, path, old, is_root)
            found, count = _merged(found, more), count + good
        if self._all_of:
            more, good = self._check_all_of(value, path, old, is_root)
            found, count = _merged(found, more), count + good
        if self._not is not None and not self._not._validate(value, path, old, is_root)[0]:
            found = _merged(found, [_composite(f"{_quoted(path)} must not validate the schema (not)")])
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
        first = _composite(f"{_quoted(path)} must validate at least one schema (anyOf)")
        return _merged([first], best[0]), best[1]

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
        failed = _composite(f"{_quoted(path)} must validate one and only one schema (oneOf). {why}")
        return ([failed], 0) if best is None else (_merged([failed], best[0]), best[1])

    def _check_all_of(self, value: Any, path: str, old: Any, is_root: bool) -> Found:
        found: Sequence[_Finding] = _NONE
        count = valid = 0
        for each in self._all_of:
            more, good = each._validate(value, path, old, is_root)
            count += good
            valid += not more
            found = _merged(found, more)
        if valid == len(self._all_of):
            return found, count
        why = "" if valid else ". None validated"
        text = f"{_quoted(path)} must validate all the schemas (allOf){why}"
        return _merged(found, [_composite(text)]), count


# --- words --------------------------------------------------------------------------------------------------------

_KINDS: dict[type, tuple[str, str]] = {
    bool: ("boolean", ""),
    str: ("string", ""),
    int: ("integer", "int64"),
    float: ("number", "float64"),
    list: ("array", ""),
    dict: ("object", ""),
}


def _wrong_type(path: str, wanted: str, given: str) -> _Finding:
    message = f"{path} in body must be of type {wanted}: {_quoted(given)}"
    return _Finding(message, path, "FieldValueTypeInvalid", errors.type_invalid("", given, message).text)


def _invalid(path: str, value: Any, message: str) -> _Finding:
    return _Finding(message, path, "FieldValueInvalid", errors.invalid_value("", value, message).text)


def _composite(message: str) -> _Finding:
    return _Finding(message, None, "FieldValueInvalid", errors.invalid_value("", "", message).text)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _number(value: int | float) -> str:
    return golang.general(value) if value.__class__ is float else str(value)


def _equal(value: Any, member: Any) -> bool:
    numbers = (int, float)
    if value.__class__ in numbers and member.__class__ in numbers:
        return bool(value == member) if member.__class__ is float else int(value) == member
    return identical(value, member)


def _key(item: Object, keys: Sequence[str]) -> str:
    return json.dumps([item.get(name) for name in keys], sort_keys=True)


def _check_factor(value: int | float, factor: int | float, path: str) -> Sequence[_Finding]:
    if factor <= 0:
        text = f"factor MultipleOf declared for {path} must be positive: {_number(factor)}"
        return [_Finding(text, path, "FieldValueInvalid", errors.invalid_value("", factor, text).text)]
    if value.__class__ is int:
        good = value % factor == 0
    else:
        good = _whole(1 / factor * value if factor < 1 else value / factor)
    return _NONE if good else [_invalid(path, value, f"{path} in body should be a multiple of {_number(factor)}")]


def _whole(value: float) -> bool:
    """Nearly whole: within the error of the division."""
    nearest = round(value)
    return value == nearest or abs(value - nearest) < 1e-9 * max(abs(value), abs(nearest))
