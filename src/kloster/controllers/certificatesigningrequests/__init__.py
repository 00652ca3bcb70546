"""Three controllers of certificate signing requests: one approves, one signs, one clears away.

    certificatesigningrequest-approving-controller   approves kubelets' own client certificates, where RBAC allows it
    certificatesigningrequest-signing-controller     signs what is approved, for the signers of kubernetes.io
    certificatesigningrequest-cleaner-controller     deletes requests that are done with, or that nobody has answered

The key is not theirs: ``context.settings["sign"]`` signs (`Sign`); without it nothing is signed.

Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence

from cryptography import x509

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object
from kloster.apimachinery.cloning import clone
from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change
from kloster.client.resources import CERTIFICATE_SIGNING_REQUESTS, SUBJECT_ACCESS_REVIEWS
from kloster.controllers.certificatesigningrequests import age, signers
from kloster.kinds.conditions import is_true
from kloster.runtime.api import Context, Controller, Key, Result, Watch

Sign = Callable[[x509.CertificateSigningRequest, Sequence[str], float, float], bytes]
"""(request, usages, begin, end) → the certificate (PEM). Times in seconds since 1970. Raises ValueError."""

DURATION = 365 * 86400.0
_SHORTEST = 600.0
_BACKDATED = 300.0
_SHORT = 8 * 3600.0
"""A certificate that is valid for less than this is not shortened by what it is backdated."""


def _is(request: Object, kind: str) -> bool:
    return is_true((request.get("status") or {}).get("conditions"), kind)


def _get(context: Context, key: Key) -> Object | None:
    return context.source.get(CERTIFICATE_SIGNING_REQUESTS, *key)


def _parsed(request: Object) -> x509.CertificateSigningRequest:
    return x509.load_pem_x509_csr(base64.b64decode(request["spec"]["request"]))


def _with_condition(request: Object, now: float, kind: str, reason: str, message: str) -> Object:
    """A copy with one more condition."""
    new = clone(request)
    status = new.setdefault("status", {})
    added = {"type": kind, "status": "True", "reason": reason, "message": message, "lastUpdateTime": rfc3339(now)}
    status["conditions"] = [*(status.get("conditions") or ()), added]
    return new


# --- approving ----------------------------------------------------------------------------------------------------

_RULES = (
    ("selfnodeclient", "Auto approving self kubelet client certificate after SubjectAccessReview."),
    ("nodeclient", "Auto approving kubelet client certificate after SubjectAccessReview."),
)


async def approve(context: Context, key: Key) -> None:
    request = _get(context, key)
    if request is None or _is_decided(request) or (request.get("status") or {}).get("certificate"):
        return
    spec, parsed = request["spec"], _parsed(request)
    if spec["signerName"] != signers.KUBELET_CLIENT or signers.problem(spec["signerName"], parsed, spec["usages"]):
        return
    for permission, message in _RULES:
        if permission == "selfnodeclient" and spec.get("username") != signers.common_name(parsed):
            continue
        if await _may(context, spec, permission):
            approved = _with_condition(request, context.clock.now(), "Approved", "AutoApproved", message)
            await context.client.update(CERTIFICATE_SIGNING_REQUESTS, approved, subresource="approval")
            return


def _is_decided(request: Object) -> bool:
    return _is(request, "Approved") or _is(request, "Denied")


async def _may(context: Context, spec: Object, permission: str) -> bool:
    asked = {
        "user": spec.get("username", ""),
        "uid": spec.get("uid", ""),
        "groups": spec.get("groups") or [],
        "extra": spec.get("extra") or {},
        "resourceAttributes": {
            "group": "certificates.k8s.io",
            "version": "*",
            "resource": "certificatesigningrequests",
            "subresource": permission,
            "verb": "create",
        },
    }
    review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "metadata": {}, "spec": asked}
    answer = await context.client.create(SUBJECT_ACCESS_REVIEWS, review)
    return bool((answer.get("status") or {}).get("allowed"))


# --- signing ------------------------------------------------------------------------------------------------------


def lifetime(asked: int | None) -> float:
    """Seconds for which a certificate is valid."""
    return DURATION if asked is None else min(DURATION, max(_SHORTEST, float(asked)))


async def sign(context: Context, key: Key) -> None:
    request = _get(context, key)
    signing: Sign | None = context.settings.get("sign")
    if request is None or signing is None or not _is_to_be_signed(request):
        return
    spec, parsed, now = request["spec"], _parsed(request), context.clock.now()
    problem = signers.problem(spec["signerName"], parsed, spec["usages"])
    if problem:
        failed = _with_condition(request, now, "Failed", "SignerValidationFailure", problem)
        await context.client.update_status(CERTIFICATE_SIGNING_REQUESTS, failed)
        return
    seconds = lifetime(spec.get("expirationSeconds"))
    end = now + seconds - (0 if seconds < _SHORT else _BACKDATED)
    certificate = signing(parsed, spec["usages"], now - _BACKDATED, end)
    new = clone(request)
    new.setdefault("status", {})["certificate"] = base64.b64encode(certificate).decode()
    await context.client.update_status(CERTIFICATE_SIGNING_REQUESTS, new)


def _is_to_be_signed(request: Object) -> bool:
    if request["spec"]["signerName"] not in signers.KNOWN or (request.get("status") or {}).get("certificate"):
        return False
    return _is(request, "Approved") and not _is(request, "Denied") and not _is(request, "Failed")


# --- clearing away ------------------------------------------------------------------------------------------------


async def clean(context: Context, key: Key) -> Result | None:
    request = _get(context, key)
    end = None if request is None else age.end(request)
    if request is None or end is None:
        return None
    left = end - context.clock.now()
    if left >= 0:
        return Result(left + 1)
    try:
        await context.client.delete(CERTIFICATE_SIGNING_REQUESTS, "", key.name, uid=request["metadata"]["uid"])
    except StatusError as error:
        if error.code not in (404, 409):
            raise
    return None


def _is_there(change: Change) -> bool:
    return change.new is not None


_WATCHES = (Watch(CERTIFICATE_SIGNING_REQUESTS, relevant=_is_there),)
APPROVING = Controller("certificatesigningrequest-approving-controller", _WATCHES, approve)
SIGNING = Controller("certificatesigningrequest-signing-controller", _WATCHES, sign)
CLEANER = Controller("certificatesigningrequest-cleaner-controller", _WATCHES, clean)
