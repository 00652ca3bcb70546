"""Pods: the whole way down and back up.

Down: the host pod is built from known fields. Names it refers to (ConfigMaps, Secrets, claims, pull secrets) become
their host names; selectors are confined to the cluster; the service account stays behind, its token travels as a
Secret; what would give power over the node is refused unless the cluster's policy allows it. Afterwards only
the few fields that a pod may change are patched.
Up: the binding, then the status, with the host's names taken out of its texts.

A pod's end. The tenant deletes: the host pod is deleted with the tenant's grace, and the virtual pod goes when the host
pod has gone. The host evicts or loses the pod: the virtual pod is deleted too, so that its controller makes a new one.
"""

from __future__ import annotations

from collections.abc import Sequence

from kloster.apimachinery import Object
from kloster.client.api import Change
from kloster.client.resources import CONFIG_MAPS, NODES, PERSISTENT_VOLUME_CLAIMS, PODS, SECRETS
from kloster.syncer import references
from kloster.syncer.actions import (
    Action,
    BindVirtual,
    CreateHost,
    DeleteHost,
    DeleteVirtual,
    PatchHost,
    PatchVirtual,
    Report,
)
from kloster.syncer.names import TOKENS_OF, UID, virtual_key
from kloster.syncer.podspec import containers, isolation, metadata, scheduling, volumes
from kloster.syncer.translator import Refused, Related, Translator, World
from kloster.workloads.lostnodes import silent_since
from kloster.workloads.pods import is_terminal
from kloster.workloads.volumes import claims_of, is_made_for

NEEDED = {"ConfigMap": CONFIG_MAPS, "Secret": SECRETS, "PersistentVolumeClaim": PERSISTENT_VOLUME_CLAIMS}


def desired(world: World, virtual: Object) -> Object:
    """The host pod. Raises Refused."""
    spec = virtual["spec"]
    isolation.check(spec, world.policy)
    host_spec: Object = {
        "volumes": volumes.translate(world, virtual),
        "initContainers": [containers.translate(world, virtual, one) for one in spec.get("initContainers") or ()],
        "containers": [containers.translate(world, virtual, one) for one in spec["containers"]],
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        **scheduling.translate(world, virtual),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata.pod(world.tenancy, virtual),
        "spec": {key: value for key, value in host_spec.items() if value not in (None, [], {})},
    }


def decide(world: World, virtual: Object | None, host: Object | None) -> Sequence[Action]:
    """What is to be done for one pod."""
    if virtual is None:
        return [] if host is None or _leaving(host) else [_delete(host, None)]
    if host is not None and host["metadata"]["annotations"].get(UID) != virtual["metadata"]["uid"]:
        return [] if _leaving(host) else [_delete(host, None)]
    if world.lost and _node(virtual, host) in world.lost:
        return []  # nothing is heard of it, and it hears nothing
    if _leaving(virtual):
        return _end(world, virtual, host)
    if host is None:
        return _begin(world, virtual)
    return _keep(world, virtual, host)


def _node(virtual: Object, host: Object | None) -> str:
    return str(virtual["spec"].get("nodeName") or (host or {"spec": {}})["spec"].get("nodeName") or "")


def _leaving(pod: Object) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _delete(host: Object, grace: int | None) -> DeleteHost:
    return DeleteHost(host["metadata"]["name"], host["metadata"]["uid"], grace)


def _begin(world: World, virtual: Object) -> list[Action]:
    """There is no host pod: make it, or accept that it is gone."""
    if is_terminal(virtual):
        return []
    if virtual["spec"].get("nodeName") and _was_scheduled(virtual):
        # It was on the host and is not any more: evicted, or its node was lost.
        name = world.tenancy.name(virtual["metadata"]["name"], virtual["metadata"]["namespace"])
        return [
            Report("Warning", "HostPodGone", "The pod no longer exists on the host cluster; deleting it"),
            DeleteVirtual(virtual["metadata"]["uid"], 0, unless=name),
        ]
    if virtual["spec"].get("schedulingGates"):
        return []
    try:
        wanted = desired(world, virtual)
    except Refused as refusal:
        return _refuse(virtual, str(refusal), world.now)
    return [] if _awaits(world, virtual) else [CreateHost(wanted)]


def _was_scheduled(virtual: Object) -> bool:
    """Whether the node was told by the host. A tenant may also create a pod with a node of its choice."""
    conditions = (virtual.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "PodScheduled" and one["status"] == "True" for one in conditions)


