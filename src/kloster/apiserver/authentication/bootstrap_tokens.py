"""Bootstrap tokens: ``abcdef.0123456789abcdef``, kept as Secrets of kube-system, for nodes that join.

Source: https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Callable

from kloster.aio.clock import Clock, parse_rfc3339
from kloster.apimachinery import Object
from kloster.apiserver.authentication.chain import authenticated
from kloster.apiserver.authentication.tokens import bearer_token
from kloster.client.transport import Request, User

NAMESPACE, PREFIX, TYPE = "kube-system", "bootstrap-token-", "bootstrap.kubernetes.io/token"
GROUP = "system:bootstrappers"
_token = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})").fullmatch
_group = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]").fullmatch

ReadSecret = Callable[[str], Object | None]
"""The Secret of kube-system with that name."""


class BootstrapTokens:
    """Knows whose token it is by the Secret that the token names. What is wrong with a Secret is nobody's business."""

    def __init__(self, secret: ReadSecret, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock

    def __call__(self, request: Request) -> User | None:
        token = bearer_token(request.headers.get("authorization") or "")
        return None if token is None else self.identify(token)

    def identify(self, token: str) -> User | None:
        match = _token(token)
        if match is None:
            return None
        secret = self._secret(f"{PREFIX}{match[1]}")
        if secret is None or secret["metadata"].get("deletionTimestamp") or secret.get("type") != TYPE:
            return None
        values = {name: _text(value) for name, value in (secret.get("data") or {}).items()}
        known = hmac.compare_digest(values.get("token-secret", "").encode(), match[2].encode())
        if not known or values.get("token-id") != match[1] or values.get("usage-bootstrap-authentication") != "true":
            return None
        groups = _groups(values.get("auth-extra-groups", ""))
        if groups is None or self._is_over(values.get("expiration", "")):
            return None
        return authenticated(User(f"system:bootstrap:{match[1]}", groups=groups))

    def _is_over(self, expiration: str) -> bool:
        """What cannot be read counts as over."""
        if not expiration:
            return False
        try:
            return parse_rfc3339(expiration) <= self._clock.now()
        except ValueError:
            return True


def _text(value: str) -> str:
    try:
        return base64.b64decode(value).decode()
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _groups(extra: str) -> tuple[str, ...] | None:
    """The groups of who comes with the token; None: not all that are asked for can be given."""
    named = extra.split(",") if extra else []
    if not all(map(_group, named)):
        return None
    return tuple(sorted({GROUP, *named}))
