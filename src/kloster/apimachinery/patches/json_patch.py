"""JSON patch (RFC 6902), with the liberties that upstream takes.

An operation that fails, in whatever way, fails the whole patch with one and the same 422. What upstream allows beyond
the standard: negative indices count from the end; `replace` of a key that is not there adds it; `test` with null
passes where there is nothing; `copy` of a key that is not there copies null.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import orjson

from kloster.apimachinery import Object, golang
from kloster.apimachinery.cloning import clone
from kloster.apimachinery.errors import StatusError, bad_request, too_large

MOST_OPERATIONS = 10_000
MOST_COPIED = 3 << 20
"""Bytes that the copies of one patch may add together, as upstream: each copy can double the document."""

_INDEX = re.compile(r"[+-]?[0-9]+")
_KNOWN = frozenset({"op", "path", "from", "value"})
_MISSING: Any = object()


class _Failed(Exception):
    """An operation does not apply. The text is that of upstream's library, which only webhooks are told."""


class DoesNotApply(StatusError):
    """One of the operations does not apply; `why` says more than clients are told."""

    why: str


def apply(document: Object, operations: Any) -> Object:
    """`document` after all operations.

    Raises StatusError: 400 if `operations` is no list of operations, 413 for more than 10,000, 422 if one fails.
    """
    _check(operations)
    if len(operations) > MOST_OPERATIONS:
        raise too_large(f"The allowed maximum operations in a JSON patch is {MOST_OPERATIONS}, got {len(operations)}")
    result: Any = clone(document)
    copied = 0
    try:
        for operation in operations:
            if operation and operation.get("op") == "copy":
                copied += _size(result, operation)
                if copied > MOST_COPIED:
                    raise _Failed
            result = _perform(result, operation)
    except (_Failed, RecursionError) as error:
        text = "the server rejected our request due to an error in our request"
        failure = DoesNotApply(422, "Invalid", text, details={})
        failure.why = str(error) or text
        raise failure from error
    return result  # type: ignore[no-any-return]


def unknown_fields(operations: Sequence[Object]) -> list[str]:
    """Findings of strict decoding, in upstream's words: ``json patch unknown field "[0].foo"``."""
    return [
        f'json patch unknown field "[{index}].{name}"'
        for index, operation in enumerate(operations)
        for name in operation
        if name not in _KNOWN
    ]


def _check(operations: Any) -> None:
    target = "[]handlers.jsonPatchOp"
    if not isinstance(operations, list):
        raise _undecodable(operations, f"value of type {target}")
    for operation in operations:
        if operation is None:
            continue
        if not isinstance(operation, dict):
            raise _undecodable(operation, "value of type handlers.jsonPatchOp")
        for name in ("op", "path", "from"):
            value = operation.get(name)
            if value is not None and not isinstance(value, str):
                raise _undecodable(value, f"struct field jsonPatchOp.{name} of type string")


def _undecodable(value: Any, target: str) -> StatusError:
    return bad_request(f"error decoding patch: json: cannot unmarshal {golang.json_sort(value)} into Go {target}")


def _perform(document: Any, operation: Object | None) -> Any:
    operation = operation or {}
    name = operation.get("op")
    path = operation.get("path")
    if name not in _OPERATIONS:
        raise _Failed(f"Unexpected kind: {name or 'unknown'}")
    if not isinstance(path, str):
        raise _Failed(f"{name} operation failed to decode path: missing value")
    return _OPERATIONS[name](document, path, operation)


def _value(operation: Object) -> Any:
    return clone(operation.get("value"))


def _source(operation: Object) -> str:
    source = operation.get("from")
    if not isinstance(source, str):
        raise _Failed("operation, missing from field: missing value")
    return source


def _add(document: Any, path: str, operation: Object) -> Any:
    place, key = _find(document, path, f'add operation does not apply: doc is missing path: "{path}"')
    with _within(f"error in add for path: '{path}'"):
        _insert(place, key, _value(operation))
    return document


def _remove(document: Any, path: str, operation: Object) -> Any:
    place, key = _find(document, path, f'remove operation does not apply: doc is missing path: "{path}"')
    with _within(f"error in remove for path: '{path}'"):
        _delete(place, key)
    return document


def _replace(document: Any, path: str, operation: Object) -> Any:
    if path == "":
        value = _value(operation)
        return value if isinstance(value, dict | list) else document
    place, key = _find(document, path, f"replace operation does not apply: doc is missing path: {path}")
    if isinstance(place, list):
        with _within(f"replace operation does not apply: doc is missing key: {path}"):
            place[_index(place, key)] = _value(operation)
    else:
        place[key] = _value(operation)
    return document


