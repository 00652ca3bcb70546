"""A cluster's own keys and certificates: certificate authority, serving and client certificates, token keys.

Every cluster has a CA of its own, which signs its serving certificate and its users' client certificates; a
certificate of one cluster therefore means nothing to another. Everything is EC P-256: making all of a cluster's keys
takes about a millisecond, where RSA would take hundreds.

Private keys are PKCS#8 PEM without a passphrase (as kubeconfig files hold them); keep them in files of mode 0600.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = 86400.0
AUTHORITY_LIFETIME = 3650 * DAY
CERTIFICATE_LIFETIME = 365 * DAY
BACKDATED = 300.0
"""Certificates begin a little earlier than now: other machines' clocks may be behind."""


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def key_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    """Raises ValueError for anything but an EC private key."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an EC private key")
    return key


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its private key, both PEM."""

    certificate: bytes
    key: bytes = field(repr=False)

    def expires(self) -> float:
        """Seconds since the epoch."""
        return x509.load_pem_x509_certificate(self.certificate).not_valid_after_utc.timestamp()


class Authority:
    """A certificate authority that can sign. `now` is seconds since the epoch wherever it appears."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def create(cls, name: str, now: float, lifetime: float = AUTHORITY_LIFETIME) -> Authority:
        key = new_key()
        subject = _name(name, ())
        builder = (
            _builder(subject, subject, key.public_key(), now, lifetime)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signing=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, pair: Pair) -> Authority:
        return cls(x509.load_pem_x509_certificate(pair.certificate), load_key(pair.key))

    def pair(self) -> Pair:
        return Pair(self.certificate, key_pem(self._key))

    @property
    def certificate(self) -> bytes:
        """PEM."""
        return self._certificate.public_bytes(serialization.Encoding.PEM)

    def serving(self, names: Sequence[str], now: float, lifetime: float = CERTIFICATE_LIFETIME) -> Pair:
        """A server's certificate. `names` are DNS names and IP addresses; the first becomes the CN."""
        alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
        subject = _name(names[0][:64], ())
        return self._issue(subject, now, lifetime, ExtendedKeyUsageOID.SERVER_AUTH, alternatives)

    def client(self, user: str, groups: Sequence[str], now: float, lifetime: float = CERTIFICATE_LIFETIME) -> Pair:
        """A client's certificate: CN is the user's name, each O a group."""
        return self._issue(_name(user, groups), now, lifetime, ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def sign_request(
        self, request: x509.CertificateSigningRequest, usages: Sequence[str], begin: float, end: float
    ) -> bytes:
        """A certificate (PEM) for somebody else's key: subject and alternative names as requested, for `usages` (in the
        words of the certificates API). It ends when the authority does at the latest. Raises ValueError."""
        until = min(end, self._certificate.not_valid_after_utc.timestamp())
        if begin >= until:
            raise ValueError("the signer has expired")
        usage, purposes = _usages(usages)
        builder = (
            x509.CertificateBuilder()
            .subject_name(request.subject)
            .issuer_name(self._certificate.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(datetime.fromtimestamp(int(begin), UTC))
            .not_valid_after(datetime.fromtimestamp(int(until), UTC))
        )
        if usage is not None:
            builder = builder.add_extension(usage, critical=True)
        if purposes:
            builder = builder.add_extension(x509.ExtendedKeyUsage(purposes), critical=False)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        builder = builder.add_extension(issuer, critical=False)
        for extension in request.extensions:
            if isinstance(extension.value, x509.SubjectAlternativeName):
                builder = builder.add_extension(extension.value, critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)

    def _issue(
        self,
        subject: x509.Name,
        now: float,
        lifetime: float,
        purpose: x509.ObjectIdentifier,
        alternatives: x509.SubjectAlternativeName | None,
    ) -> Pair:
        key = new_key()
        certificate = self._sign(subject, key.public_key(), now, lifetime, purpose, alternatives)
        return Pair(certificate.public_bytes(serialization.Encoding.PEM), key_pem(key))

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey,
        now: float,
        lifetime: float,
        purpose: x509.ObjectIdentifier,
        alternatives: x509.SubjectAlternativeName | None,
    ) -> x509.Certificate:
        until = min(now + lifetime, self._certificate.not_valid_after_utc.timestamp())
        builder = (
            _builder(subject, self._certificate.subject, key, now, until - now)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signing=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
        )
        if alternatives is not None:
            builder = builder.add_extension(alternatives, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _name(common: str, organizations: Iterable[str]) -> x509.Name:
    # Kubernetes' user and group names may be longer than the 64 characters of X.520, and Go does not mind.
    with any_length():
        parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, one, _validate=False) for one in organizations]
        return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, common, _validate=False)])