def _awaits(world: World, virtual: Object) -> bool:
    """Whether something that the pod needs is still on its way to the host.

    The node would find it missing and try again only after seconds. What the tenant does not have does not hold the
    pod back: then it waits on the node, with events that say for what.
    """
    metadata = virtual["metadata"]
    namespace = metadata["namespace"]
    if "pods" in world.crossing and volumes.projected_tokens(virtual):
        token = world.tenancy.token_name(metadata["name"], namespace, metadata["uid"])
        if world.host_lookup(SECRETS, token) is None:
            return True
    if "persistentvolumeclaims" in world.crossing and _awaits_ephemeral(world, virtual):
        return True
    for kind, name in references.of_pod(virtual):
        resource = NEEDED[kind]
        if resource.plural not in world.crossing or world.lookup(resource, namespace, name) is None:
            continue
        if world.host_lookup(resource, world.tenancy.name(name, namespace)) is None:
            return True
    return False


def _awaits_ephemeral(world: World, virtual: Object) -> bool:
    """Whether an ephemeral volume has no claim yet, or one that was not made for this pod and is not for it to use."""
    for name, ephemeral in claims_of(virtual):
        if ephemeral:
            claim = world.lookup(PERSISTENT_VOLUME_CLAIMS, virtual["metadata"]["namespace"], name)
            if claim is None or not is_made_for(claim, virtual):
                return True
    return False


def _refuse(virtual: Object, message: str, now: float) -> list[Action]:
    """Tell the tenant once; the pod stays Pending."""
    condition = metadata.refusal(virtual, message, now)
    if condition is None:
        return []
    patch = {"status": {"conditions": [condition]}}
    return [
        Report("Warning", "SyncRefused", message),
        PatchVirtual(patch, "strategic", "status"),
    ]


def _end(world: World, virtual: Object, host: Object | None) -> list[Action]:
    """The tenant deleted the pod."""
    grace = virtual["metadata"].get("deletionGracePeriodSeconds")
    if host is None:
        if not grace and grace is not None:
            return []  # it waits for finalizers only
        name = world.tenancy.name(virtual["metadata"]["name"], virtual["metadata"]["namespace"])
        return [DeleteVirtual(virtual["metadata"]["uid"], 0, unless=name)]
    if not _leaving(host):
        return [*_status(world, virtual, host), _delete(host, grace)]
    shorter = grace is not None and grace < (host["metadata"].get("deletionGracePeriodSeconds") or 0)
    return [*_status(world, virtual, host), *([_delete(host, grace)] if shorter else [])]


def _keep(world: World, virtual: Object, host: Object) -> list[Action]:
    """Both exist: bring changes down, binding and status up."""
    actions: list[Action] = []
    if not _node(virtual, host) and not _leaving(host) and _is_misplaced(world, virtual, host):
        return [_delete(host, 0)]
    if _leaving(host):
        actions.append(DeleteVirtual(virtual["metadata"]["uid"], host["metadata"].get("deletionGracePeriodSeconds")))
    else:
        actions += _through_doors(world, virtual, host)  # before the annotations that record it
        actions += _changes(world, virtual, host)
        conditions = metadata.gate_conditions(virtual, host)
        if conditions:
            patch = {"status": {"conditions": conditions}}
            actions.append(PatchHost(host["metadata"]["name"], host["metadata"]["uid"], patch, "strategic", "status"))
    told = _status(world, virtual, host)
    node = host["spec"].get("nodeName")
    if node and not virtual["spec"].get("nodeName"):
        actions.append(BindVirtual(node))
    return actions + told


def _is_misplaced(world: World, virtual: Object, host: Object) -> bool:
    """Whether the nodes that it waits for are others than when it was made: some were lost since, or have come back."""
    before = scheduling.apart(host["spec"])
    return bool(world.lost or before) and before != scheduling.apart(scheduling.translate(world, virtual))


def _changes(world: World, virtual: Object, host: Object) -> list[Action]:
    """The narrow patch of what may change in a running pod."""
    spec = _spec_changes(world, virtual, host)
    head = metadata.pod(world.tenancy, virtual)
    live = host["metadata"]
    changed = {
        field: _map_patch(live.get(field) or {}, head[field], field)
        for field in ("labels", "annotations")
        if _map_patch(live.get(field) or {}, head[field], field)
    }
    if not spec and not changed:
        return []
    patch: Object = {"metadata": {"uid": live["uid"], **changed}}
    if spec:
        patch["spec"] = spec
    return [PatchHost(live["name"], live["uid"], patch, "strategic")]


