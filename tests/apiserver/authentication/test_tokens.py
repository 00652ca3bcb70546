"""Service-account tokens: claims, bindings, and every way in which one must not work."""

from __future__ import annotations

import base64
import hmac
from typing import Any

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from joserfc import jws
from joserfc.jwk import ECKey

from kloster.aio.clock import VirtualClock
from kloster.apimachinery.errors import StatusError
from kloster.apiserver import pki
from kloster.apiserver.authentication.tokens import (
    DEFAULT_ISSUER,
    Bound,
    InvalidToken,
    KeySet,
    Order,
    ServiceAccountTokens,
    validate_lifetime,
)
from kloster.client.transport import Request

ACCOUNT = Bound("bob", "u1")
POD = Bound("p", "u2")
SECRET = Bound("s", "u3")
NODE = Bound("n", "u4")


class Cluster:
    """A token authority with objects that tests remove."""

    def __init__(self, **options: Any) -> None:
        self.clock = VirtualClock()
        self.key = pki.TokenKey.create()
        self.objects: dict[tuple[str, str, str], str] = {
            ("serviceaccounts", "ns", "bob"): "u1",
            ("pods", "ns", "p"): "u2",
            ("secrets", "ns", "s"): "u3",
            ("nodes", "", "n"): "u4",
        }
        self.lookups: list[tuple[str, str, str]] = []
        self.tokens = ServiceAccountTokens(KeySet(self.key), self.lookup, self.clock, **options)

    def lookup(self, resource: str, namespace: str, name: str) -> str | None:
        self.lookups.append((resource, namespace, name))
        return self.objects.get((resource, namespace, name))

    def mint(self, **options: Any) -> str:
        return self.tokens.mint(Order(namespace="ns", service_account=ACCOUNT, **options)).token

    def forge(self, claims: dict[str, Any], header: dict[str, Any] | None = None, key: Any = None) -> str:
        """A token signed with this cluster's key (or another), saying anything."""
        key = key or ECKey.import_key(self.key.private)
        header = header or {"alg": "ES256", "kid": self.key.id}
        return jws.serialize_compact(header, orjson.dumps(claims), key, algorithms=["ES256", "HS256"])


def claims_of(token: str) -> dict[str, Any]:
    part = token.split(".")[1]
    found: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def header_of(token: str) -> dict[str, Any]:
    part = token.split(".")[0]
    found: dict[str, Any] = orjson.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return found


def encoded(value: Any) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(value)).rstrip(b"=").decode()


def test_claims_are_upstreams() -> None:
    cluster = Cluster()
    minted = cluster.tokens.mint(Order(namespace="ns", service_account=ACCOUNT, pod=POD, node=NODE))
    now = int(cluster.clock.now())
    assert header_of(minted.token) == {"alg": "ES256", "kid": cluster.key.id}
    assert claims_of(minted.token) == {
        "aud": [DEFAULT_ISSUER],
        "exp": now + 3600,
        "iat": now,
        "iss": DEFAULT_ISSUER,
        "jti": minted.id,
        "kubernetes.io": {
            "namespace": "ns",
            "node": {"name": "n", "uid": "u4"},
            "pod": {"name": "p", "uid": "u2"},
            "serviceaccount": {"name": "bob", "uid": "u1"},
        },
        "nbf": now,
        "sub": "system:serviceaccount:ns:bob",
    }
    assert minted.expires == now + 3600
    assert minted.token not in repr(minted)


