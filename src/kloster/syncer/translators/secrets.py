"""Secrets that pods refer to. Nothing comes back.

Service-account token Secrets cross as Opaque: on the host their type would bind them to one of the host's accounts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kloster.apimachinery import Object
from kloster.client.api import Change
from kloster.client.resources import PODS, SECRETS
from kloster.syncer import owned, references
from kloster.syncer.actions import Action
from kloster.syncer.translator import Translator, World

TOKEN_TYPE = "kubernetes.io/service-account-token"


def desired(world: World, virtual: Object) -> Object | None:
    """The host Secret, None while no pod refers to it."""
    metadata = virtual["metadata"]
    if not references.refers(world.virtual_list(PODS, metadata["namespace"]), "Secret", metadata["name"]):
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


def _of_pod(change: Change, _: World) -> Iterable[tuple[str, str]]:
    return references.changed(change, "Secret")


TRANSLATOR = Translator(SECRETS, "Secret", decide, {PODS: _of_pod})
