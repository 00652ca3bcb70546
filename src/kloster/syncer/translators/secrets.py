"""Secrets that pods refer to. Nothing comes back.

Service-account token Secrets cross as Opaque: on the host their type would bind them to one of the host's accounts.
"""

from __future__ import annotations

from collections.abc import Sequence

from kloster.apimachinery import Object
from kloster.client.resources import SECRETS
from kloster.syncer import owned
from kloster.syncer.actions import Action
from kloster.syncer.translator import Translator, World

TOKEN_TYPE = "kubernetes.io/service-account-token"


def desired(world: World, virtual: Object) -> Object | None:
    """The host Secret, None while no pod refers to it."""
    metadata = virtual["metadata"]
    if not world.referrers("Secret", metadata["namespace"], metadata["name"]):
        return None
    kind = virtual.get("type", "Opaque")
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": world.tenancy.identity("Secret", virtual),
        "type": "Opaque" if kind == TOKEN_TYPE else kind,
        "data": virtual.get("data") or {},
    }


def decide(world: World, virtual: Object | None, host: Object | None) -> Sequence[Action]:
    wanted = None if virtual is None else desired(world, virtual)
    return owned.reconcile(virtual, host, wanted, whole=("data",))


TRANSLATOR = Translator(SECRETS, "Secret", decide, by_reference=True)