@pytest.mark.parametrize(
    ("options", "lifetime", "warns"),
    [
        pytest.param({"seconds": 3607, "pod": POD}, 31_536_000, True, id="kubelet"),
        pytest.param({"seconds": 3607}, 3607, False, id="no-pod"),
        pytest.param({"seconds": 3600, "pod": POD}, 3600, False, id="other-lifetime"),
        pytest.param({"seconds": 3607, "pod": POD, "audiences": ["vault"]}, 3607, False, id="other-audience"),
    ],
)
def test_extended_lifetime(options: dict[str, Any], lifetime: int, warns: bool) -> None:
    cluster = Cluster()
    minted = cluster.tokens.mint(Order(namespace="ns", service_account=ACCOUNT, **options))
    claims = claims_of(minted.token)
    now = int(cluster.clock.now())
    assert claims["exp"] == now + lifetime
    assert claims["kubernetes.io"].get("warnafter") == (now + 3607 if warns else None)
    assert minted.expires == now + options["seconds"], "TokenRequest tells the lifetime that was asked for"


def test_a_token_tells_who_it_is() -> None:
    cluster = Cluster()
    minted = cluster.tokens.mint(Order(namespace="ns", service_account=ACCOUNT, pod=POD, node=NODE))
    user = cluster.tokens(Request("GET", "/", headers={"authorization": f"Bearer {minted.token}"}))
    assert user is not None
    assert user.name == "system:serviceaccount:ns:bob"
    assert user.uid == "u1"
    assert user.groups == ("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated")
    assert user.extra == {
        "authentication.kubernetes.io/pod-name": ("p",),
        "authentication.kubernetes.io/pod-uid": ("u2",),
        "authentication.kubernetes.io/credential-id": (f"JTI={minted.id}",),
        "authentication.kubernetes.io/node-name": ("n",),
        "authentication.kubernetes.io/node-uid": ("u4",),
    }


@pytest.mark.parametrize("header", ["", "Basic YTpi", "Bearer", "Bearer ", "bearer  x"])
def test_other_schemes_are_not_ours(header: str) -> None:
    assert Cluster().tokens(Request("GET", "/", headers={"authorization": header})) is None


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", " Bearer"])
def test_the_scheme_has_no_case(scheme: str) -> None:
    cluster = Cluster()
    assert cluster.tokens(Request("GET", "/", headers={"authorization": f"{scheme} {cluster.mint()}"})) is not None


def _other_key(cluster: Cluster) -> str:
    return Cluster().mint()


def _other_key_with_our_id(cluster: Cluster) -> str:
    other = Cluster()
    return other.forge(claims_of(cluster.mint()), {"alg": "ES256", "kid": cluster.key.id})


def _other_key_without_id(cluster: Cluster) -> str:
    return Cluster().forge(claims_of(cluster.mint()), {"alg": "ES256"})


def _none(cluster: Cluster) -> str:
    return f"{encoded({'alg': 'none'})}.{encoded(claims_of(cluster.mint()))}."


def _none_with_signature(cluster: Cluster) -> str:
    _, claims, signature = cluster.mint().split(".")
    return f"{encoded({'alg': 'none', 'kid': cluster.key.id})}.{claims}.{signature}"


def _public_key_as_secret(cluster: Cluster) -> str:
    """The classic confusion: HMAC with the public key that everybody can read."""
    header = encoded({"alg": "HS256", "kid": cluster.key.id})
    signed = f"{header}.{encoded(claims_of(cluster.mint()))}"
    digest = hmac.digest(cluster.key.public_pem(), signed.encode(), "sha256")
    return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def _embedded_key(cluster: Cluster) -> str:
    other = pki.TokenKey.create()
    header = {"alg": "ES256", "jwk": pki.jwk(other.private.public_key())}
    return cluster.forge(claims_of(cluster.mint()), header, ECKey.import_key(other.private))


def _other_claims(cluster: Cluster) -> str:
    header, _, signature = cluster.mint().split(".")
    return f"{header}.{encoded({**claims_of(cluster.mint()), 'sub': 'root'})}.{signature}"


