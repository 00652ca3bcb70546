"""Certificates, the chain of authenticators, impersonation."""

from __future__ import annotations

import hashlib

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from kloster.aio.clock import VirtualClock
from kloster.apimachinery import errors
from kloster.apimachinery.errors import StatusError
from kloster.apiserver.authentication.certificates import Certificates
from kloster.apiserver.authentication.chain import ANONYMOUS, Chain, authenticated
from kloster.apiserver.authentication.impersonation import WithoutUser, asked_for, impersonate, split_username
from kloster.apiserver.authentication.tokens import bearer_token
from kloster.apiserver.pki import DAY, Authority
from kloster.apiserver.ports import Target, Verdict
from kloster.client.transport import Request, User


def request(certificate: bytes | None = None, **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request("GET", "/api/v1/pods", headers=named, peer_certificate=certificate)


def certificate(user: str, groups: list[str], clock: VirtualClock) -> bytes:
    pem = Authority.create("ca", clock.now()).client(user, groups, clock.now(), DAY).certificate
    return x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


class TestCertificates:
    def test_name_groups_and_fingerprint(self) -> None:
        clock = VirtualClock()
        der = certificate("jane", ["dev", "ops"], clock)
        user = Certificates(clock)(request(der))
        assert user is not None
        assert (user.name, user.groups) == ("jane", ("dev", "ops", "system:authenticated"))
        fingerprint = hashlib.sha256(der).hexdigest()
        assert user.extra == {"authentication.kubernetes.io/credential-id": (f"X509SHA256={fingerprint}",)}

    def test_an_expired_certificate_is_refused_on_an_open_connection(self) -> None:
        clock = VirtualClock()
        der = certificate("jane", [], clock)
        certificates = Certificates(clock)
        assert certificates(request(der)) is not None
        clock._now += DAY + 1
        with pytest.raises(StatusError, match="Unauthorized"):
            certificates(request(der))

    def test_without_a_name_nobody_is_known(self) -> None:
        clock = VirtualClock()
        assert Certificates(clock)(request(certificate("", ["dev"], clock))) is None

    def test_garbage_is_refused(self) -> None:
        with pytest.raises(StatusError, match="Unauthorized"):
            Certificates(VirtualClock())(request(b"garbage"))

    def test_none(self) -> None:
        assert Certificates(VirtualClock())(request()) is None


def boot_token(request: Request) -> User | None:
    """An authenticator of one token."""
    token = bearer_token(request.headers.get("authorization", ""))
    if token is not None and token != "t0ken":
        raise errors.unauthorized()
    return None if token is None else authenticated(User("boot", groups=("system:bootstrappers",)))


class TestChain:
    clock = VirtualClock()
    chain = Chain([Certificates(clock), boot_token])

    def test_nobody_is_anonymous(self) -> None:
        assert self.chain(request()) is ANONYMOUS
        assert (ANONYMOUS.name, ANONYMOUS.groups) == ("system:anonymous", ("system:unauthenticated",))

    def test_a_bad_token_is_not_anonymous(self) -> None:
        with pytest.raises(StatusError, match="Unauthorized"):
            self.chain(request(authorization="Bearer other"))

    def test_a_good_token(self) -> None:
        user = self.chain(request(authorization="Bearer t0ken"))
        assert (user.name, user.groups) == ("boot", ("system:bootstrappers", "system:authenticated"))

    def test_a_certificate_wins_over_a_bad_token(self) -> None:
        der = certificate("jane", [], self.clock)
        assert self.chain(request(der, authorization="Bearer other")).name == "jane"

    def test_anonymous_may_be_switched_off(self) -> None:
        with pytest.raises(StatusError, match="Unauthorized"):
            Chain([], anonymous=False)(request())

    @pytest.mark.parametrize(
        ("user", "groups"),
        [
            pytest.param(User("a"), ("system:authenticated",), id="added"),
            pytest.param(User("a", groups=("system:unauthenticated",)), ("system:unauthenticated",), id="not-both"),
            pytest.param(User("system:anonymous"), (), id="not-to-nobody"),
        ],
    )
    def test_the_group_of_everybody_known(self, user: User, groups: tuple[str, ...]) -> None:
        assert authenticated(user).groups == groups


class Gate:
    """Allows impersonating what is listed as resource[/subresource]:name; records what it was asked."""

    def __init__(self, *allowed: str) -> None:
        self.allowed = allowed
        self.asked: list[Target] = []

    def authorize(self, user: User, target: Target) -> Verdict:
        assert target.verb == "impersonate"
        self.asked.append(target)
        resource = f"{target.resource}/{target.subresource}" if target.subresource else target.resource
        return Verdict(f"{resource}:{target.name}" in self.allowed or "*" in self.allowed)


ROOT = User("root")


class TestImpersonation:
    @pytest.mark.parametrize(
        ("headers", "user"),
        [
            pytest.param({"impersonate_user": "jane"}, User("jane", groups=("system:authenticated",)), id="user"),
            pytest.param(
                {"impersonate_user": "jane", "impersonate_group": "a, b"},
                User("jane", groups=("a", "b", "system:authenticated")),
                id="groups",
            ),
            pytest.param(
                {"impersonate_user": "jane", "impersonate_group": "system:unauthenticated"},
                User("jane", groups=("system:unauthenticated",)),
                id="unauthenticated-stays",
            ),
            pytest.param(
                {"impersonate_user": "system:anonymous"},
                User("system:anonymous", groups=("system:unauthenticated",)),
                id="anonymous",
            ),
            pytest.param(
                {"impersonate_user": "system:serviceaccount:ns:sa"},
                User(
                    "system:serviceaccount:ns:sa",
                    groups=("system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"),
                ),
                id="service-account",
            ),
            pytest.param(
                {"impersonate_user": "system:serviceaccount:ns:sa", "impersonate_group": "g"},
                User("system:serviceaccount:ns:sa", groups=("g", "system:authenticated")),
                id="service-account-with-groups",
            ),
            pytest.param(
                {"impersonate_user": "jane", "impersonate_uid": "7", "impersonate_extra_a%2fb": "x, y"},
                User("jane", "7", ("system:authenticated",), {"a/b": ("x", "y")}),
                id="uid-and-extra",
            ),
        ],
    )
    def test_identities(self, headers: dict[str, str], user: User) -> None:
        asking = request(**headers)
        assert asked_for(asking.headers)
        assert impersonate(asking, ROOT, Gate("*")) == user
        assert not asked_for(asking.headers), "nothing behind may act on the headers again"

    def test_without_headers_nothing_changes(self) -> None:
        assert not asked_for(request(authorization="x").headers)
        assert impersonate(request(), ROOT, Gate()) is ROOT

    def test_each_part_must_be_allowed(self) -> None:
        headers = {"impersonate_user": "jane", "impersonate_group": "a, system:masters", "impersonate_extra_k": "v"}
        gate = Gate("users:jane", "groups:a", "groups:system:masters", "userextras/k:v")
        impersonate(request(**headers), ROOT, gate)
        assert [(one.group, one.resource, one.subresource, one.name) for one in gate.asked] == [
            ("", "users", "", "jane"),
            ("", "groups", "", "a"),
            ("", "groups", "", "system:masters"),
            ("authentication.k8s.io", "userextras", "k", "v"),
        ]
        for missing in range(4):
            less = Gate(*(one for number, one in enumerate(gate.allowed) if number != missing))
            with pytest.raises(StatusError) as refused:
                impersonate(request(**headers), ROOT, less)
            assert refused.value.code == 403

    def test_the_refusal_is_upstreams(self) -> None:
        with pytest.raises(StatusError) as refused:
            impersonate(request(impersonate_user="jane"), ROOT, Gate())
        text = (
            'users "jane" is forbidden: User "root" cannot impersonate resource "users" '
            'in API group "" at the cluster scope'
        )
        assert refused.value.message == text

    @pytest.mark.parametrize(
        ("headers", "reference"),
        [
            pytest.param({"impersonate_group": "g"}, "{Group  g    }", id="group"),
            pytest.param({"impersonate_uid": "g"}, "{UID  g  authentication.k8s.io/v1  }", id="uid"),
            pytest.param(
                {"impersonate_extra_foo%2fbar": "g"}, "{UserExtra  g  authentication.k8s.io/v1  foo/bar}", id="extra"
            ),
        ],
    )
    def test_without_a_user_it_is_upstreams_error(self, headers: dict[str, str], reference: str) -> None:
        with pytest.raises(WithoutUser) as wrong:
            impersonate(request(**headers), ROOT, Gate("*"))
        expected = f'Internal Server Error: "/api/v1/pods": requested [{reference}] without impersonating a user\n'
        assert wrong.value.text == expected

    @pytest.mark.parametrize(
        ("name", "parts"),
        [
            pytest.param("system:serviceaccount:ns:sa", ("ns", "sa"), id="account"),
            pytest.param("system:serviceaccount:ns:a.b", ("ns", "a.b"), id="dots-in-name"),
            pytest.param("system:serviceaccount:ns", None, id="no-name"),
            pytest.param("system:serviceaccount:ns:a:b", None, id="too-many"),
            pytest.param("system:serviceaccount:N:a", None, id="no-namespace-name"),
            pytest.param("system:serviceaccount::a", None, id="empty"),
            pytest.param("jane", None, id="user"),
        ],
    )
    def test_names_of_service_accounts(self, name: str, parts: tuple[str, str] | None) -> None:
        assert split_username(name) == parts
