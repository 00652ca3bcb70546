"""ConfigMaps that pods refer to. Nothing comes back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kloster.apimachinery import Object
from kloster.client.api import Change
from kloster.client.resources import CONFIG_MAPS, PODS
from kloster.syncer import owned, references
from kloster.syncer.actions import Action
from kloster.syncer.translator import Translator, World


def desired(world: World, virtual: Object) -> Object | None:
    """The host ConfigMap, None while no pod refers to it."""
    metadata = virtual["metadata"]
    if not references.refers(world.virtual_list(PODS, metadata["namespace"]), "ConfigMap", metadata["name"]):
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


def _of_pod(change: Change, _: World) -> Iterable[tuple[str, str]]:
    return references.changed(change, "ConfigMap")


TRANSLATOR = Translator(CONFIG_MAPS, "ConfigMap", decide, {PODS: _of_pod})