def _with_claims(**changes: Any) -> Any:
    def make(cluster: Cluster) -> str:
        claims = {**claims_of(cluster.mint()), **changes}
        return cluster.forge({key: value for key, value in claims.items() if value is not None})

    return make


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(lambda _: "abc", id="garbage"),
        pytest.param(lambda _: "a.b.c", id="three-garbage"),
        pytest.param(lambda _: "..", id="empty-parts"),
        pytest.param(lambda c: c.mint() + "x", id="longer"),
        pytest.param(lambda c: c.mint()[:-1], id="shorter"),
        pytest.param(lambda c: c.mint() + ".x", id="four-parts"),
        pytest.param(lambda c: "x" * 100_000, id="huge"),
        pytest.param(lambda c: "ä.\ud800.x", id="not-ascii"),
        pytest.param(_other_key, id="key-of-another-cluster"),
        pytest.param(_other_key_with_our_id, id="key-of-another-cluster-under-our-id"),
        pytest.param(_other_key_without_id, id="key-of-another-cluster-without-id"),
        pytest.param(_none, id="alg-none"),
        pytest.param(_none_with_signature, id="alg-none-with-signature"),
        pytest.param(_public_key_as_secret, id="public-key-as-hmac-secret"),
        pytest.param(_embedded_key, id="embedded-jwk"),
        pytest.param(_other_claims, id="other-claims"),
        pytest.param(_with_claims(aud=["vault"]), id="audience"),
        pytest.param(_with_claims(iss="https://elsewhere"), id="issuer"),
        pytest.param(_with_claims(exp=1), id="expired"),
        pytest.param(_with_claims(exp=None), id="no-expiry"),
        pytest.param(_with_claims(exp="soon"), id="expiry-is-no-number"),
        pytest.param(_with_claims(nbf=4_000_000_000), id="not-yet"),
        pytest.param(_with_claims(iat=4_000_000_000), id="issued-in-the-future"),
        pytest.param(_with_claims(**{"kubernetes.io": None}), id="no-service-account"),
        pytest.param(_with_claims(**{"kubernetes.io": {"namespace": 7}}), id="claims-of-other-types"),
        pytest.param(lambda c: c.forge([1]), id="claims-are-a-list"),
    ],
)
def test_refused_tokens(make: Any) -> None:
    cluster = Cluster()
    token = make(cluster)
    for _ in range(2):
        with pytest.raises(InvalidToken):
            cluster.tokens.authenticate(token)
    with pytest.raises(StatusError) as refused:
        cluster.tokens(Request("GET", "/", headers={"authorization": f"Bearer {token}"}))
    assert (refused.value.code, refused.value.message) == (401, "Unauthorized")


@pytest.mark.parametrize(
    ("gone", "options", "text"),
    [
        pytest.param(("serviceaccounts", "ns", "bob"), {}, 'serviceaccounts "bob" not found', id="account"),
        pytest.param(("pods", "ns", "p"), {"pod": POD}, "service account token has been invalidated", id="pod"),
        pytest.param(("secrets", "ns", "s"), {"secret": SECRET}, "has been invalidated", id="secret"),
        pytest.param(("nodes", "", "n"), {"node": NODE}, "has been invalidated", id="node"),
    ],
)
def test_a_token_dies_with_what_it_is_bound_to(gone: Any, options: dict[str, Any], text: str) -> None:
    cluster = Cluster()
    token = cluster.mint(**options)
    cluster.tokens.authenticate(token)
    old = cluster.objects.pop(gone)
    with pytest.raises(InvalidToken, match=text):
        cluster.tokens.authenticate(token)
    cluster.objects[gone] = "another"
    with pytest.raises(InvalidToken, match=r"UID \(another\) does not match"):
        cluster.tokens.authenticate(token)
    cluster.objects[gone] = old
    cluster.tokens.authenticate(token)


def test_a_pods_node_may_go() -> None:
    cluster = Cluster()
    token = cluster.mint(pod=POD, node=NODE)
    del cluster.objects["nodes", "", "n"]
    assert cluster.tokens.authenticate(token).user.name == "system:serviceaccount:ns:bob"


