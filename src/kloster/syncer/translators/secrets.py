"""Secrets that pods refer to. Nothing comes back.

Service-account token Secrets cross as Opaque: on the host their type would bind them to one of the host's accounts.
"""

from __future__ import annotations

from collections.abc import Sequence

from kloster.apimachinery import Object
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


def _of_pod(pod: Object, _: World) -> Sequence[tuple[str, str]]:
    namespace = pod["metadata"]["namespace"]
    return [(namespace, name) for kind, name in set(references.of_pod(pod)) if kind == "Secret"]


TRANSLATOR = Translator(SECRETS, "Secret", decide, {PODS: _of_pod})
