"""ConfigMaps that pods refer to. Nothing comes back."""

from __future__ import annotations

from collections.abc import Sequence

from kloster.apimachinery import Object
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


def _of_pod(pod: Object, _: World) -> Sequence[tuple[str, str]]:
    namespace = pod["metadata"]["namespace"]
    return [(namespace, name) for kind, name in set(references.of_pod(pod)) if kind == "ConfigMap"]


TRANSLATOR = Translator(CONFIG_MAPS, "ConfigMap", decide, {PODS: _of_pod})
