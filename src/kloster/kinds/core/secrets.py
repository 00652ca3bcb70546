"""Secrets. ``stringData`` is a convenience of writers: it is encoded into ``data`` and never kept.

Types with a known use need certain keys. Source: https://kubernetes.io/docs/concepts/configuration/secret/
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Iterator
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, invalid_value, required, too_long
from kloster.kinds import cells as table
from kloster.kinds import defaulting, metadata, names
from kloster.kinds.certificates import keypair
from kloster.kinds.core.configmaps import LIMIT, decoded_length, validate_immutable
from kloster.kinds.strategy import Strategy

SERVICE_ACCOUNT_NAME = "kubernetes.io/service-account.name"


def _default(secret: Object) -> None:
    defaulting.empty(secret, type="Opaque")
    text = secret.pop("stringData", None)
    if text:
        data = secret.get("data") or {}
        for key, value in text.items():
            data[key] = base64.b64encode(value.encode()).decode()
        secret["data"] = dict(sorted(data.items()))


def _prepare_update(new: Object, old: Object) -> None:
    if not new.get("type"):
        new["type"] = old.get("type", "")


def _validate(secret: Object) -> Iterable[FieldError]:
    data = secret.get("data") or {}
    size = 0
    for key, value in data.items():
        yield from (invalid_value(f"data[{key}]", key, text) for text in names.config_key(key))
        size += decoded_length(value or "")
    if size > LIMIT:
        yield too_long("data", LIMIT)
    yield from _validate_type(secret, data)


def _validate_type(secret: Object, data: Object) -> Iterable[FieldError]:
    match secret.get("type"):
        case "kubernetes.io/service-account-token":
            if not (secret["metadata"].get("annotations") or {}).get(SERVICE_ACCOUNT_NAME):
                yield required(f"metadata.annotations[{SERVICE_ACCOUNT_NAME}]")
        case "kubernetes.io/dockercfg":
            yield from _validate_docker(data, ".dockercfg")
        case "kubernetes.io/dockerconfigjson":
            yield from _validate_docker(data, ".dockerconfigjson")
        case "kubernetes.io/basic-auth":
            if "username" not in data and "password" not in data:
                yield required("data[username]")
                yield required("data[password]")
        case "kubernetes.io/ssh-auth":
            if not data.get("ssh-privatekey"):
                yield required("data[ssh-privatekey]")
        case "kubernetes.io/tls":
            for key in ("tls.crt", "tls.key"):
                if key not in data:
                    yield required(f"data[{key}]")


def _validate_docker(data: Object, key: str) -> Iterable[FieldError]:
    if key not in data:
        yield required(f"data[{key}]")
        return
    text = ""
    try:
        text = base64.b64decode(data[key] or "").decode()
        value = json.loads(text)
    except (binascii.Error, ValueError):
        yield invalid_value(f"data[{key}]", _REDACTED, _json_problem(text))
        return
    if value is not None and not isinstance(value, dict):
        kind = _GO_NAMES.get(type(value), "number")
        problem = f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
        yield invalid_value(f"data[{key}]", _REDACTED, problem)


_REDACTED = "<secret contents redacted>"
_GO_NAMES: dict[type, str] = {list: "array", str: "string", bool: "bool"}


def _json_problem(text: str) -> str:
    """What Go's decoder says about text that is not JSON, for the cases that people meet."""
    stripped = text.strip()
    if not stripped:
        return "unexpected end of JSON input"
    try:
        json.loads(stripped)
    except json.JSONDecodeError as error:
        if error.pos >= len(stripped):
            return "unexpected end of JSON input"
        return f"invalid character {_quoted(stripped[error.pos])} {_context(stripped, error)}"
    return "unexpected end of JSON input"


def _quoted(char: str) -> str:
    return {"'": r"'\''", '"': "'\"'"}.get(char, f"'{char}'")


def _context(text: str, error: json.JSONDecodeError) -> str:
    if error.msg.startswith("Extra data"):
        return "after top-level value"
    if error.msg.startswith("Expecting property name"):
        return "looking for beginning of object key string"
    if error.msg.startswith("Expecting ':'"):
        return "after object key"
    if error.msg.startswith("Expecting ','"):
        inside = text[: error.pos].rstrip()[-1:]
        return "after array element" if inside == "]" else "after object key:value pair"
    return "looking for beginning of value"


def _validate_update(new: Object, old: Object) -> Iterable[FieldError]:
    yield from metadata.immutable(new.get("type", ""), old.get("type", ""), "type")
    yield from validate_immutable(new, old, "data")


def _cells(secret: Object, now: float) -> list[Any]:
    meta = secret["metadata"]
    return [meta["name"], secret.get("type", ""), len(secret.get("data") or ()), table.age(secret, now)]


def _warn(new: Object, _old: Object | None, _minor: int) -> Iterator[str]:
    if new.get("type") == "kubernetes.io/tls":
        data = new.get("data") or {}
        told = keypair.problem(*(base64.b64decode(data.get(name) or "") for name in ("tls.crt", "tls.key")))
        if told:
            yield told


STRATEGY = Strategy(
    default=_default,
    prepare_update=_prepare_update,
    validate=_validate,
    validate_update=_validate_update,
    cells=_cells,
    fields={"type": lambda secret: str(secret.get("type", ""))},
    warn=_warn,
)
