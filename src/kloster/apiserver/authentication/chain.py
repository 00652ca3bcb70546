"""The order in which authenticators are asked, and what upstream adds to whoever was found."""

from __future__ import annotations

from collections.abc import Sequence

from kloster.apimachinery import errors
from kloster.apiserver.ports import Authenticator
from kloster.client.transport import Request, User

ANONYMOUS_NAME = "system:anonymous"
AUTHENTICATED = "system:authenticated"
UNAUTHENTICATED = "system:unauthenticated"
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"

ANONYMOUS = User(ANONYMOUS_NAME, groups=(UNAUTHENTICATED,))


def authenticated(user: User) -> User:
    """The user with the group of everybody who is known, unless one of the two such groups is there already."""
    if user.name == ANONYMOUS_NAME or AUTHENTICATED in user.groups or UNAUTHENTICATED in user.groups:
        return user
    return User(user.name, user.uid, (*user.groups, AUTHENTICATED), user.extra)


class Chain:
    """Asks each authenticator until one knows the user.

    Bad credentials of one kind do not spoil good ones of another (a valid certificate beside a bad token is
    accepted), but bad credentials alone never become anonymous: they are answered with 401.
    """

    def __init__(self, authenticators: Sequence[Authenticator], anonymous: bool = True) -> None:
        self._authenticators = tuple(authenticators)
        self._anonymous = anonymous

    def __call__(self, request: Request) -> User:
        refused = False
        for authenticator in self._authenticators:
            try:
                user = authenticator(request)
            except errors.StatusError as error:
                if error.code != 401:
                    raise
                refused = True
                continue
            if user is not None:
                return user
        if refused or not self._anonymous:
            raise errors.unauthorized()
        return ANONYMOUS
