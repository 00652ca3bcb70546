"""Errors of the Kubernetes API.

    StatusError            carries a complete metav1.Status in upstream's words
    FieldError             one finding of validation (field.Error); many make an Invalid

The constructors below are named after those of k8s.io/apimachinery/pkg/api/errors, whose codes, reasons and
texts they give. Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/status/
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from kloster.apimachinery import Object, golang


class StatusError(Exception):
    """An API error. `retry_after` (seconds) becomes the Retry-After header as well."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        *,
        details: Object | None = None,
        retry_after: int = 0,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details
        self.retry_after = retry_after

    def status(self) -> Object:
        """The metav1.Status, in upstream's field order."""
        body: Object = {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": self.message,
        }
        if self.reason:
            body["reason"] = self.reason
        details = dict(self.details or {})
        if self.retry_after:
            details["retryAfterSeconds"] = self.retry_after
        if details or self.details is not None:
            body["details"] = details
        body["code"] = self.code
        return body

    @classmethod
    def from_status(cls, status: Object, code: int = 500) -> StatusError:
        """The error that a server's Status (or something else with a message) describes."""
        details = status.get("details")
        return cls(
            int(status.get("code") or code),
            str(status.get("reason") or ""),
            str(status.get("message") or f"the server answered {code}"),
            details=details,
            retry_after=int((details or {}).get("retryAfterSeconds") or 0),
        )


#: The type of what is no error, but told in a warning: it was invalid before, and has not changed.
ONLY_WARNING = "OnlyWarning"


@dataclass(frozen=True, slots=True)
class FieldError:
    """A finding about one field, worded as upstream's field.Error.

    type    FieldValueRequired, FieldValueInvalid, FieldValueNotSupported, FieldValueDuplicate,
            FieldValueForbidden, FieldValueTooLong, FieldValueTooMany, FieldValueNotFound, FieldValueTypeInvalid,
            InternalError
    field   ``spec.containers[0].name``
    text    everything after the path
    """

    type: str
    field: str
    text: str

    def __str__(self) -> str:
        return f"{self.field}: {self.text}"


