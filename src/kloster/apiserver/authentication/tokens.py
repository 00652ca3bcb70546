"""Bearer tokens of service accounts: minting and verifying.

A token is a JWT (ES256, or RS256 where somebody brings RSA keys), signed with the cluster's key. It names the issuer,
the audiences it is meant for, and the objects it is bound to: always the service account, maybe a pod, a Secret or a
node, each with its UID. When a bound object is gone, or another of the same name has taken its place, the token is
worthless.

The signature is verified once per token and remembered by the token's hash; dates and bound objects are checked at
each request. Keys that no longer sign still verify as long as they stay in the key set.

Claims and texts: KEP-1205, KEP-4193; pkg/serviceaccount/{claims,jwt}.go.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from joserfc import jws
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey
from joserfc.util import urlsafe_b64decode

from kloster.aio.clock import Clock
from kloster.apimachinery import Object, errors
from kloster.apiserver import pki
from kloster.apiserver.authentication.chain import CREDENTIAL_ID, authenticated
from kloster.apiserver.authorization.messages import quote_list
from kloster.client.transport import Request, User

DEFAULT_ISSUER = "https://kubernetes.default.svc.cluster.local"
MINIMUM_LIFETIME = 600
MAXIMUM_LIFETIME = 1 << 32
WARN_ONLY_LIFETIME = 3607
"""What kubelets ask for on behalf of projected tokens; marks tokens whose readers may not reread them yet."""

EXTENDED_LIFETIME = 365 * 24 * 3600
LEEWAY = 60.0
ALGORITHMS = ("ES256", "RS256")
MAX_CACHED = 4096
MAX_HEADERS, MAX_HEADER = 256, 8 * 1024
MAX_TOKEN = 64 * 1024

Lookup = Callable[[str, str, str], str | None]
"""(resource, namespace, name) → UID, or None if there is no such object or it has been deleted for over a minute.

`resource` is ``serviceaccounts``, ``pods``, ``secrets`` or ``nodes``.
"""


class InvalidToken(Exception):
    """A token that is refused. The text is what TokenReview's status.error says; it contains nothing secret."""


@dataclass(frozen=True, slots=True)
class Bound:
    """An object that a token is bound to."""

    name: str
    uid: str

    def claim(self) -> dict[str, str]:
        return {key: value for key, value in (("name", self.name), ("uid", self.uid)) if value}


@dataclass(frozen=True, slots=True)
class Identified:
    """Whose token it is, and for which of the wanted audiences it may be used."""

    user: User
    audiences: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token whose signature is good: everything that is still to be checked."""

    user: User
    audiences: tuple[str, ...]
    begins: float
    ends: float
    issued: float
    bound: tuple[tuple[str, str, str, str], ...]  # (resource, namespace, name, UID)


Imported = ECKey | RSAKey


class KeySet:
    """The public keys that verify tokens, the signing key first. Replaced as a whole when keys rotate."""

    def __init__(self, signing: pki.TokenKey, retired: Iterable[pki.TokenPublicKey] = ()) -> None:
        self.signing = signing
        self.signer = _imported(signing.private)
        self._public = {pki.key_id(key): key for key in (signing.private.public_key(), *retired)}
        self._by_id = {id: (pki.algorithm(key), _imported(key)) for id, key in self._public.items()}

    def find(self, key_id: str, algorithm: str) -> Sequence[Imported]:
        """The key of that id, or all keys for a token that names none; those alone that `algorithm` is for."""
        found = self._by_id.values() if not key_id else [self._by_id[key_id]] if key_id in self._by_id else ()
        return [key for of_key, key in found if of_key == algorithm]

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The document at ``/openid/v1/jwks``."""
        return {"keys": [pki.jwk(key) for key in self._public.values()]}

    @property
    def algorithms(self) -> list[str]:
        """What the tokens of these keys are signed with."""
        return sorted({algorithm for algorithm, _ in self._by_id.values()})


