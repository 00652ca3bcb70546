"""Keys and certificates: what is in them, that they load again, that a cluster's are cheap."""

from __future__ import annotations

import ipaddress
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import PolicyBuilder, ServerVerifier, Store, VerificationError

from kloster.apiserver import pki
from kloster.apiserver.pki import Authority, TokenKey

NOW = 1_800_000_000.0


def certificate(pem: bytes) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pem)


def policy(authority: Authority, now: float = NOW) -> PolicyBuilder:
    when = certificate(authority.certificate).not_valid_before_utc.fromtimestamp(now, tz=None)
    return PolicyBuilder().store(Store([certificate(authority.certificate)])).time(when)


def test_a_serving_certificate_is_for_its_names_and_verifies() -> None:
    authority = Authority.create("ca", NOW)
    serving = authority.serving(["kubernetes.default.svc", "10.0.0.1", "::1"], NOW)
    names = certificate(serving.certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["kubernetes.default.svc"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("10.0.0.1"), ipaddress.ip_address("::1")]
    verifier: ServerVerifier = policy(authority).build_server_verifier(x509.DNSName("kubernetes.default.svc"))
    verifier.verify(certificate(serving.certificate), [])


def test_a_client_certificate_names_user_and_groups_and_is_no_server() -> None:
    authority = Authority.create("ca", NOW)
    client = certificate(authority.client("jane", ["dev", "ops"], NOW).certificate)
    assert [one.value for one in client.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["jane"]
    assert [one.value for one in client.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == ["dev", "ops"]
    usage = client.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usage) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert client.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False


def test_names_may_be_longer_than_x520_allows() -> None:
    name = "system:node:" + "n" * 100
    client = certificate(Authority.create("ca", NOW).client(name, ["g" * 100], NOW).certificate)
    with pki.any_length():
        assert client.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == name


def test_another_authority_of_the_same_name_does_not_verify() -> None:
    ours, theirs = Authority.create("ca", NOW), Authority.create("ca", NOW)
    serving = certificate(theirs.serving(["a.test"], NOW).certificate)
    verifier: ServerVerifier = policy(ours).build_server_verifier(x509.DNSName("a.test"))
    with pytest.raises(VerificationError):
        verifier.verify(serving, [])


def test_certificates_expire_with_their_authority_at_the_latest() -> None:
    authority = Authority.create("ca", NOW, lifetime=10 * pki.DAY)
    assert authority.client("x", [], NOW).expires() == NOW + 10 * pki.DAY
    assert authority.client("x", [], NOW, lifetime=pki.DAY).expires() == NOW + pki.DAY


def test_pairs_load_again() -> None:
    authority = Authority.create("ca", NOW)
    again = Authority.load(authority.pair())
    assert again.certificate == authority.certificate
    verifier: ServerVerifier = policy(authority).build_server_verifier(x509.DNSName("a.test"))
    verifier.verify(certificate(again.serving(["a.test"], NOW).certificate), [])


def test_keys_are_not_shown() -> None:
    pair = Authority.create("ca", NOW).pair()
    assert b"PRIVATE KEY" in pair.key
    assert "PRIVATE" not in repr(pair)


def test_other_keys_are_refused() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with pytest.raises(ValueError, match="not an EC private key"):
        pki.load_key(pem)


def test_a_token_key_keeps_its_id() -> None:
    key = TokenKey.create()
    assert TokenKey.load(key.pem()).id == key.id
    assert pki.jwk(key.private.public_key())["kid"] == key.id


def test_a_request_gets_a_certificate_for_its_own_key() -> None:
    authority = Authority.create("ca", NOW)
    key = pki.new_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "jane")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256())
    signed = certificate(authority.sign_request(request, ["client auth", "digital signature"], NOW, NOW + pki.DAY))
    assert signed.subject == subject
    assert signed.public_key() == key.public_key()
    assert signed.not_valid_after_utc.timestamp() == int(NOW + pki.DAY)
    with pytest.raises(ValueError, match="unrecognized usage values"):
        authority.sign_request(request, ["world domination"], NOW, NOW + pki.DAY)
    late = authority.sign_request(request, ["client auth"], NOW, NOW + 100 * pki.AUTHORITY_LIFETIME)
    assert certificate(late).not_valid_after_utc == certificate(authority.certificate).not_valid_after_utc


def test_a_new_cluster_takes_milliseconds() -> None:
    def once() -> float:
        begun = time.perf_counter()
        authority = Authority.create("kubernetes-ca", NOW)
        authority.serving(["kubernetes", "kubernetes.default.svc.cluster.local", "10.0.0.1", "127.0.0.1"], NOW)
        authority.client("kubernetes-admin", ["system:masters"], NOW)
        TokenKey.create().pem()
        return time.perf_counter() - begun

    assert min(once() for _ in range(10)) < 0.005
