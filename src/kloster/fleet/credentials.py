"""Who may talk to a cluster: its authenticators and its authorizer, from its identity and its own objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kloster.aio.clock import Clock, parse_rfc3339
from kloster.apiserver.authentication.bootstrap_tokens import NAMESPACE, BootstrapTokens
from kloster.apiserver.authentication.certificates import Certificates
from kloster.apiserver.authentication.chain import Chain
from kloster.apiserver.authentication.tokens import KeySet, ServiceAccountTokens
from kloster.apiserver.authentication.websockets import ProtocolTokens
from kloster.apiserver.authorization.always import PrivilegedGroups, Union
from kloster.apiserver.authorization.rbac import Rbac
from kloster.apiserver.pki import TokenKey
from kloster.apiserver.ports import Authenticator
from kloster.apiserver.view import LiveView
from kloster.client.transport import User
from kloster.fleet.identity import Identity
from kloster.stores.api import Entry

DELETED_GRACE = 60.0
MAX_BOUND = 1024
MASTER = User("system:kloster", groups=("system:masters", "system:authenticated"), assigns=True)
"""Kloster itself: the controllers and the syncer of a cluster, in process."""
GUEST = replace(MASTER, assigns=False)
"""The syncers on the host, where addresses and node ports are the host's to give."""


def tokens(identity: Identity, view: LiveView, clock: Clock, issuer: str) -> ServiceAccountTokens:
    """Mints and verifies with the identity's keys; bound objects are looked up in the cluster itself.

    They are asked for with every request, so what was found is remembered as long as it is the newest version.
    """
    known: dict[tuple[str, str, str], tuple[Entry, str]] = {}

    def uid_of(resource: str, namespace: str, name: str) -> str | None:
        asked = (resource, namespace, name)
        seen = known.get(asked)
        if seen is not None:
            if view.holds(seen[0]):
                return seen[1]
            del known[asked]
        entry = view.entry(f"/{resource}", namespace, name)
        found = None if entry is None else view.object(entry)
        if entry is None or found is None:
            return None
        uid = str(found["metadata"]["uid"])
        deleted = found["metadata"].get("deletionTimestamp")
        if deleted:  # an answer that time changes
            return uid if clock.now() - parse_rfc3339(deleted) <= DELETED_GRACE else None
        if len(known) >= MAX_BOUND:
            known.clear()
        known[asked] = (entry, uid)
        return uid

    keys = [TokenKey.load(pem) for pem in identity.token_keys]
    retired = [key.private.public_key() for key in keys[1:]]
    return ServiceAccountTokens(KeySet(keys[0], retired), uid_of, clock, issuer)


def bootstrap_tokens(view: LiveView, clock: Clock) -> BootstrapTokens:
    """Bootstrap tokens are Secrets of the cluster itself."""
    return BootstrapTokens(lambda name: view.get("/secrets", NAMESPACE, name), clock)


def authenticator(
    issued: ServiceAccountTokens,
    clock: Clock,
    first: Sequence[Authenticator] = (),
    bootstrap: BootstrapTokens | None = None,
) -> Chain:
    """`first`, then client certificates, then service-account and bootstrap tokens, then anonymous, as upstream."""
    over_websocket = ProtocolTokens(lambda token: issued.authenticate(token).user)
    return Chain([*first, Certificates(clock), issued, *([bootstrap] if bootstrap else ()), over_websocket])


def authorizer(rbac: Rbac) -> Union:
    """system:masters, then RBAC."""
    return Union([PrivilegedGroups(), rbac])