def _move(document: Any, path: str, operation: Object) -> Any:
    source = _source(operation)
    place, key = _find(document, source, f"move operation does not apply: doc is missing from path: {source}")
    with _within(f"error in move for path: '{key}'"):
        value = _get(place, key)
        _delete(place, key)
    place, key = _find(document, path, f"move operation does not apply: doc is missing destination path: {path}")
    with _within(f"error in move for path: '{path}'"):
        _insert(place, key, None if value is _MISSING else value)
    return document


def _copy(document: Any, path: str, operation: Object) -> Any:
    source = _source(operation)
    place, key = _find(document, source, f"copy operation does not apply: doc is missing from path: {source}")
    with _within(f"error in copy for from: '{source}'"):
        value = _get(place, key)
    place, key = _find(document, path, f"copy operation does not apply: doc is missing destination path: {path}")
    with _within("error while adding value during copy"):
        _insert(place, key, None if value is _MISSING else clone(value))
    return document


@contextmanager
def _within(where: str) -> Iterator[None]:
    """What fails inside says where."""
    try:
        yield
    except _Failed as error:
        raise _Failed(f"{where}: {error}") from error


def _size(document: Any, operation: Object) -> int:
    """How many bytes of JSON a copy takes. Raises _Failed for what is nested too deeply to be told."""
    source = _source(operation)
    value = _get(*_find(document, source, f"copy operation does not apply: doc is missing from path: {source}"))
    try:
        return 4 if value is _MISSING else len(orjson.dumps(value))
    except TypeError:
        raise _Failed from None


def _test(document: Any, path: str, operation: Object) -> Any:
    found = document
    if path != "":
        place, key = _find(document, path, f"test operation does not apply: is missing path: {path}")
        with _within(f"error in test for path: '{path}'"):
            found = _get(place, key)
    if found is _MISSING or found is None:
        same = operation.get("value") is None
    else:
        same = _same(found, operation.get("value"))
    if not same:
        raise _Failed(f"testing value {path} failed: test failed")
    return document


_OPERATIONS = {
    "add": _add,
    "remove": _remove,
    "replace": _replace,
    "move": _move,
    "copy": _copy,
    "test": _test,
}


def _find(document: Any, path: str, missing: str) -> tuple[Any, str]:
    """The object or list that holds the last step of `path`, and that step. What stands before the first slash is
    ignored, as upstream does."""
    steps = path.split("/")
    place = document if len(steps) > 1 else None
    with _within(missing):
        for step in steps[1:-1]:
            place = _get(place, _unescaped(step))
            if not isinstance(place, dict | list):
                break
        if not isinstance(place, dict | list):
            raise _Failed("missing value")
    return place, _unescaped(steps[-1])


def _unescaped(step: str) -> str:
    # One pass, so that "~01" becomes "~1" and not "/".
    return re.sub("~[01]", lambda match: "/" if match[0] == "~1" else "~", step)


def _get(place: Any, key: str) -> Any:
    return place.get(key, _MISSING) if isinstance(place, dict) else place[_index(place, key)]


def _insert(place: Any, key: str, value: Any) -> None:
    if isinstance(place, dict):
        place[key] = value
    elif key == "-":
        place.append(value)
    else:
        place.insert(_index(place, key, room=1), value)


def _delete(place: Any, key: str) -> None:
    if isinstance(place, dict):
        if key not in place:
            raise _Failed(f"Unable to remove nonexistent key: {key}: missing value")
        del place[key]
    else:
        del place[_index(place, key)]


def _index(place: list[Any], key: str, room: int = 0) -> int:
    """The index that `key` names, negative ones from the end. With `room`, one more is allowed."""
    if not _INDEX.fullmatch(key):
        raise _Failed(f'strconv.Atoi: parsing "{key}": invalid syntax')
    index, size = int(key), len(place) + room
    if not -size <= index < size:
        raise _Failed(f"Unable to access invalid index: {index}: invalid index referenced")
    return index + size if index < 0 else index


def _same(left: Any, right: Any) -> bool:
    """Whether two JSON values are written the same, but for the order of keys: 1 and 1.0 differ."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(_same(value, right[key]) for key, value in left.items())
    if isinstance(left, list):
        return len(left) == len(right) and all(map(_same, left, right))
    return bool(left == right)
