"""PodCertificateRequests: a kubelet asks a signer for a certificate of a pod (v1 since 1.37).

Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#pod-certificate-requests
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, conditions, lifecycle, metadata, names
from kloster.kinds.certificates import signers
from kloster.kinds.strategy import Strategy

_STATES = ("Issued", "Denied", "Failed")
_SHORTEST = 3600
_LONGEST = 91 * 24 * 3600
_LONGEST_OF_KUBERNETES = 24 * 3600


def _validate(request: Object) -> list[FieldError]:
    spec = request.get("spec") or {}
    signer = checks.text(spec.get("signerName"))
    found = signers.validate("spec.signerName", signer)
    for name in ("podName", "serviceAccountName", "nodeName"):
        value = checks.text(spec.get(name))
        found.extend(checks.complaints(f"spec.{name}", value, names.subdomain(value)))
        uid_path = f"spec.{name.removesuffix('Name')}UID"
        uid = checks.text(spec.get(uid_path.removeprefix("spec.")))
        if not uid:
            found.append(errors.invalid_value(uid_path, uid, "must not be empty"))
        if len(uid.encode()) > 128:
            found.append(errors.too_long(uid_path, 128))
    return [*found, *_expiration("spec.maxExpirationSeconds", spec.get("maxExpirationSeconds"), signer)]


def _expiration(path: str, seconds: int | None, signer: str) -> list[FieldError]:
    if seconds is None:
        return [errors.required(path, "must be set")]
    domain = signer.partition("/")[0]
    own = domain == "kubernetes.io" or domain.endswith(".kubernetes.io")
    longest = _LONGEST_OF_KUBERNETES if own else _LONGEST
    if _SHORTEST <= seconds <= longest:
        return []
    return [errors.invalid_value(path, seconds, f"must be in the range [{_SHORTEST}, {longest}]")]


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    return metadata.immutable(new.get("spec"), old.get("spec"), "spec")


def _validate_status(new: Object, old: Object) -> list[FieldError]:
    """Nothing changes but towards one of the final states, and nothing afterwards."""
    status, before = new.get("status") or {}, old.get("status") or {}
    found = _states("status.conditions", status.get("conditions") or [])
    found.extend(conditions.validate("status.conditions", status.get("conditions")))
    if found:
        return found
    if _is(before, *_STATES):
        text = "immutable after PodCertificateRequest is issued, denied, or failed"
        return [] if metadata.same(status, before) else [checks.omitted("status", text)]
    if _is(status, "Denied", "Failed"):
        text = "non-condition status fields must be empty when denying or failing the PodCertificateRequest"
        return [checks.omitted("status", text)] if set(status) - {"conditions"} else []
    if _is(status, "Issued"):
        times = ("notBefore", "notAfter", "beginRefreshAt")
        return [errors.required(f"status.{name}") for name in times if not status.get(name)]
    text = 'status is immutable unless transitioning to "Issued", "Denied", or "Failed"'
    return [] if metadata.same(status, before) else [checks.omitted("status", text)]


def _is(status: Object, *kinds: str) -> bool:
    return any(conditions.is_true(status.get("conditions"), kind) for kind in kinds)


def _states(path: str, given: list[Object]) -> list[FieldError]:
    found = []
    for index, condition in enumerate(given):
        kind, status = checks.text(condition.get("type")), checks.text(condition.get("status"))
        at = f"{path}.[{index}]"
        if kind not in _STATES:
            found.append(errors.not_supported(f"{at}.type", kind, _STATES))
            continue
        if index:
            text = 'There may be at most one condition with type "Issued", "Denied", or "Failed"'
            found.append(errors.invalid_value(f"{at}.type", kind, text))
        found.extend(checks.supported(f"{at}.status", status, ["True"]))
    return found


def _field(name: str) -> Any:
    return lambda request: checks.text((request.get("spec") or {}).get(name))


def _cells(request: Object, _now: float) -> list[Any]:
    spec, status = request.get("spec") or {}, request.get("status") or {}
    kinds = [item.get("type") for item in status.get("conditions") or () if item.get("type") in _STATES]
    annotations = spec.get("unverifiedUserAnnotations") or {}
    fields = ("podName", "serviceAccountName", "nodeName", "signerName")
    return [
        request["metadata"]["name"],
        *(checks.text(spec.get(name)) for name in fields),
        kinds[-1] if kinds else "Pending",
        ",".join(f"{key}={annotations[key]}" for key in sorted(annotations)),
    ]


STRATEGY = Strategy(
    prepare_create=lifecycle.clear_status,
    prepare_update=lifecycle.keep_status,
    prepare_status=lifecycle.keep_spec_and_metadata,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    status=True,
    unconditional_update=False,
    cells=_cells,
    fields={"spec.nodeName": _field("nodeName"), "spec.signerName": _field("signerName")},
)