def _spec_changes(world: World, virtual: Object, host: Object) -> Object:
    """Images, deadline and further tolerations: all that a pod's spec may change by itself."""
    spec: Object = {}
    origin = metadata.synced(host, metadata.IMAGES)
    for field in ("initContainers", "containers"):
        wanted = {one["name"]: one.get("image") for one in virtual["spec"].get(field) or ()}
        images = [
            {"name": one["name"], "image": wanted[one["name"]]}
            for one in host["spec"].get(field) or ()
            if one["name"] in wanted and wanted[one["name"]] != origin.get(one["name"], one.get("image"))
        ]
        if images:
            spec[field] = images
    deadline = virtual["spec"].get("activeDeadlineSeconds")
    if deadline is not None and deadline != host["spec"].get("activeDeadlineSeconds"):
        spec["activeDeadlineSeconds"] = deadline
    tolerations = host["spec"].get("tolerations") or []
    more = [one for one in scheduling.tolerations(virtual["spec"], world.policy) if one not in tolerations]
    if more:
        spec["tolerations"] = [*tolerations, *more]
    return spec


def _through_doors(world: World, virtual: Object, host: Object) -> list[Action]:
    """What of a pod's spec changes by subresources of their own: ephemeral containers, and resources (resize)."""
    head = host["metadata"]
    actions: list[Action] = []
    present = {one["name"] for one in host["spec"].get("ephemeralContainers") or ()}
    more = [one for one in virtual["spec"].get("ephemeralContainers") or () if one["name"] not in present]
    if more:
        try:
            isolation.check(virtual["spec"], world.policy)
        except Refused as refusal:
            return [Report("Warning", "SyncRefused", str(refusal))]
        added = [containers.ephemeral(world, virtual, one) for one in more]
        patch: Object = {"spec": {"ephemeralContainers": added}}
        actions.append(PatchHost(head["name"], head["uid"], patch, "strategic", "ephemeralcontainers"))
    wanted, sent = metadata.resources(virtual), metadata.synced(host, metadata.RESOURCES)
    known = {one["name"] for one in metadata.all_containers(host)}
    resized = {name: one for name, one in wanted.items() if name in known and sent.get(name) not in (None, one)}
    if resized:
        spec = {
            field: [
                {"name": one["name"], "resources": resized[one["name"]]}
                for one in host["spec"].get(field) or ()
                if one["name"] in resized
            ]
            for field in ("initContainers", "containers")
        }
        patch = {"spec": {field: items for field, items in spec.items() if items}}
        actions.append(PatchHost(head["name"], head["uid"], patch, "strategic", "resize"))
    return actions


def _map_patch(live: dict[str, str], wanted: dict[str, str], field: str) -> Object:
    """Set what is ours, remove what was ours; leave the host's own keys."""
    patch: Object = {key: value for key, value in wanted.items() if live.get(key) != value}
    patch.update({key: None for key in live if key not in wanted and metadata.ours(key)})
    return patch


def _status(world: World, virtual: Object, host: Object) -> list[Action]:
    wanted = metadata.status(world.tenancy, virtual, host)
    old = virtual.get("status", {})
    patch: Object = {key: value for key, value in wanted.items() if old.get(key) != value}
    patch.update({key: None for key in old if key not in wanted})
    if not patch:
        return []
    return [PatchVirtual({"status": patch}, "merge", "status", passing=metadata.is_passing(virtual, host))]


def _needed(kind: str) -> Related:
    """Something has arrived on the host: the pods that may have waited for it."""

    def of_host(change: Change, world: World) -> Sequence[tuple[str, str]]:
        if change.old is not None or change.new is None:
            return ()
        token = (change.new["metadata"].get("annotations") or {}).get(TOKENS_OF)
        if token:
            namespace, _, name = token.partition("/")
            return [(namespace, name)]
        found = virtual_key(change.new)
        return () if found is None else world.referrers(kind, *found)

    return of_host


def _of_node(change: Change, world: World) -> Sequence[tuple[str, str]]:
    """A test has lost a node, or given it back: the pods there, and those that wait for a node."""
    if all(silent_since(one) is None for one in (change.old, change.new)):
        return ()
    name = change.object["metadata"]["name"]
    pods = (one for one in world.virtual_list(PODS, "") if one["spec"].get("nodeName", name) == name)
    return [(one["metadata"]["namespace"], one["metadata"]["name"]) for one in pods]


TRANSLATOR = Translator(
    PODS,
    "Pod",
    decide,
    related={NODES: _of_node},
    on_host={resource: _needed(kind) for kind, resource in NEEDED.items()},
)
