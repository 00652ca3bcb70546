"""Who may talk to a cluster: its authenticators and its authorizer, from its identity and its own objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kloster.aio.clock import Clock, parse_rfc3339
from kloster.apiserver.authentication.certificates import Certificates
from kloster.apiserver.authentication.chain import Chain
from kloster.apiserver.authentication.tokens import KeySet, ServiceAccountTokens
from kloster.apiserver.authorization.always import PrivilegedGroups, Union
from kloster.apiserver.authorization.rbac import Rbac
from kloster.apiserver.pki import TokenKey
from kloster.apiserver.ports import Authenticator
from kloster.client.inprocess import ObjectView
from kloster.client.transport import User
from kloster.fleet.identity import Identity

DELETED_GRACE = 60.0
MASTER = User("system:kloster", groups=("system:masters", "system:authenticated"), assigns=True)
"""Kloster itself: the controllers and the syncer of a cluster, in process."""
GUEST = replace(MASTER, assigns=False)
"""The syncers on the host, where addresses and node ports are the host's to give."""


def tokens(identity: Identity, view: ObjectView, clock: Clock, issuer: str) -> ServiceAccountTokens:
    """Mints and verifies with the identity's keys; bound objects are looked up in the cluster itself."""

    def uid_of(resource: str, namespace: str, name: str) -> str | None:
        found = view.get(f"/{resource}", namespace, name)
        if found is None:
            return None
        deleted = found["metadata"].get("deletionTimestamp")
        if deleted and clock.now() - parse_rfc3339(deleted) > DELETED_GRACE:
            return None
        return str(found["metadata"]["uid"])

    keys = [TokenKey.load(pem) for pem in identity.token_keys]
    retired = [key.private.public_key() for key in keys[1:]]
    return ServiceAccountTokens(KeySet(keys[0], retired), uid_of, clock, issuer)


def authenticator(issued: ServiceAccountTokens, clock: Clock, first: Sequence[Authenticator] = ()) -> Chain:
    """`first`, then client certificates, then service-account tokens, then anonymous, as upstream."""
    return Chain([*first, Certificates(clock), issued])


def authorizer(rbac: Rbac) -> Union:
    """system:masters, then RBAC."""
    return Union([PrivilegedGroups(), rbac])
