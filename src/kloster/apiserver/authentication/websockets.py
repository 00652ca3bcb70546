"""Tokens of WebSocket requests from browsers, which cannot set an Authorization header.

The token travels as one of the subprotocols that are offered, ``base64url.bearer.authorization.k8s.io.TOKEN``. Another
one must be offered beside it, which the server can agree to; the token itself is taken out of what later stages see.
Source: k8s.io/apiserver/pkg/authentication/request/websocket
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable

from kloster.apimachinery import errors
from kloster.apiserver import websocket
from kloster.apiserver.authentication.tokens import InvalidToken
from kloster.client.transport import Request, User

PREFIX = "base64url.bearer.authorization.k8s.io."


class ProtocolTokens:
    """Authenticates by a token among the subprotocols. `verify` raises InvalidToken."""

    def __init__(self, verify: Callable[[str], User]) -> None:
        self._verify = verify

    def __call__(self, request: Request) -> User | None:
        offered = request.headers.get("sec-websocket-protocol", "")
        if PREFIX not in offered or not websocket.is_asked_for(request.headers):
            return None
        names = [name.strip() for name in offered.split(",")]
        tokens = [name.removeprefix(PREFIX) for name in names if name.startswith(PREFIX)]
        others = [name for name in names if not name.startswith(PREFIX)]
        if tokens in ([], [""]):
            return None
        if len(tokens) > 1 or not others:
            raise errors.unauthorized()
        try:
            user = self._verify(_decoded(tokens[0]))
        except (InvalidToken, ValueError, binascii.Error):
            raise errors.unauthorized() from None
        request.headers["sec-websocket-protocol"] = ",".join(others)
        return user


def _decoded(text: str) -> str:
    """base64url without padding. Raises ValueError."""
    if "=" in text:
        raise ValueError("padded")
    padded = text + "=" * (-len(text) % 4)
    return base64.b64decode(padded.encode("ascii"), altchars=b"-_", validate=True).decode("utf-8")
