"""Acting as somebody else: the Impersonate-* headers.

Every part of the identity asked for (user, each group, UID, each extra value) must be allowed by the verb
``impersonate`` on a resource of its own. https://kubernetes.io/docs/reference/access-authn-authz/authentication/#user-impersonation
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from kloster.apimachinery import golang
from kloster.apiserver.authentication.chain import ANONYMOUS_NAME, AUTHENTICATED, UNAUTHENTICATED
from kloster.apiserver.authentication.tokens import groups_of, username
from kloster.apiserver.authorization import messages
from kloster.apiserver.ports import Authorizer, Target
from kloster.client.transport import Request, User

USER = "impersonate-user"
GROUP = "impersonate-group"
UID = "impersonate-uid"
EXTRA = "impersonate-extra-"
_AUTHENTICATION = "authentication.k8s.io"

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


class WithoutUser(Exception):
    """Groups, UID or extra without a user: upstream answers 500 with this plain text (`text`)."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.text = text


@dataclass(frozen=True, slots=True)
class _Asked:
    """One part of an identity. `kind` as upstream's object reference, for the text of errors."""

    kind: str
    name: str
    namespace: str = ""
    key: str = ""

    def target(self) -> Target:
        resource = {
            "User": "users",
            "Group": "groups",
            "ServiceAccount": "serviceaccounts",
            "UserExtra": "userextras",
            "UID": "uids",
        }[self.kind]
        authentication = self.kind in ("UserExtra", "UID")
        group, version = (_AUTHENTICATION, "v1") if authentication else ("", "")
        return Target("impersonate", "", True, group, version, resource, self.key, self.namespace, self.name)

    def shown(self) -> str:
        """Go's rendering of the reference: kind, namespace, name, uid, apiVersion, resourceVersion, fieldPath."""
        version = f"{_AUTHENTICATION}/v1" if self.kind in ("UserExtra", "UID") else ""
        return f"{{{self.kind} {self.namespace} {self.name}  {version}  {self.key}}}"


def asked_for(headers: dict[str, str]) -> bool:
    """Whether there is anything to do; cheap, for it is asked of every request."""
    for name in headers:  # noqa: SIM110 (a loop costs half of any() with a generator)
        if name.startswith("impersonate-"):
            return True
    return False


def impersonate(request: Request, user: User, authorizer: Authorizer) -> User:
    """The user that the request is to be handled as. Raises StatusError 403, or WithoutUser.

    The headers are removed from the request, so that nothing behind can act on them again.
    """
    asked = _parts(request)
    if not asked:
        return user
    for part in asked:
        target = part.target()
        verdict = authorizer.authorize(user, target)
        if not verdict.allowed:
            raise messages.forbidden(user, target, verdict.reason)
    for name in [name for name in request.headers if name.startswith("impersonate-")]:
        del request.headers[name]
    return _assembled(asked)


def _parts(request: Request) -> list[_Asked]:
    headers = request.headers
    asked: list[_Asked] = []
    name = headers.get(USER, "")
    if name:
        split = split_username(name)
        asked.append(_Asked("ServiceAccount", split[1], split[0]) if split else _Asked("User", name))
    if GROUP in headers:
        asked += [_Asked("Group", group) for group in _values(headers[GROUP])]
    for header, value in headers.items():
        if header.startswith(EXTRA):
            key = unquote(header[len(EXTRA) :])
            asked += [_Asked("UserExtra", one, key=key) for one in _values(value)]
    if headers.get(UID):
        asked.append(_Asked("UID", headers[UID]))
    if asked and not name:
        shown = " ".join(part.shown() for part in asked)
        text = f"requested [{shown}] without impersonating a user"
        for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = text.replace(character, entity)
        raise WithoutUser(f"Internal Server Error: {golang.quoted(request.path)}: {text}\n")
    return asked


def _values(joined: str) -> list[str]:
    """A repeated header's values. They arrive joined; each part is authorized by itself, so splitting is safe."""
    return joined.split(", ")


def _assembled(asked: list[_Asked]) -> User:
    name = uid = ""
    groups: list[str] = []
    extra: dict[str, list[str]] = {}
    specified = any(part.kind == "Group" for part in asked)
    for part in asked:
        match part.kind:
            case "ServiceAccount":
                name = username(part.namespace, part.name)
                if not specified:
                    groups += groups_of(part.namespace)
            case "User":
                name = part.name
            case "Group":
                groups.append(part.name)
            case "UserExtra":
                extra.setdefault(part.key, []).append(part.name)
            case "UID":
                uid = part.name
    if name == ANONYMOUS_NAME:
        if UNAUTHENTICATED not in groups:
            groups.append(UNAUTHENTICATED)
    elif AUTHENTICATED not in groups and UNAUTHENTICATED not in groups:
        groups.append(AUTHENTICATED)
    return User(name, uid, tuple(groups), {key: tuple(values) for key, values in extra.items()})


def split_username(name: str) -> tuple[str, str] | None:
    """(namespace, name) of a service account's user name, None if it is not one."""
    prefix = "system:serviceaccount:"
    if not name.startswith(prefix):
        return None
    namespace, separator, account = name[len(prefix) :].partition(":")
    if not separator or not _LABEL.fullmatch(namespace) or len(account) > 253 or not _SUBDOMAIN.fullmatch(account):
        return None
    return namespace, account
