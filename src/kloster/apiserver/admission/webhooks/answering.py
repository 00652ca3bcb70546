"""What a webhook's answer must look like, and what is made of it. Texts are upstream's, hence Go's where it decodes."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from kloster.apimachinery import Object, golang
from kloster.apimachinery.errors import StatusError
from kloster.apiserver.admission.webhooks.hooks import Hook

GROUP, KIND, VERSIONS = "admission.k8s.io", "AdmissionReview", ("v1", "v1beta1")
MOST = 4096
"""Warnings and audit annotations of one answer that are looked at: no more characters of warnings are sent."""

_TYPE_META = 'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
_Typed = tuple[tuple[str, type, str], ...]
_TYPED: _Typed = (
    ("uid", str, "types.UID"),
    ("allowed", bool, "bool"),
    ("patch", str, "[]uint8"),
    ("patchType", str, "v1.PatchType"),
    ("auditAnnotations", dict, "map[string]string"),
    ("warnings", list, "[]string"),
)
_STATUS_TYPED: _Typed = (
    ("message", str, "string"),
    ("reason", str, "v1.StatusReason"),
    ("code", int, "int32"),
    ("status", str, "string"),
    ("details", dict, "v1.StatusDetails"),
    ("metadata", dict, "v1.ListMeta"),
)
_NO_BASE64 = re.compile(r"[^A-Za-z0-9+/=\r\n]")
_META = ("selfLink", "resourceVersion", "continue")
_DETAILS_TYPED: _Typed = (
    ("name", str, "string"),
    ("group", str, "string"),
    ("kind", str, "string"),
    ("uid", str, "types.UID"),
    ("causes", list, "[]v1.StatusCause"),
    ("retryAfterSeconds", int, "int32"),
)
_CAUSE_TYPED: _Typed = (("reason", str, "v1.CauseType"), ("message", str, "string"), ("field", str, "string"))


class BadAnswer(Exception):
    """The answer of a webhook cannot be used. The text says why, as upstream does."""


class Refusal(StatusError):
    """A webhook has said no, with a Status of its own."""

    def __init__(self, code: int, reason: str, message: str, given: Object) -> None:
        details = given.get("details")
        seconds = (details or {}).get("retryAfterSeconds")
        super().__init__(code, reason, message, details=details, retry_after=max(seconds or 0, 0))
        metadata = given.get("metadata") or {}
        self._metadata = {name: metadata[name] for name in _META if metadata.get(name)}
        said = given.get("status") or ""
        self._said = "Failure" if said in ("", "Success") else said

    def status(self) -> Object:
        return {**super().status(), "metadata": self._metadata, "status": self._said}


@dataclass(frozen=True, slots=True)
class Answer:
    """A verified answer. `patch` are operations of a JSON patch; `refusal` the error of a webhook that says no."""

    patch: Sequence[Any] = ()
    warnings: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict)
    refusal: StatusError | None = None


def version_of(hook: Hook) -> str | None:
    """The version of AdmissionReview that the webhook is asked in."""
    return next((one for one in hook.versions if one in VERSIONS), None)


def read(hook: Hook, uid: str, body: bytes, mutating: bool) -> Answer:
    """The verified answer. Raises BadAnswer."""
    wanted = version_of(hook)
    response = _response(body, wanted or "")
    patch, kind = response.get("patch"), response.get("patchType")
    if wanted == "v1":
        _verify(response, uid, mutating)
    else:
        kind = "JSONPatch" if patch else None
    allowed = response.get("allowed") is True
    return Answer(
        patch=_patch(patch, kind) if mutating and allowed and patch else (),
        warnings=tuple((response.get("warnings") or ())[:MOST]),
        annotations=dict(list((response.get("auditAnnotations") or {}).items())[:MOST]),
        refusal=None if allowed else refusal(hook.name, response.get("status")),
    )


# --- decoding ---------------------------------------------------------------------------------------------------------


def _response(body: bytes, wanted: str) -> Object:
    """The response in the body, with fields of the right types."""
    try:
        review = orjson.loads(body)
    except orjson.JSONDecodeError:
        review = ""  # whatever it is, as YAML it is a text
    if not isinstance(review, dict):
        sort = golang.json_sort(review)
        text = f"json parse error: json: cannot unmarshal {sort} into Go value of type {_TYPE_META}"
        raise _uncalled(f"couldn't get version/kind; {text}")
    group, _, version = str(review.get("apiVersion") or "").rpartition("/")
    kind = review.get("kind") or ""
    if kind or version:
        if (group, kind) != (GROUP, KIND) or version not in VERSIONS:
            shown = f"{group}/{version}" if group else version
            raise _uncalled(
                f'no kind "{kind}" is registered for version "{shown}" in scheme "pkg/runtime/scheme.go:110"'
            )
        if version != wanted:
            raise _uncalled(f"converting ({version}.{KIND}) to ({wanted}.{KIND}): unknown conversion")
    response = review.get("response")
    if response is None:
        raise _invalid("webhook response was absent")
    if not isinstance(response, dict):
        raise _mistyped(response, f"{KIND}.response", f"{wanted}.AdmissionResponse")
    if not (kind and version) and wanted == "v1":
        raise _invalid(f"expected webhook response of {GROUP}/v1, Kind={KIND}, got {group}/{version}, Kind={kind}")
    _check_types(response)
    return response


def _check_types(response: Object) -> None:
    for name, type_, shown in _TYPED:
        _check_type(response, name, type_, f"AdmissionResponse.response.{name}", shown)
    for one in response.get("warnings") or ():
        if not isinstance(one, str):
            raise _mistyped(one, "AdmissionResponse.response.warnings", "string")
    for one in (response.get("auditAnnotations") or {}).values():
        if not isinstance(one, str):
            raise _mistyped(one, "AdmissionResponse.response.auditAnnotations", "string")
    status = response.get("status")
    if status is None:
        return
    if not isinstance(status, dict):
        raise _mistyped(status, "AdmissionResponse.response.status", "v1.Status")
    for name, type_, shown in _STATUS_TYPED:
        _check_type(status, name, type_, f"Status.response.status.{name}", shown)
    for name in _META:
        _check_type(status.get("metadata") or {}, name, str, f"ListMeta.response.status.metadata.{name}", "string")
    details: Object = status.get("details") or {}
    for name, type_, shown in _DETAILS_TYPED:
        _check_type(details, name, type_, f"StatusDetails.response.status.details.{name}", shown)
    for cause in details.get("causes") or ():
        if not isinstance(cause, dict):
            raise _mistyped(cause, "StatusDetails.response.status.details.causes", "v1.StatusCause")
        for name, type_, shown in _CAUSE_TYPED:
            _check_type(cause, name, type_, f"StatusCause.response.status.details.causes.{name}", shown)


def _check_type(holder: Object, name: str, wanted: type, path: str, shown: str) -> None:
    value: Any = holder.get(name)
    if value is None:
        return
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise _mistyped(value, path, shown)
    if name == "patch" and (bad := _NO_BASE64.search(str(value))) is not None:
        raise _uncalled(f"illegal base64 data at input byte {bad.start()}")


def _mistyped(value: Any, path: str, shown: str) -> BadAnswer:
    return _uncalled(f"json: cannot unmarshal {golang.json_sort(value)} into Go struct field {path} of type {shown}")


def _uncalled(text: str) -> BadAnswer:
    return BadAnswer(f"failed to call webhook: {text}")


def _invalid(text: str) -> BadAnswer:
    return BadAnswer(f"received invalid webhook response: {text}")


# --- verifying --------------------------------------------------------------------------------------------------------


def _verify(response: Object, uid: str, mutating: bool) -> None:
    """What v1 demands beyond types."""
    if response.get("uid") != uid:
        raise _invalid(f'expected response.uid="{uid}", got "{response.get("uid") or ""}"')
    patch, kind = response.get("patch"), response.get("patchType")
    if not mutating:
        if patch:
            raise _invalid("validating webhook may not return response.patch")
        if kind is not None:
            raise _invalid("validating webhook may not return response.patchType")
        return
    if patch and kind is None:
        raise _invalid("webhook returned response.patch but not response.patchType")
    if not patch and kind is not None:
        raise _invalid("webhook returned response.patchType but not response.patch")
    if kind == "":
        raise _invalid('webhook returned invalid response.patchType of ""')


def _patch(text: str, kind: str | None) -> Sequence[Any]:
    try:
        found = orjson.loads(base64.b64decode(text))
    except (ValueError, binascii.Error) as error:
        raise BadAnswer(f"received undecodable patch in webhook response: {error}") from None
    if not isinstance(found, list | None):
        raise _undecodable(found, "Patch")
    for one in found or ():
        if not isinstance(one, dict | None):
            raise _undecodable(one, "Operation")
    if found and kind != "JSONPatch":
        raise BadAnswer(f'unsupported patch type "{kind}"')
    return found or ()


def _undecodable(value: Any, what: str) -> BadAnswer:
    text = f"json: cannot unmarshal {golang.json_sort(value)} into Go value of type jsonpatch.{what}"
    return BadAnswer(f"received undecodable patch in webhook response: {text}")


def refusal(name: str, status: Object | None) -> StatusError:
    """The error that answers the write. At least 400, whatever the webhook says."""
    given = status or {}
    message, reason, code = given.get("message"), given.get("reason") or "", given.get("code") or 0
    denied = f'admission webhook "{name}" denied the request'
    why = message or reason
    text = f"{denied}: {why}" if why else f"{denied} without explanation"
    if code > 999:  # no HTTP status; upstream's server gives up on the connection
        code = 500
    return Refusal(max(code, 400), reason, text, given)
