"""Tokens that are known beforehand: how the first client of a fresh cluster, and Kloster's own parts, identify."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from kloster.apimachinery import errors
from kloster.apiserver.authentication.chain import authenticated
from kloster.apiserver.authentication.tokens import bearer_token
from kloster.client.transport import Request, User


class StaticTokens:
    """Authenticates by tokens of a fixed set. Only hashes are kept, so comparing takes the same time for any guess."""

    def __init__(self, users: Mapping[str, User]) -> None:
        self._users = {_hash(token): authenticated(user) for token, user in users.items()}

    def __call__(self, request: Request) -> User | None:
        token = bearer_token(request.headers.get("authorization", ""))
        if token is None:
            return None
        user = self._users.get(_hash(token))
        if user is None:
            raise errors.unauthorized()
        return user


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
