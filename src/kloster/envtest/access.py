"""Who may talk to an API server of envtest, by its flags: certificates, tokens, and the authorization modes."""

from __future__ import annotations

from collections.abc import Sequence

from kloster.aio.clock import Clock, parse_rfc3339
from kloster.apimachinery import errors
from kloster.apiserver.authentication.certificates import Certificates
from kloster.apiserver.authentication.chain import Chain, authenticated
from kloster.apiserver.authentication.tokens import KeySet, ServiceAccountTokens, bearer_token
from kloster.apiserver.authorization.always import AlwaysAllow, PrivilegedGroups, Union
from kloster.apiserver.authorization.rbac import Rbac
from kloster.apiserver.pki import TokenKey
from kloster.apiserver.ports import Authorization, Authorizer, Target, Verdict
from kloster.client.inprocess import ObjectView
from kloster.client.transport import Request, User
from kloster.envtest.options import Options

DELETED_GRACE = 60.0


class StaticTokens:
    """--token-auth-file."""

    def __init__(self, users: dict[str, User]) -> None:
        self._users = {token: authenticated(user) for token, user in users.items()}

    def __call__(self, request: Request) -> User | None:
        token = bearer_token(request.headers.get("authorization") or "")
        if token is None:
            return None
        user = self._users.get(token)
        if user is None:
            raise errors.unauthorized()
        return user


class AlwaysDeny:
    """--authorization-mode=AlwaysDeny."""

    def authorize(self, user: User, target: Target) -> Verdict:
        return Verdict(False, "Everything is forbidden.")


def tokens(options: Options, view: ObjectView, clock: Clock) -> ServiceAccountTokens:
    """Mints with the signing key, verifies with all; bound objects are looked up in the cluster itself."""

    def uid_of(resource: str, namespace: str, name: str) -> str | None:
        found = view.get(f"/{resource}", namespace, name)
        if found is None:
            return None
        deleted = found["metadata"].get("deletionTimestamp")
        if deleted and clock.now() - parse_rfc3339(deleted) > DELETED_GRACE:
            return None
        return str(found["metadata"]["uid"])

    keys = KeySet(TokenKey.load(options.signing_key), options.verifying)
    first, *others = options.issuers
    return ServiceAccountTokens(keys, uid_of, clock, first, options.audiences, others)


def authenticator(options: Options, issued: ServiceAccountTokens, clock: Clock) -> Chain:
    """Client certificates, static tokens, service-account tokens, anonymous: upstream's order."""
    static = [StaticTokens(options.static)] if options.static else []
    return Chain([Certificates(clock), *static, issued], anonymous=options.anonymous)


def authorizer(modes: Sequence[str], rbac: Rbac) -> Union:
    """system:masters, then the modes in the order of the flag."""
    asked: dict[str, Authorization | Authorizer] = {
        "RBAC": rbac,
        "AlwaysAllow": AlwaysAllow(),
        "AlwaysDeny": AlwaysDeny(),
    }
    return Union([PrivilegedGroups(), *(asked[mode] for mode in modes if mode in asked)])
