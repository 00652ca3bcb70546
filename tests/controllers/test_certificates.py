"""Certificate signing requests: who is approved, what is signed, and when it goes. The certificate's fields were
compared with those that a real kube-controller-manager signs."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kloster.apimachinery import Object
from kloster.apiserver.pki import Authority, new_key
from kloster.client.resources import CERTIFICATE_SIGNING_REQUESTS

from .world import World, world

CLIENT = "kubernetes.io/kube-apiserver-client"
KUBELET = "kubernetes.io/kube-apiserver-client-kubelet"
SERVING = "kubernetes.io/kubelet-serving"
USAGES = ["client auth", "digital signature"]


def request(name: str = "jane", organization: str = "", names: Sequence[x509.GeneralName] = ()) -> str:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization)] if organization else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, name)])
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    return base64.b64encode(builder.sign(new_key(), SHA256()).public_bytes(Encoding.PEM)).decode()


def run(cluster: World) -> Authority:
    authority = Authority.create("ca", cluster.clock.now())
    cluster.run("*", sign=authority.sign_request)
    return authority


async def ask(cluster: World, signer: str, body: str, usages: Sequence[str] = USAGES, **more: Any) -> None:
    spec = {"signerName": signer, "request": body, "usages": list(usages), **more}
    await cluster.create(CERTIFICATE_SIGNING_REQUESTS, "r", spec=spec)
    await cluster.settle()


async def decide(cluster: World, kind: str = "Approved") -> Object:
    item = await cluster.get(CERTIFICATE_SIGNING_REQUESTS, "r")
    item["status"] = {"conditions": [{"type": kind, "status": "True", "reason": "Why", "message": "not"}]}
    await cluster.client.update(CERTIFICATE_SIGNING_REQUESTS, item, subresource="approval")
    await cluster.settle()
    return dict((await cluster.get(CERTIFICATE_SIGNING_REQUESTS, "r"))["status"])


def certificate(status: Object) -> x509.Certificate:
    return x509.load_pem_x509_certificate(base64.b64decode(status["certificate"]))


@world
async def test_what_is_approved_is_signed(cluster: World) -> None:
    authority = run(cluster)
    now = cluster.clock.now()
    await ask(cluster, CLIENT, request(), expirationSeconds=3600)
    assert "certificate" not in (await cluster.get(CERTIFICATE_SIGNING_REQUESTS, "r")).get("status", {})
    signed = certificate(await decide(cluster))
    signed.verify_directly_issued_by(x509.load_pem_x509_certificate(authority.certificate))
    assert signed.subject.rfc4514_string() == "CN=jane"
    purposes = signed.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert now - 301 <= signed.not_valid_before_utc.timestamp() <= now - 290
    assert now + 3599 <= signed.not_valid_after_utc.timestamp() <= now + 3610


@pytest.mark.parametrize(
    ("signer", "body", "usages", "problem"),
    [
        (CLIENT, request(), ["server auth"], "invalid usage for client certificate: server auth"),
        (CLIENT, request(), ["digital signature"], "missing required usage for client certificate: client auth"),
        (KUBELET, request("system:node:n"), USAGES, "subject organization is not system:nodes"),
        (KUBELET, request("n", "system:nodes"), USAGES, "subject common name does not begin with system:node:"),
        (
            KUBELET,
            request("system:node:n", "system:nodes", [x509.DNSName("n")]),
            USAGES,
            "DNS subjectAltNames are not allowed",
        ),
        (
            SERVING,
            request("system:node:n", "system:nodes"),
            ["server auth", "digital signature"],
            "DNS or IP subjectAltName is required",
        ),
        (
            SERVING,
            request("system:node:n", "system:nodes", [x509.DNSName("n")]),
            USAGES,
            "usages did not match [digital signature key encipherment server auth]",
        ),
    ],
)
def test_what_a_signer_does_not_sign(signer: str, body: str, usages: list[str], problem: str) -> None:
    @world
    async def check(cluster: World) -> None:
        run(cluster)
        await ask(cluster, signer, body, usages)
        status = await decide(cluster)
        failed = [one for one in status["conditions"] if one["type"] == "Failed"]
        assert [(one["reason"], one["message"]) for one in failed] == [("SignerValidationFailure", problem)]
        assert "certificate" not in status

    check()


@world
async def test_a_kubelet_that_may_is_approved_by_itself(cluster: World) -> None:
    run(cluster)
    await ask(cluster, KUBELET, request("system:node:n", "system:nodes"))
    found = await cluster.get(CERTIFICATE_SIGNING_REQUESTS, "r")
    assert [(one["type"], one["reason"]) for one in found["status"]["conditions"]] == [("Approved", "AutoApproved")]
    assert certificate(found["status"]).subject.rfc4514_string() == "CN=system:node:n,O=system:nodes"


@world
async def test_requests_of_other_signers_are_left_alone(cluster: World) -> None:
    run(cluster)
    await ask(cluster, "example.com/signer", request())
    assert "certificate" not in await decide(cluster)


@pytest.mark.parametrize(("kind", "hours"), [("Approved", 1), ("Denied", 1), ("", 24)])
def test_requests_go_in_the_end(kind: str, hours: int) -> None:
    @world
    async def check(cluster: World) -> None:
        run(cluster)
        await ask(cluster, CLIENT, request())
        if kind:
            await decide(cluster, kind)
        await cluster.advance(hours * 3600 - 60)
        assert await cluster.exists(CERTIFICATE_SIGNING_REQUESTS, "r")
        await cluster.advance(120)
        assert not await cluster.exists(CERTIFICATE_SIGNING_REQUESTS, "r")

    check()
