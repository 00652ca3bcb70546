"""What a token is bound to is looked at with every request, though nothing is read again that has not changed."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives import serialization
from tests.apiserver import hurry, world

from kloster.aio.clock import VirtualClock, rfc3339
from kloster.apiserver import pki
from kloster.apiserver.authentication.tokens import Bound, InvalidToken, Order, ServiceAccountTokens
from kloster.fleet import credentials
from kloster.fleet.identity import Identity
from kloster.stores.api import Key, Put

Ask = Callable[[], object]

ACCOUNTS = "/api/v1/namespaces/n/serviceaccounts"


def issuer_of(cluster: world.ServedCluster, clock: VirtualClock) -> ServiceAccountTokens:
    pem = pki.TokenKey.create().private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    identity = cast(Identity, SimpleNamespace(token_keys=[pem]))
    return credentials.tokens(identity, cluster.view, clock, "https://issuer")


async def _changed(api: world.Api, clock: VirtualClock, ask: Ask) -> None:
    await api.ok("PATCH", f"{ACCOUNTS}/a", {"metadata": {"labels": {"x": "y"}}})


async def _deleted(api: world.Api, clock: VirtualClock, ask: Ask) -> None:
    await api.ok("DELETE", f"{ACCOUNTS}/a")


async def _replaced(api: world.Api, clock: VirtualClock, ask: Ask) -> None:
    await api.ok("DELETE", f"{ACCOUNTS}/a")
    await api.ok("POST", ACCOUNTS, {"metadata": {"name": "a"}})


async def _terminating(api: world.Api, clock: VirtualClock, ask: Ask) -> None:
    await _mark_deleted(api, clock.now())


async def _terminated(api: world.Api, clock: VirtualClock, ask: Ask) -> None:
    await _mark_deleted(api, clock.now())
    await clock.advance(61)


async def _terminated_while_in_use(api: world.Api, clock: VirtualClock, ask: Ask) -> None:
    await _mark_deleted(api, clock.now())
    ask()
    await clock.advance(61)


async def _mark_deleted(api: world.Api, when: float) -> None:
    """As of an account with a finalizer; the store is told, for the API server takes the time from its own clock."""
    store = api.cluster.store
    entry = store.get(Key("/serviceaccounts", "n", "a"))
    assert entry is not None
    uid = entry.head.index(b'"uid"')
    marked = entry.head[:uid] + b'"deletionTimestamp":"%s",' % rfc3339(when).encode() + entry.head[uid:]
    await store.transact(
        lambda _: [Put(entry.key, marked, entry.tail, entry.labels, entry.fields, entry.version)],
    )


@pytest.mark.parametrize(
    ("change", "good"),
    [
        pytest.param(None, True, id="nothing"),
        pytest.param(_changed, True, id="changed"),
        pytest.param(_deleted, False, id="deleted"),
        pytest.param(_replaced, False, id="replaced"),
        pytest.param(_terminating, True, id="terminating"),
        pytest.param(_terminated, False, id="terminating-for-long"),
        pytest.param(_terminated_while_in_use, False, id="terminating-for-long-while-in-use"),
    ],
)
def test_a_token_is_worth_what_its_account_is(change: Any, good: bool) -> None:
    async def scenario() -> None:
        cluster, clock = await world.make(), VirtualClock()
        await world.namespace(cluster, "n")
        api = world.Api(cluster)
        uid = (await api.ok("POST", ACCOUNTS, {"metadata": {"name": "a"}}))["metadata"]["uid"]
        tokens = issuer_of(cluster, clock)
        token = tokens.mint(Order(namespace="n", service_account=Bound("a", uid), seconds=3600)).token
        for _ in range(2):
            assert tokens.authenticate(token).user.name == "system:serviceaccount:n:a"
        if change is not None:
            await change(api, clock, lambda: tokens.authenticate(token))
        for _ in range(2):
            if good:
                assert tokens.authenticate(token).user.name == "system:serviceaccount:n:a"
            else:
                with pytest.raises(InvalidToken):
                    tokens.authenticate(token)

    hurry.run(scenario())