def shown(value: Any) -> str:
    """A value as upstream shows it inside an error: text quoted, objects as JSON."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if value is None:
        return "null"
    if isinstance(value, float):
        return golang.general(value)
    if isinstance(value, list | dict) and _is_large(value):
        return _beginning(value).translate(_HTML)
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).translate(_HTML)


#: Go escapes in JSON what HTML would stumble over.
_HTML = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"})
_MOST_PARTS = 1000
_MOST_TEXT = 2_000
_pieces = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).iterencode


def _is_large(value: Any) -> bool:
    left, waiting = _MOST_PARTS, [value]
    while waiting:
        inner = waiting.pop()
        left -= len(inner)
        if left < 0:
            return True
        waiting.extend(
            one for one in (inner.values() if isinstance(inner, dict) else inner) if isinstance(one, list | dict)
        )
    return False


def _beginning(value: Any) -> str:
    """A large value is not shown whole: a thousand findings may all show it."""
    text = ""
    for piece in _pieces(value):
        text += piece
        if len(text) > _MOST_TEXT:
            return text[:_MOST_TEXT] + "..."
    return text


def required(field: str, detail: str = "") -> FieldError:
    return FieldError("FieldValueRequired", field, f"Required value: {detail}" if detail else "Required value")


def invalid_value(field: str, value: Any, detail: str) -> FieldError:
    text = f"Invalid value: {shown(value)}"
    return FieldError("FieldValueInvalid", field, f"{text}: {detail}" if detail else text)


def not_supported(field: str, value: Any, valid: Iterable[str]) -> FieldError:
    """`valid` is listed in the order given (upstream mostly sorts it)."""
    text = f"Unsupported value: {shown(value)}"
    names = ", ".join(f'"{name}"' for name in valid)
    return FieldError("FieldValueNotSupported", field, f"{text}: supported values: {names}" if names else text)


def duplicate(field: str, value: Any) -> FieldError:
    return FieldError("FieldValueDuplicate", field, f"Duplicate value: {shown(value)}")


def forbidden_field(field: str, detail: str) -> FieldError:
    return FieldError("FieldValueForbidden", field, f"Forbidden: {detail}" if detail else "Forbidden")


def not_found_value(field: str, value: Any) -> FieldError:
    return FieldError("FieldValueNotFound", field, f"Not found: {shown(value)}")


def too_long(field: str, limit: int) -> FieldError:
    return FieldError("FieldValueTooLong", field, f"Too long: may not be more than {limit} bytes")


def too_many(field: str, actual: int, limit: int) -> FieldError:
    noun = "item" if limit == 1 else "items"
    return FieldError("FieldValueTooMany", field, f"Too many: {actual}: must have at most {limit} {noun}")


def type_invalid(field: str, value: Any, detail: str) -> FieldError:
    return FieldError("FieldValueTypeInvalid", field, f"Invalid value: {shown(value)}: {detail}")


def qualified(group: str, name: str) -> str:
    """``deployments.apps``; just the name for the core group."""
    return f"{name}.{group}" if group else name


def _details(group: str, kind: str, name: str = "", **more: Any) -> Object:
    details: Object = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if kind:
        details["kind"] = kind
    details.update({key: value for key, value in more.items() if value})
    return details


def not_found(group: str, plural: str, name: str) -> StatusError:
    text = f'{qualified(group, plural)} "{name}" not found'
    return StatusError(404, "NotFound", text, details=_details(group, plural, name))


def path_not_found() -> StatusError:
    """A resource that is not served, in a group that is."""
    return StatusError(404, "NotFound", "the server could not find the requested resource", details={})


def already_exists(group: str, plural: str, name: str) -> StatusError:
    text = f'{qualified(group, plural)} "{name}" already exists'
    return StatusError(409, "AlreadyExists", text, details=_details(group, plural, name))


def conflict(group: str, plural: str, name: str, reason: str) -> StatusError:
    text = f'Operation cannot be fulfilled on {qualified(group, plural)} "{name}": {reason}'
    return StatusError(409, "Conflict", text, details=_details(group, plural, name))


STALE = "the object has been modified; please apply your changes to the latest version and try again"


def stale(group: str, plural: str, name: str) -> StatusError:
    """A resourceVersion that is no longer current."""
    return conflict(group, plural, name, STALE)


def invalid(group: str, kind: str, name: str, errors: Sequence[FieldError]) -> StatusError:
    """422. Several findings are listed in brackets, one stands alone, duplicates of a text are shown once."""
    texts = list(dict.fromkeys(str(error) for error in errors))
    listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    text = f'{qualified(group, kind)} "{name}" is invalid'
    if texts:
        text += f": {listed}"
    causes = [{"reason": error.type, "message": error.text, "field": error.field} for error in errors]
    return StatusError(422, "Invalid", text, details=_details(group, kind, name, causes=causes))


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(group: str, plural: str, name: str, reason: str) -> StatusError:
    """403. `reason` is what stands after ``is forbidden: ``."""
    if not plural:
        return StatusError(403, "Forbidden", f"forbidden: {reason}", details={})
    subject = f'{qualified(group, plural)} "{name}"' if name else qualified(group, plural)
    text = f"{subject} is forbidden: {reason}"
    return StatusError(403, "Forbidden", text, details=_details(group, plural, name))


def method_not_allowed() -> StatusError:
    text = "the server does not allow this method on the requested resource"
    return StatusError(405, "MethodNotAllowed", text, details={})


def not_acceptable(message: str) -> StatusError:
    return StatusError(406, "NotAcceptable", message)


def unsupported_media_type(message: str) -> StatusError:
    return StatusError(415, "UnsupportedMediaType", message)


def expired(message: str) -> StatusError:
    """410 for a resourceVersion or continue token that is too old."""
    return StatusError(410, "Expired", message)


def gone(message: str) -> StatusError:
    return StatusError(410, "Gone", message)


def too_large(message: str) -> StatusError:
    return StatusError(413, "RequestEntityTooLarge", message)


def too_many_requests(message: str, retry_after: int = 1) -> StatusError:
    return StatusError(429, "TooManyRequests", message, details={}, retry_after=retry_after)


def internal(message: str) -> StatusError:
    details = {"causes": [{"message": message}]}
    return StatusError(500, "InternalError", f"Internal error occurred: {message}", details=details)


def unavailable(message: str, retry_after: int = 1) -> StatusError:
    return StatusError(503, "ServiceUnavailable", message, details={}, retry_after=retry_after)


def too_large_resource_version(asked: int, current: int) -> StatusError:
    """504 for a list at a revision that has not been issued; clients retry after a second."""
    details = {
        "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
    }
    text = f"Timeout: Too large resource version: {asked}, current: {current}"
    return StatusError(504, "Timeout", text, details=details, retry_after=1)
