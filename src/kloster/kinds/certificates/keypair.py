"""Whether a certificate and a private key belong together, in the words of Go's TLS library.

Source: https://pkg.go.dev/crypto/tls#X509KeyPair
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

from kloster.kinds.certificates.pem import CERTIFICATE, blocks


def problem(certificate: bytes, key: bytes) -> str:
    """What is wrong with the pair (PEM); empty: nothing."""
    skipped: list[str] = []
    chain: list[bytes] = []
    for block in blocks(certificate):
        if block.type == CERTIFICATE:
            chain.append(block.data)
        else:
            skipped.append(block.type)
    if not chain:
        return _no_certificate(skipped)
    found, told = _private_key(key)
    if found is None:
        return told
    return _mismatch(chain[0], found)


def _is_key(kind: str) -> bool:
    return kind == "PRIVATE KEY" or kind.endswith(" PRIVATE KEY")


def _no_certificate(skipped: list[str]) -> str:
    if not skipped:
        return "tls: failed to find any PEM data in certificate input"
    if len(skipped) == 1 and skipped[0].endswith("PRIVATE KEY"):
        return (
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; "
            "PEM inputs may have been switched"
        )
    types = " ".join(skipped)
    return (
        'tls: failed to find "CERTIFICATE" PEM block in certificate input after skipping PEM blocks of the following '
        f"types: [{types}]"
    )


def _private_key(text: bytes) -> tuple[bytes | None, str]:
    skipped: list[str] = []
    for block in blocks(text):
        if _is_key(block.type):
            return block.data, ""
        skipped.append(block.type)
    if not skipped:
        return None, "tls: failed to find any PEM data in key input"
    if len(skipped) == 1 and skipped[0] == CERTIFICATE:
        return None, "tls: found a certificate rather than a key in the PEM for the private key"
    types = " ".join(skipped)
    return None, (
        'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input after skipping PEM blocks of the '
        f"following types: [{types}]"
    )


def _mismatch(leaf: bytes, key: bytes) -> str:
    try:
        public = x509.load_der_x509_certificate(leaf).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "x509: malformed certificate"
    try:
        private = load_der_private_key(key, None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "tls: failed to parse private key"
    own = private.public_key()
    if type(own) is not type(public):
        return "tls: private key type does not match public key type"
    forms = [one.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) for one in (own, public)]
    return "" if forms[0] == forms[1] else "tls: private key does not match public key"