def _imported(key: pki.TokenPrivateKey | pki.TokenPublicKey) -> Imported:
    if isinstance(key, ec.EllipticCurvePrivateKey | ec.EllipticCurvePublicKey):
        return ECKey.import_key(key)
    return RSAKey.import_key(key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a new token shall say. `seconds` has been validated (`validate_lifetime`)."""

    namespace: str
    service_account: Bound
    seconds: int = 3600
    audiences: Sequence[str] = ()
    pod: Bound | None = None
    secret: Bound | None = None
    node: Bound | None = None


@dataclass(frozen=True, slots=True)
class Minted:
    """`expires` is what TokenRequest's status tells; `id` is the token's jti."""

    token: str = field(repr=False)
    expires: float
    id: str


class ServiceAccountTokens:
    """Mints and verifies the tokens of one cluster."""

    def __init__(
        self,
        keys: KeySet,
        lookup: Lookup,
        clock: Clock,
        issuer: str = DEFAULT_ISSUER,
        audiences: Sequence[str] = (),
        accepted_issuers: Sequence[str] = (),
    ) -> None:
        """`audiences` are the API server's own (default: the issuer); further issuers are accepted, not used."""
        self.keys = keys
        self.issuer = issuer
        self.audiences = tuple(audiences) or (issuer,)
        self._issuers = frozenset((issuer, *accepted_issuers))
        self._lookup = lookup
        self._clock = clock
        self._known: dict[bytes, _Verified] = {}
        self._headers: dict[str, _Verified] = {}  # whole Authorization headers with tokens meant for us

    # --- minting -------------------------------------------------------------------------------------------------

    def mint(self, order: Order) -> Minted:
        """A signed token. A pod's token for the API server that was ordered for 3,607 s lives for a year instead
        and carries ``warnafter``, because clients exist that read their token only once.
        """
        now = int(self._clock.now())
        audiences = list(order.audiences) or list(self.audiences)
        seconds, warn_after = order.seconds, 0
        extended = order.pod is not None and seconds == WARN_ONLY_LIFETIME and set(audiences) <= set(self.audiences)
        if extended:
            seconds, warn_after = EXTENDED_LIFETIME, order.seconds
        private: dict[str, Any] = {"namespace": order.namespace}
        for name in ("node", "pod", "secret"):
            bound: Bound | None = getattr(order, name)
            if bound is not None:
                private[name] = bound.claim()
        private["serviceaccount"] = order.service_account.claim()
        if warn_after:
            private["warnafter"] = now + warn_after
        identity = str(uuid.uuid4())
        claims = {
            "aud": audiences,
            "exp": now + seconds,
            "iat": now,
            "iss": self.issuer,
            "jti": identity,
            "kubernetes.io": private,
            "nbf": now,
            "sub": username(order.namespace, order.service_account.name),
        }
        algorithm = self.keys.signing.algorithm
        header = {"alg": algorithm, "kid": self.keys.signing.id}
        token = jws.serialize_compact(header, orjson.dumps(claims), self.keys.signer, algorithms=[algorithm])
        return Minted(token, now + order.seconds, identity)

    # --- verifying -----------------------------------------------------------------------------------------------

    def __call__(self, request: Request) -> User | None:
        header = request.headers.get("authorization")
        if not header:
            return None
        try:
            verified = self._headers.get(header)
            if verified is not None:  # all but what may have changed since
                self._check(verified)
                return verified.user
            token = bearer_token(header)
            if token is None:
                return None
            found = self.authenticate(token)
        except InvalidToken:
            raise errors.unauthorized() from None
        self._remember(header, token)
        return found.user

    def _remember(self, header: str, token: str) -> None:
        """Spare the next request with this header the hashing and the comparison of audiences."""
        known = self._known.get(_digest(token))
        if known is not None and len(header) <= MAX_HEADER:
            if len(self._headers) >= MAX_HEADERS:
                self._headers.clear()
            self._headers[header] = known

    def authenticate(self, token: str, audiences: Sequence[str] | None = None) -> Identified:
        """Whose token it is. `audiences` are those wanted (TokenReview); default: the API server's own."""
        digest = _digest(token)
        known = self._known.get(digest)
        if known is None:
            known = self._verify(token)
            if len(self._known) >= MAX_CACHED:
                self._known.clear()
            self._known[digest] = known
        wanted = self.audiences if audiences is None else audiences
        offered = known.audiences or self.audiences
        common = tuple(one for one in offered if one in wanted)
        if not common:
            text = (
                f"token audiences {quote_list(offered)} is invalid for the target audiences {quote_list(tuple(wanted))}"
            )
            raise InvalidToken(f"[invalid bearer token, {text}]")
        self._check(known)
        return Identified(known.user, common)

    def rotate(self, keys: KeySet) -> None:
        """Use other keys from now on. Tokens of keys that are no longer in the set stop working at once."""
        self.keys = keys
        self._known.clear()
        self._headers.clear()

    def _verify(self, token: str) -> _Verified:
        claims = _payload(token)
        if claims is None or claims.get("iss") not in self._issuers:
            raise InvalidToken("invalid bearer token")
        header = _part(token.split(".")[0])
        algorithm = None if header is None else header.get("alg")
        if header is None or algorithm not in ALGORITHMS:
            raise InvalidToken("[invalid bearer token, invalid signature algorithm]")
        key_id = header.get("kid")
        keys = self.keys.find(key_id if isinstance(key_id, str) else "", algorithm)
        if not keys:
            raise InvalidToken("[invalid bearer token, invalid signature, no keys found]")
        for key in keys:
            try:
                signed = jws.deserialize_compact(token, key, algorithms=[algorithm])
            except (JoseError, ValueError, TypeError):
                continue
            return _read_claims(orjson.loads(signed.payload))
        raise InvalidToken("[invalid bearer token, error in cryptographic primitive]")

    def _check(self, token: _Verified) -> None:
        """What may have changed since the signature was verified."""
        now = self._clock.now()
        if now - LEEWAY > token.ends:
            raise InvalidToken("[invalid bearer token, service account token has expired]")
        if now + LEEWAY < token.begins:
            raise InvalidToken("[invalid bearer token, service account token is not valid yet]")
        if now + LEEWAY < token.issued:
            raise InvalidToken("[invalid bearer token, service account token is issued in the future]")
        for resource, namespace, name, uid in token.bound:
            found = self._lookup(resource, namespace, name)
            if found is None:
                raise InvalidToken(f"[invalid bearer token, {_gone(resource, name)}]")
            if found != uid:
                raise InvalidToken(f"[invalid bearer token, {_other(resource, found, uid)}]")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def _gone(resource: str, name: str) -> str:
    if resource == "serviceaccounts":
        return f'serviceaccounts "{name}" not found'
    return "service account token has been invalidated"


def _other(resource: str, found: str, claimed: str) -> str:
    if resource == "serviceaccounts":
        return f"service account UID ({found}) does not match claim ({claimed})"
    label, kind = {"pods": ("Pod", "pod"), "secrets": ("secret", "secret"), "nodes": ("Node", "node")}[resource]
    return f"{label} UID ({found}) does not match service account {kind} ref claim ({claimed})"


def _part(text: str) -> Object | None:
    try:
        value = orjson.loads(urlsafe_b64decode(text.encode("ascii")))
    except (ValueError, UnicodeError):
        return None
    return value if isinstance(value, dict) else None


def _payload(token: str) -> Object | None:
    """The claims of a compact JWT, not verified."""
    if len(token) > MAX_TOKEN:
        return None
    parts = token.split(".")
    return _part(parts[1]) if len(parts) == 3 else None


def _read_claims(claims: Object) -> _Verified:
    """Typed claims of a verified token. Raises InvalidToken where they are not of the form that we mint."""
    try:
        private: Mapping[str, Any] = claims["kubernetes.io"]
        namespace = _text(private["namespace"])
        account = _bound(private["serviceaccount"])
        pod, secret, node = (_bound(private[name]) if private.get(name) else None for name in ("pod", "secret", "node"))
        audience = claims.get("aud") or []
        audiences = tuple(map(_text, [audience] if isinstance(audience, str) else audience))
        dates = [float(claims.get(name) or 0) for name in ("nbf", "iat")]
        ends = float(claims["exp"])
        identity = _text(claims.get("jti") or "")
    except (KeyError, TypeError, ValueError):
        raise InvalidToken("[invalid bearer token, unexpected claims]") from None
    bound = [("serviceaccounts", namespace, account.name, account.uid)]
    if secret is not None:
        bound.append(("secrets", namespace, secret.name, secret.uid))
    if pod is not None:
        bound.append(("pods", namespace, pod.name, pod.uid))
    elif node is not None:
        bound.append(("nodes", "", node.name, node.uid))
    user = service_account_user(namespace, account, pod, node, identity)
    return _Verified(authenticated(user), audiences, dates[0], ends, dates[1], tuple(bound))


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value


def _bound(claim: Mapping[str, Any]) -> Bound:
    return Bound(_text(claim.get("name", "")), _text(claim.get("uid", "")))


def username(namespace: str, name: str) -> str:
    return f"system:serviceaccount:{namespace}:{name}"


def groups_of(namespace: str) -> tuple[str, str]:
    return "system:serviceaccounts", f"system:serviceaccounts:{namespace}"


def service_account_user(
    namespace: str, account: Bound, pod: Bound | None = None, node: Bound | None = None, identity: str = ""
) -> User:
    """The UserInfo of a service account, with what its token is bound to."""
    extra: dict[str, tuple[str, ...]] = {}
    if pod is not None and pod.name and pod.uid:
        extra["authentication.kubernetes.io/pod-name"] = (pod.name,)
        extra["authentication.kubernetes.io/pod-uid"] = (pod.uid,)
    if identity:
        extra[CREDENTIAL_ID] = (f"JTI={identity}",)
    if node is not None and node.name:
        extra["authentication.kubernetes.io/node-name"] = (node.name,)
        if node.uid:
            extra["authentication.kubernetes.io/node-uid"] = (node.uid,)
    return User(username(namespace, account.name), account.uid, groups_of(namespace), extra)


def bearer_token(header: str) -> str | None:
    """The token of an Authorization header; None if it is of another scheme or empty."""
    parts = header.strip().split(" ", 2)
    if len(parts) < 2 or parts[0].lower() != "bearer" or not parts[1]:
        return None
    return parts[1]


def validate_lifetime(seconds: int) -> list[errors.FieldError]:
    """Findings about TokenRequest's spec.expirationSeconds."""
    path = "spec.expirationSeconds"
    if seconds < MINIMUM_LIFETIME:
        return [errors.invalid_value(path, seconds, "may not specify a duration less than 10 minutes")]
    if seconds > MAXIMUM_LIFETIME:
        return [errors.invalid_value(path, seconds, "may not specify a duration larger than 2^32 seconds")]
    return []
