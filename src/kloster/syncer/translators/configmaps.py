"""ConfigMaps that pods refer to. Nothing comes back."""

from __future__ import annotations

from collections.abc import Sequence

from kloster.apimachinery import Object
from kloster.client.resources import CONFIG_MAPS
from kloster.syncer import owned
from kloster.syncer.actions import Action
from kloster.syncer.translator import Translator, World


def desired(world: World, virtual: Object) -> Object | None:
    """The host ConfigMap, None while no pod refers to it."""
    metadata = virtual["metadata"]
    if not world.referrers("ConfigMap", metadata["namespace"], metadata["name"]):
        return None
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": world.tenancy.identity("ConfigMap", virtual),
        "data": virtual.get("data") or {},
        "binaryData": virtual.get("binaryData") or {},
    }


def decide(world: World, virtual: Object | None, host: Object | None) -> Sequence[Action]:
    wanted = None if virtual is None else desired(world, virtual)
    return owned.reconcile(virtual, host, wanted, whole=("data", "binaryData"))


TRANSLATOR = Translator(CONFIG_MAPS, "ConfigMap", decide, by_reference=True)