@contextmanager
def any_length() -> Iterator[None]:
    """Makes and reads names of any length without a warning for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Attribute's length", category=UserWarning)
        yield


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


_KEY_USAGES = {
    "signing": "digital_signature",
    "digital signature": "digital_signature",
    "content commitment": "content_commitment",
    "key encipherment": "key_encipherment",
    "data encipherment": "data_encipherment",
    "key agreement": "key_agreement",
    "cert sign": "key_cert_sign",
    "crl sign": "crl_sign",
    "encipher only": "encipher_only",
    "decipher only": "decipher_only",
}
_PURPOSES = {
    "any": ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,
    "server auth": ExtendedKeyUsageOID.SERVER_AUTH,
    "client auth": ExtendedKeyUsageOID.CLIENT_AUTH,
    "code signing": ExtendedKeyUsageOID.CODE_SIGNING,
    "email protection": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "s/mime": ExtendedKeyUsageOID.EMAIL_PROTECTION,
    "ipsec end system": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.5"),
    "ipsec tunnel": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.6"),
    "ipsec user": x509.ObjectIdentifier("1.3.6.1.5.5.7.3.7"),
    "timestamping": ExtendedKeyUsageOID.TIME_STAMPING,
    "ocsp signing": ExtendedKeyUsageOID.OCSP_SIGNING,
    "microsoft sgc": x509.ObjectIdentifier("1.3.6.1.4.1.311.10.3.3"),
    "netscape sgc": x509.ObjectIdentifier("2.16.840.1.113730.4.1"),
}


def _usages(named: Sequence[str]) -> tuple[x509.KeyUsage | None, list[x509.ObjectIdentifier]]:
    """Usages of a key, and purposes in the order of Go's constants."""
    unknown = [name for name in named if name not in _KEY_USAGES and name not in _PURPOSES]
    if unknown:
        raise ValueError(f"unrecognized usage values: {unknown}")
    keys = {_KEY_USAGES[name] for name in named if name in _KEY_USAGES}
    purposes = [oid for name, oid in _PURPOSES.items() if name in named]
    return (_key_usage(*keys) if keys else None), list(dict.fromkeys(purposes))


def _usage(signing: bool) -> x509.KeyUsage:
    return _key_usage("digital_signature", *(("key_cert_sign", "crl_sign") if signing else ()))


def _key_usage(*names: str) -> x509.KeyUsage:
    return x509.KeyUsage(**{name: name in names for name in dict.fromkeys(_KEY_USAGES.values())})


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, now: float, lifetime: float
) -> x509.CertificateBuilder:
    begin = datetime.fromtimestamp(int(now - BACKDATED), UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(begin)
        .not_valid_after(datetime.fromtimestamp(int(now), UTC) + timedelta(seconds=int(lifetime)))
    )


TokenPrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
TokenPublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey


class TokenKey:
    """A key that signs service-account tokens. Its id is derived from the public key, as upstream's is.

    Kloster's own are P-256 (ES256); keys that somebody brings may be RSA (RS256).
    """

    def __init__(self, key: TokenPrivateKey) -> None:
        self.private = key
        self.id = key_id(key.public_key())

    @classmethod
    def create(cls) -> TokenKey:
        return cls(new_key())

    @classmethod
    def load(cls, pem: bytes) -> TokenKey:
        """Raises ValueError for a key that cannot sign tokens."""
        key = serialization.load_pem_private_key(pem, password=None)
        if isinstance(key, rsa.RSAPrivateKey):
            return cls(key)
        if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
            return cls(key)
        raise ValueError("not a P-256 or RSA private key")

    @property
    def algorithm(self) -> str:
        return algorithm(self.private)

    def pem(self) -> bytes:
        return key_pem(self.private)

    def public_pem(self) -> bytes:
        return public_pem(self.private.public_key())


def algorithm(key: TokenPrivateKey | TokenPublicKey) -> str:
    """How signatures with the key are called in a JWT."""
    return "RS256" if isinstance(key, rsa.RSAPrivateKey | rsa.RSAPublicKey) else "ES256"


def public_pem(key: TokenPublicKey) -> bytes:
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def key_id(key: TokenPublicKey) -> str:
    """base64url(SHA-256 of the DER public key), without padding: upstream's ``kid``."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return _base64url(hashlib.sha256(der).digest())


def jwk(key: TokenPublicKey) -> dict[str, str]:
    """The key as ``/openid/v1/jwks`` shows it."""
    if isinstance(key, rsa.RSAPublicKey):
        of_rsa = key.public_numbers()
        return {
            "use": "sig",
            "kty": "RSA",
            "kid": key_id(key),
            "alg": "RS256",
            "n": _base64url(of_rsa.n.to_bytes((of_rsa.n.bit_length() + 7) // 8)),
            "e": _base64url(of_rsa.e.to_bytes(3)),
        }
    numbers = key.public_numbers()
    return {
        "use": "sig",
        "kty": "EC",
        "kid": key_id(key),
        "crv": "P-256",
        "alg": "ES256",
        "x": _base64url(numbers.x.to_bytes(32)),
        "y": _base64url(numbers.y.to_bytes(32)),
    }


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