def test_tokens_expire_while_they_are_cached() -> None:
    cluster = Cluster()
    token = cluster.mint(seconds=600)
    cluster.tokens.authenticate(token)
    cluster.clock._now += 600 + 59
    cluster.tokens.authenticate(token)
    cluster.clock._now += 2
    with pytest.raises(InvalidToken, match="service account token has expired"):
        cluster.tokens.authenticate(token)


def test_audiences() -> None:
    cluster = Cluster(audiences=["api", DEFAULT_ISSUER])
    vault = cluster.mint(audiences=["vault", "api"])
    assert cluster.tokens.authenticate(vault).audiences == ("api",)
    assert cluster.tokens.authenticate(vault, ["vault", "x"]).audiences == ("vault",)
    only = cluster.mint(audiences=["vault"])
    text = r'token audiences \["vault"\] is invalid for the target audiences \["api" "https://kubernetes.default'
    with pytest.raises(InvalidToken, match=text):
        cluster.tokens.authenticate(only)


def test_old_keys_verify_while_they_are_in_the_key_set() -> None:
    cluster = Cluster()
    old = cluster.mint()
    cluster.tokens.authenticate(old)
    new_key = pki.TokenKey.create()
    cluster.tokens.rotate(KeySet(new_key, [cluster.key.private.public_key()]))
    new = cluster.mint()
    assert header_of(new)["kid"] == new_key.id
    for token in (old, new):
        cluster.tokens.authenticate(token)
    assert [key["kid"] for key in cluster.tokens.keys.jwks()["keys"]] == [new_key.id, cluster.key.id]
    cluster.tokens.rotate(KeySet(new_key))
    cluster.tokens.authenticate(new)
    with pytest.raises(InvalidToken, match="no keys found"):
        cluster.tokens.authenticate(old)


def test_a_token_without_key_id_is_tried_with_all_keys() -> None:
    cluster = Cluster()
    token = cluster.forge(claims_of(cluster.mint()), {"alg": "ES256"})
    assert cluster.tokens.authenticate(token).user.name == "system:serviceaccount:ns:bob"


def test_a_signature_is_verified_once_and_bindings_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster()
    token = cluster.mint(pod=POD)
    verified = 0
    verify = jws.deserialize_compact

    def counting(*arguments: Any, **options: Any) -> Any:
        nonlocal verified
        verified += 1
        return verify(*arguments, **options)

    monkeypatch.setattr(jws, "deserialize_compact", counting)
    for _ in range(3):
        cluster.tokens.authenticate(token)
    assert verified == 1
    assert cluster.lookups == [("serviceaccounts", "ns", "bob"), ("pods", "ns", "p")] * 3


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        pytest.param(599, "may not specify a duration less than 10 minutes", id="short"),
        pytest.param(600, "", id="shortest"),
        pytest.param(1 << 32, "", id="longest"),
        pytest.param((1 << 32) + 1, "may not specify a duration larger than 2^32 seconds", id="long"),
    ],
)
def test_lifetimes(seconds: int, text: str) -> None:
    expected = [f"spec.expirationSeconds: Invalid value: {seconds}: {text}"] if text else []
    assert [str(error) for error in validate_lifetime(seconds)] == expected


def test_keys_that_are_rsa() -> None:
    """Who brings an RSA key (envtest, kubeadm) gets RS256; a token is never verified as another algorithm's."""
    key = pki.TokenKey(rsa.generate_private_key(65537, 2048))
    assert pki.TokenKey.load(key.pem()).id == key.id
    cluster = Cluster()
    cluster.tokens.rotate(KeySet(key, [cluster.key.private.public_key()]))
    token = cluster.mint()
    assert header_of(token) == {"alg": "RS256", "kid": key.id}
    assert cluster.tokens.authenticate(token).user.name.startswith("system:serviceaccount:")
    assert [one["kty"] for one in cluster.tokens.keys.jwks()["keys"]] == ["RSA", "EC"]
    assert cluster.tokens.keys.find(key.id, "ES256") == []
