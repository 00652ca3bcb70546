"""PersistentVolumeClaims: the host provisions; phase, capacity and the name of the volume come back.

A claim that names a volume, or copies from another claim or snapshot, would reach for things of the host by name: the
volume name stays behind, data sources are renamed if they are claims and refused otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence

from kloster.apimachinery import Object
from kloster.client.resources import PERSISTENT_VOLUME_CLAIMS
from kloster.syncer import owned
from kloster.syncer.actions import Action, PatchVirtual, Report
from kloster.syncer.translator import Refused, Translator, World

COPIED = ("accessModes", "resources", "storageClassName", "volumeMode", "volumeAttributesClassName")
STATUS = ("phase", "accessModes", "capacity", "conditions", "allocatedResources", "allocatedResourceStatuses")


def desired(world: World, virtual: Object) -> Object:
    """The host claim. Raises Refused."""
    spec = virtual["spec"]
    host_spec = {field: spec[field] for field in COPIED if field in spec}
    source = spec.get("dataSource")
    if source:
        if source.get("kind") != "PersistentVolumeClaim":
            raise Refused(f"a claim's dataSource of kind {source.get('kind')} does not cross to the host")
        host_spec["dataSource"] = {
            "kind": "PersistentVolumeClaim",
            "name": world.tenancy.name(source["name"], virtual["metadata"]["namespace"]),
        }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": world.tenancy.identity("PersistentVolumeClaim", virtual),
        "spec": host_spec,
    }


def decide(world: World, virtual: Object | None, host: Object | None) -> Sequence[Action]:
    try:
        wanted = None if virtual is None else desired(world, virtual)
    except Refused as refusal:
        return [Report("Warning", "SyncRefused", str(refusal))]
    if wanted is not None and host is not None:
        # After creation only the size may change; the host fills in the rest.
        wanted["spec"] = {"resources": wanted["spec"].get("resources") or {}}
    actions = owned.reconcile(virtual, host, wanted)
    if virtual is None or host is None or actions or virtual["metadata"].get("deletionTimestamp"):
        return actions
    return _back(virtual, host)


def _back(virtual: Object, host: Object) -> list[Action]:
    status = host.get("status") or {}
    wanted = {field: status[field] for field in STATUS if field in status}
    old = virtual.get("status") or {}
    patch: Object = {key: value for key, value in wanted.items() if old.get(key) != value}
    actions: list[Action] = []
    spec: Object = {}
    if host["spec"].get("storageClassName") and virtual["spec"].get("storageClassName") is None:
        spec["storageClassName"] = host["spec"]["storageClassName"]  # the host's default, as upstream fills it in
    if host["spec"].get("volumeName") and not virtual["spec"].get("volumeName"):
        # The volume's own name is the host's affair. This one is what a provisioner would have given it.
        spec["volumeName"] = f"pvc-{virtual['metadata']['uid']}"
    if spec:
        actions.append(PatchVirtual({"spec": spec}))
    if patch:
        actions.append(PatchVirtual({"status": patch}, "merge", "status"))
    return actions


TRANSLATOR = Translator(PERSISTENT_VOLUME_CLAIMS, "PersistentVolumeClaim", decide)
