"""CertificateSigningRequests: a client asks a signer for a certificate, and somebody approves.

Who asks is recorded by the server: `set_requester` overwrites what the client sent. The subresource /approval may
change the conditions Approved and Denied alone, /status everything in status but those two.
Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Mapping, Sequence
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, conditions, lifecycle, metadata
from kloster.kinds.certificates import pem, signers
from kloster.kinds.strategy import Strategy

_LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
_SHORTEST = 600
_DECISIONS = ("Approved", "Denied")
_USAGES = (
    "any",
    "cert sign",
    "client auth",
    "code signing",
    "content commitment",
    "crl sign",
    "data encipherment",
    "decipher only",
    "digital signature",
    "email protection",
    "encipher only",
    "ipsec end system",
    "ipsec tunnel",
    "ipsec user",
    "key agreement",
    "key encipherment",
    "microsoft sgc",
    "netscape sgc",
    "ocsp signing",
    "s/mime",
    "server auth",
    "signing",
    "timestamping",
)
_REQUESTER = ("username", "uid", "groups", "extra")


def set_requester(
    csr: Object, username: str, uid: str, groups: Sequence[str], extra: Mapping[str, Sequence[str]]
) -> None:
    """Records who asks; to be called after `prepare_create`."""
    spec = csr.setdefault("spec", {})
    spec["username"] = username
    for name, value in (("uid", uid), ("groups", list(groups)), ("extra", {key: list(extra[key]) for key in extra})):
        if value:
            spec[name] = value


def _prepare_create(csr: Object) -> None:
    for name in _REQUESTER:
        (csr.get("spec") or {}).pop(name, None)
    lifecycle.clear_status(csr)


def _prepare_update(new: Object, old: Object) -> None:
    lifecycle.keep_spec(new, old)
    lifecycle.keep_status(new, old)


def _conditions(csr: Object) -> list[Object]:
    return (csr.get("status") or {}).get("conditions") or []


def _prepare_status(new: Object, old: Object) -> None:
    """Decisions are kept as they are, so that a status update need not repeat them exactly."""
    lifecycle.keep_spec(new, old)
    for kind in _DECISIONS:
        before = _of_kind(old, kind)
        places = [index for index, item in enumerate(_conditions(new)) if item.get("type") == kind]
        if len(before) == len(places):
            for index, condition in zip(places, before, strict=True):
                new["status"]["conditions"][index] = copy.deepcopy(condition)


def prepare_approval(new: Object, old: Object) -> None:
    """An update of /approval changes nothing but the conditions."""
    given = _conditions(new)
    lifecycle.keep_spec(new, old)
    lifecycle.keep_status(new, old)
    if given:
        new.setdefault("status", {})["conditions"] = given
    elif new.get("status"):
        new["status"].pop("conditions", None)


def stamp_conditions(new: Object, old: Object, now: str) -> None:
    """Fills in the times of conditions, for updates of /status and /approval. `now` is a metav1.Time."""
    for condition in _conditions(new):
        if not condition.get("lastUpdateTime"):
            condition["lastUpdateTime"] = now
        if not condition.get("lastTransitionTime"):
            same = (
                item["lastTransitionTime"]
                for item in _conditions(old)
                if all(item.get(name) == condition.get(name) for name in ("type", "status"))
                and item.get("lastTransitionTime")
            )
            condition["lastTransitionTime"] = next(same, now)


def _of_kind(csr: Object, kind: str) -> list[Object]:
    return [item for item in _conditions(csr) if item.get("type") == kind]


def _decode(text: Any) -> bytes:
    return base64.b64decode(checks.text(text))


def _validate(csr: Object) -> list[FieldError]:
    spec = csr.get("spec") or {}
    signer, seconds = checks.text(spec.get("signerName")), spec.get("expirationSeconds")
    found = []
    if problem := pem.request_problem(_decode(spec.get("request"))):
        found.append(errors.invalid_value("spec.request", spec.get("request"), problem))
    found.extend(_usages("spec.usages", spec.get("usages") or []))
    if signer == _LEGACY_SIGNER:
        text = "the legacy signerName is not allowed via this API version"
        found.append(errors.invalid_value("spec.signerName", signer, text))
    else:
        found.extend(signers.validate("spec.signerName", signer))
    if seconds is not None and seconds < _SHORTEST:
        text = "may not specify a duration less than 600 seconds (10 minutes)"
        found.append(errors.invalid_value("spec.expirationSeconds", seconds, text))
    found.extend(_validate_conditions("status.conditions", _conditions(csr)))
    if certificate := (csr.get("status") or {}).get("certificate"):
        problem = pem.certificates_problem(_decode(certificate))
        if problem:
            found.append(errors.invalid_value("status.certificate", "<certificate data>", problem))
    return found


def _usages(path: str, usages: list[str]) -> list[FieldError]:
    found = [] if usages else [errors.required(path)]
    for index, usage in enumerate(usages):
        found.extend(checks.supported(f"{path}[{index}]", usage, _USAGES))
    found.extend(errors.duplicate(f"{path}[{index}]", usages[index]) for index in checks.repeated(usages))
    return found


def _validate_conditions(path: str, given: list[Object]) -> list[FieldError]:
    found = []
    seen: set[str] = set()
    for index, condition in enumerate(given):
        at = f"{path}[{index}]"
        kind, status = checks.text(condition.get("type")), checks.text(condition.get("status"))
        if not kind:
            found.append(errors.required(f"{at}.type"))
        valid = ("True",) if kind in (*_DECISIONS, "Failed") else conditions.STATUSES
        if not status:
            found.append(errors.required(f"{at}.status"))
        else:
            found.extend(checks.supported(f"{at}.status", status, valid))
        if kind in _DECISIONS and seen.intersection(_DECISIONS) - {kind}:
            text = "Approved and Denied conditions are mutually exclusive"
            found.append(errors.invalid_value(path, kind, text))
        if kind in seen:
            found.append(errors.duplicate(f"{at}.type", kind))
        seen.add(kind)
    return found


def _validate_change(new: Object, old: Object, *, decide: bool = False, issue: bool = False) -> list[FieldError]:
    """What an update may do to status: nothing, decide (/approval), or issue a certificate (/status)."""
    found = []
    path = "status.conditions"
    for kind in (*_DECISIONS, "Failed"):
        if len(_of_kind(new, kind)) < len(_of_kind(old, kind)):
            text = f'updates may not remove a condition of type "{kind}"'
            found.append(errors.forbidden_field(path, text))
    for kind in () if decide else _DECISIONS:
        if len(_of_kind(new, kind)) > len(_of_kind(old, kind)):
            found.append(errors.forbidden_field(path, f'updates may not add a condition of type "{kind}"'))
    certificate, before = ((each.get("status") or {}).get("certificate") for each in (new, old))
    if not metadata.same(certificate or None, before or None):
        if not issue:
            found.append(errors.forbidden_field("status.certificate", "updates may not set certificate content"))
        elif before:
            text = "updates may not modify existing certificate content"
            found.append(errors.forbidden_field("status.certificate", text))
    return found


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    return _validate_change(new, old)


def _validate_status(new: Object, old: Object) -> list[FieldError]:
    return [*_validate(new), *_validate_change(new, old, issue=True)]


def validate_approval(new: Object, old: Object) -> list[FieldError]:
    """Findings for an update of /approval."""
    return [*_validate(new), *_validate_change(new, old, decide=True)]


def _signer(csr: Object) -> str:
    return checks.text((csr.get("spec") or {}).get("signerName"))


def _cells(csr: Object, now: float) -> list[Any]:
    spec = csr.get("spec") or {}
    seconds = spec.get("expirationSeconds")
    return [
        csr["metadata"]["name"],
        table.age(csr, now),
        _signer(csr) or "<none>",
        checks.text(spec.get("username")),
        "<none>" if seconds is None else table.duration(seconds),
        _state(csr),
    ]


def _state(csr: Object) -> str:
    kinds = {item.get("type") for item in _conditions(csr)}
    state = "Denied" if "Denied" in kinds else "Approved" if "Approved" in kinds else "Pending"
    if "Failed" in kinds:
        state += ",Failed"
    return f"{state},Issued" if (csr.get("status") or {}).get("certificate") else state


STRATEGY = Strategy(
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    name="any",
    status=True,
    cells=_cells,
    fields={"spec.signerName": _signer},
)
