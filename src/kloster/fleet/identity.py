"""A cluster's keys: certificate authority, serving certificate, token key. Made once, kept in a file of mode 0600.

They are not in the cluster's store: whoever is cluster-admin of a virtual cluster may read all of its Secrets, and must
not be able to sign for it after having been removed.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography import x509

from kloster.apiserver.http.tls import Material
from kloster.apiserver.pki import CERTIFICATE_LIFETIME, Authority, Pair, key_pem, load_key, new_key

RENEW_BEFORE = 30 * 86400.0
LONGEST_NAME = 64  # characters of a common name (RFC 5280)


@dataclass(frozen=True, slots=True)
class Identity:
    """Private keys are PEM. `names` are those that the serving certificate is for."""

    authority: Pair
    serving: Pair
    names: tuple[str, ...]
    token_keys: tuple[bytes, ...]  # the first signs, all verify

    @property
    def ca_bundle(self) -> str:
        return self.authority.certificate.decode()

    @property
    def ca_data(self) -> str:
        """As kubeconfig files hold it."""
        return base64.b64encode(self.authority.certificate).decode()

    def material(self) -> Material:
        """For the TLS listener: client certificates of this cluster's own CA are accepted."""
        return Material(self.serving.certificate, self.serving.key, self.ca_bundle)

    def common_material(self) -> Material:
        """For the address that all clusters share: nobody is asked for a certificate there, because nobody can know yet
        of which cluster it would have to be."""
        return Material(self.serving.certificate, self.serving.key)

    def sign(self, request: x509.CertificateSigningRequest, usages: Sequence[str], begin: float, end: float) -> bytes:
        """A certificate (PEM) of this cluster's authority, see `Authority.sign_request`."""
        return Authority.load(self.authority).sign_request(request, usages, begin, end)

    def admin(self, now: float, longer: float = 0.0) -> Pair:
        """A client certificate of a cluster-admin, valid for a year and `longer`."""
        lifetime = CERTIFICATE_LIFETIME + longer
        return Authority.load(self.authority).client("kubernetes-admin", ["system:masters"], now, lifetime)


def create(name: str, names: Sequence[str], now: float) -> Identity:
    """All keys of a new cluster (about 2 ms)."""
    authority = Authority.create(f"kloster {name}"[:LONGEST_NAME], now)
    serving = authority.serving(names, now)
    return Identity(authority.pair(), serving, tuple(names), (key_pem(new_key()),))


def renewed(identity: Identity, names: Sequence[str], now: float) -> Identity:
    """The same authority with a serving certificate for `names` that does not expire soon; itself if it fits."""
    if identity.names == tuple(names) and identity.serving.expires() - now > RENEW_BEFORE:
        return identity
    serving = Authority.load(identity.authority).serving(names, now)
    return Identity(identity.authority, serving, tuple(names), identity.token_keys)


def to_json(identity: Identity) -> dict[str, Any]:
    """For a file that its owner alone can read."""
    return {
        "authority": [identity.authority.certificate.decode(), identity.authority.key.decode()],
        "serving": [identity.serving.certificate.decode(), identity.serving.key.decode()],
        "names": list(identity.names),
        "tokenKeys": [key.decode() for key in identity.token_keys],
    }


def from_json(data: dict[str, Any]) -> Identity:
    """The saved identity. Raises ValueError if a key is damaged."""
    for key in data["tokenKeys"]:
        load_key(key.encode())
    return Identity(
        Pair(*(part.encode() for part in data["authority"])),
        Pair(*(part.encode() for part in data["serving"])),
        tuple(data["names"]),
        tuple(key.encode() for key in data["tokenKeys"]),
    )
