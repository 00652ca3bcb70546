"""Client certificates: CN is the user's name, each O a group.

TLS has verified the chain against this cluster's CA when the connection was made. A connection may outlive its
certificate, so the dates are checked at each request, as upstream does. Where the cluster's time is ahead, because a
test has moved it on, who moves it is believed as long as the certificate is valid by everybody else's time.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.x509.oid import NameOID

from kloster.aio.clock import Clock, ShiftedClock
from kloster.apimachinery import errors
from kloster.apiserver.authentication.chain import CREDENTIAL_ID, authenticated
from kloster.apiserver.pki import any_length
from kloster.apiserver.rehearsal import SPECTATOR
from kloster.client.transport import Request, User

UID = x509.ObjectIdentifier("1.3.6.1.4.1.57683.2")
"""Kubernetes' own subject attribute for the user's UID (upstream's gate AllowParsingUserUIDFromCertAuth)."""

MAX_CACHED = 512


@dataclass(frozen=True, slots=True)
class _Known:
    user: User | None
    begins: float
    ends: float


class Certificates:
    """Authenticates by `Request.peer_certificate`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._real: Clock | None = clock.other if isinstance(clock, ShiftedClock) else None
        self._known: dict[bytes, _Known] = {}

    def __call__(self, request: Request) -> User | None:
        der = request.peer_certificate
        if der is None:
            return None
        known = self._known.get(der)
        if known is None:
            known = _read(der)
            if len(self._known) >= MAX_CACHED:
                self._known.clear()
            self._known[der] = known
        if not known.begins <= self._now(request) <= known.ends:
            raise errors.unauthorized()
        return known.user

    def _now(self, request: Request) -> float:
        if self._real is not None and request.headers.get("user-agent", "").startswith(SPECTATOR):
            return self._real.now()
        return self._clock.now()


def _read(der: bytes) -> _Known:
    try:
        certificate = x509.load_der_x509_certificate(der)
        with any_length():
            subject = certificate.subject
        names = [str(attribute.value) for attribute in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        groups = [str(attribute.value) for attribute in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)]
        uids = [str(attribute.value) for attribute in subject.get_attributes_for_oid(UID)]
    except ValueError:
        raise errors.unauthorized() from None
    if len(uids) > 1 or "" in uids:
        raise errors.unauthorized()
    user = None
    if names and names[-1]:
        extra: dict[str, tuple[str, ...]] = {CREDENTIAL_ID: (f"X509SHA256={hashlib.sha256(der).hexdigest()}",)}
        user = authenticated(User(names[-1], uids[0] if uids else "", tuple(groups), extra))
    return _Known(user, certificate.not_valid_before_utc.timestamp(), certificate.not_valid_after_utc.timestamp())
