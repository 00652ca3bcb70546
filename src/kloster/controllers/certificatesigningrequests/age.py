"""How long certificate signing requests are kept: an hour after they were decided, a day where nobody decides, and
never longer than their certificate is valid."""

from __future__ import annotations

import base64
from collections.abc import Iterator

from cryptography import x509

from kloster.apimachinery import Object
from kloster.kinds import times

_DECIDED = 3600.0
_PENDING = 86400.0


def end(request: Object) -> float | None:
    """When it goes, in seconds since 1970; None: not as it is now."""
    return min(_ends(request), default=None)


def _ends(request: Object) -> Iterator[float]:
    status = request.get("status") or {}
    conditions, certificate = status.get("conditions") or (), status.get("certificate")
    if not conditions:
        created = times.parse(request["metadata"].get("creationTimestamp"))
        if created is not None:
            yield created + _PENDING
    for condition in conditions:
        issued = condition["type"] == "Approved" and bool(certificate)
        changed = times.parse(condition.get("lastUpdateTime"))
        if changed is not None and (condition["type"] in ("Denied", "Failed") or issued):
            yield changed + _DECIDED
        expires = _expires(certificate or "") if issued else None
        if expires is not None:
            yield expires


def _expires(certificate: str) -> float | None:
    try:
        found = x509.load_pem_x509_certificate(base64.b64decode(certificate))
    except ValueError:
        return None
    return found.not_valid_after_utc.timestamp()
