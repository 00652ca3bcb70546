"""Which nodes a DaemonSet's pods belong on, and what to do about those that are there. Pure.

https://kubernetes.io/docs/concepts/workloads/controllers/daemonset/#how-daemon-pods-are-scheduled
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from kloster.apimachinery import Object
from kloster.placement import affinity, taints
from kloster.workloads import ownership, podcontrol, pods
from kloster.workloads.amounts import scaled

HASH_LABEL = "controller-revision-hash"
GENERATION_LABEL = "pod-template-generation"
GENERATION_ANNOTATION = "deprecated.daemonset.template.generation"
_TOLERATED = (
    ("node.kubernetes.io/not-ready", "NoExecute"),
    ("node.kubernetes.io/unreachable", "NoExecute"),
    ("node.kubernetes.io/disk-pressure", "NoSchedule"),
    ("node.kubernetes.io/memory-pressure", "NoSchedule"),
    ("node.kubernetes.io/pid-pressure", "NoSchedule"),
    ("node.kubernetes.io/unschedulable", "NoSchedule"),
)
_NETWORK = ("node.kubernetes.io/network-unavailable", "NoSchedule")


def tolerations(spec: Object) -> list[Object]:
    """The template's tolerations and those that every daemon pod gets."""
    found: list[Object] = list(spec.get("tolerations") or ())
    for key, effect in (*_TOLERATED, *((_NETWORK,) if spec.get("hostNetwork") else ())):
        wanted = {"key": key, "operator": "Exists", "effect": effect}
        if wanted not in found:
            found.append(wanted)
    return found


def pinned(spec: Object, node: str) -> Object:
    """The template's affinity, such that only `node` fits; the scheduler binds it as any other pod."""
    fields = [{"key": "metadata.name", "operator": "In", "values": [node]}]
    found = dict(spec.get("affinity") or {})
    node_affinity = dict(found.get("nodeAffinity") or {})
    required = dict(node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {})
    terms = required.get("nodeSelectorTerms") or [{}]
    required["nodeSelectorTerms"] = [{**term, "matchFields": fields} for term in terms]
    node_affinity["requiredDuringSchedulingIgnoredDuringExecution"] = required
    found["nodeAffinity"] = node_affinity
    return found


def new_pod(daemon_set: Object, node: str, digest: str) -> Object:
    pod = podcontrol.pod_from_template(daemon_set["spec"]["template"], daemon_set)
    spec, metadata = pod["spec"], pod["metadata"]
    labels = {**(metadata.get("labels") or {}), HASH_LABEL: digest}
    generation = (daemon_set["metadata"].get("annotations") or {}).get(GENERATION_ANNOTATION)
    if generation:
        labels[GENERATION_LABEL] = generation
    metadata["labels"] = labels
    return {**pod, "spec": {**spec, "affinity": pinned(spec, node), "tolerations": tolerations(spec)}}


def node_of(pod: Object) -> str:
    """The node that a daemon pod is on or is meant for."""
    name = pod["spec"].get("nodeName")
    if name:
        return str(name)
    node_affinity = (pod["spec"].get("affinity") or {}).get("nodeAffinity") or {}
    required = node_affinity.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    for term in required.get("nodeSelectorTerms") or ():
        for requirement in term.get("matchFields") or ():
            if requirement.get("key") == "metadata.name" and requirement.get("values"):
                return str(requirement["values"][0])
    return ""


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a pod is to be started on a node, and whether one that is there may stay."""

    start: bool
    stay: bool


def fits(daemon_set: Object, node: Object) -> Fit:
    spec = daemon_set["spec"]["template"].get("spec") or {}
    name, labels = node["metadata"]["name"], node["metadata"].get("labels") or {}
    if spec.get("nodeName", name) != name or not affinity.node_matches(spec, name, labels):
        return Fit(False, False)
    tolerated = tolerations(spec)
    tainted = node["spec"].get("taints") or ()
    hindering = [
        taint
        for taint in tainted
        if taint["effect"] in ("NoSchedule", "NoExecute")
        and not any(taints.tolerates(toleration, taint) for toleration in tolerated)
    ]
    return Fit(not hindering, all(taint["effect"] != "NoExecute" for taint in hindering))


@dataclass(slots=True)
class Plan:
    """Nodes to start a pod on, pods to delete, and failed ones among them (which are deleted with back-off)."""

    create: list[str] = field(default_factory=list)
    delete: list[Object] = field(default_factory=list)
    failed: list[Object] = field(default_factory=list)
    succeeded: list[Object] = field(default_factory=list)


def by_node(daemon_pods: Sequence[Object]) -> dict[str, list[Object]]:
    found: dict[str, list[Object]] = {}
    for pod in daemon_pods:
        found.setdefault(node_of(pod), []).append(pod)
    return found


def manage(daemon_set: Object, nodes: Sequence[Object], daemon_pods: Sequence[Object], digest: str, now: float) -> Plan:
    """One pod on each node that fits, none elsewhere."""
    found = Plan()
    placed = by_node(daemon_pods)
    surging = surge(daemon_set, len(nodes)) > 0
    for node in nodes:
        there = placed.pop(node["metadata"]["name"], [])
        fit = fits(daemon_set, node)
        if fit.start and not there:
            found.create.append(node["metadata"]["name"])
        elif fit.stay:
            running = _sort_out(there, found)
            found.delete += _doubles(daemon_set, running, digest, surging, now)
            if fit.start and not running and there and all(pods.is_deleting(pod) for pod in there) and surging:
                found.create.append(node["metadata"]["name"])
        else:
            found.delete += [pod for pod in there if not pods.is_deleting(pod)]
    for orphaned in placed.values():
        # Meant for a node that has gone; what was bound there is pod garbage collection's.
        found.delete += [pod for pod in orphaned if not pod["spec"].get("nodeName") and not pods.is_deleting(pod)]
    return found


def _sort_out(there: Sequence[Object], found: Plan) -> list[Object]:
    running: list[Object] = []
    for pod in there:
        if pods.is_deleting(pod):
            continue
        if pods.phase(pod) == "Failed":
            found.failed.append(pod)
        elif pods.phase(pod) == "Succeeded":
            found.succeeded.append(pod)
        else:
            running.append(pod)
    return running


def _doubles(daemon_set: Object, running: Sequence[Object], digest: str, surging: bool, now: float) -> list[Object]:
    """Pods beyond one on a node; with surge one of the old and one of the new revision may be there for a while."""
    ordered = ownership.oldest_first(running)
    if not surging:
        return ordered[1:]
    new = [pod for pod in ordered if is_new(pod, digest)]
    old = [pod for pod in ordered if not is_new(pod, digest)]
    minimum = int(daemon_set["spec"].get("minReadySeconds") or 0)
    extra = [*new[1:], *old[1:]]
    if new and old and pods.is_available(new[0], minimum, now):
        extra.append(old[0])
    return extra


def is_new(pod: Object, digest: str) -> bool:
    return bool((pod["metadata"].get("labels") or {}).get(HASH_LABEL) == digest)


def _rolling(daemon_set: Object) -> Mapping[str, int | str]:
    strategy = daemon_set["spec"].get("updateStrategy") or {}
    return strategy.get("rollingUpdate") or {}


def is_rolling(daemon_set: Object) -> bool:
    strategy = daemon_set["spec"].get("updateStrategy") or {}
    return bool(strategy.get("type", "RollingUpdate") == "RollingUpdate")


def surge(daemon_set: Object, desired: int) -> int:
    return scaled(_rolling(daemon_set).get("maxSurge"), desired, up=True) if is_rolling(daemon_set) else 0


def unavailable_limit(daemon_set: Object, desired: int) -> int:
    limit = scaled(_rolling(daemon_set).get("maxUnavailable", 1), desired, up=True)
    return limit or (0 if surge(daemon_set, desired) else 1)


def update(daemon_set: Object, nodes: Sequence[Object], daemon_pods: Sequence[Object], digest: str, now: float) -> Plan:
    """The next step of a rolling update: old pods to delete, or (with surge) nodes to start new ones on."""
    found = Plan()
    if not is_rolling(daemon_set):
        return found
    minimum = int(daemon_set["spec"].get("minReadySeconds") or 0)
    placed = by_node(daemon_pods)
    desired = sum(fits(daemon_set, node).start for node in nodes)
    more = surge(daemon_set, desired)
    unavailable, surging = 0, 0
    candidates: list[Object] = []
    for node in nodes:
        there = [pod for pod in placed.get(node["metadata"]["name"], ()) if not pods.is_terminal(pod)]
        old = next((pod for pod in there if not is_new(pod, digest) and not pods.is_deleting(pod)), None)
        new = next((pod for pod in there if is_new(pod, digest) and not pods.is_deleting(pod)), None)
        leaving = any(pods.is_deleting(pod) for pod in there)
        if old is not None and new is None:
            if not pods.is_available(old, minimum, now):
                (found.delete if not more else candidates).append(old)
                unavailable += not more
            elif not leaving:
                candidates.append(old)
            continue
        if new is not None and old is not None:
            surging += 1
        elif new is None or not pods.is_available(new, minimum, now):
            unavailable += fits(daemon_set, node).start
    if more:
        found.create += [node_of(pod) for pod in candidates[: max(0, more - surging)]]
    else:
        found.delete += candidates[: max(0, unavailable_limit(daemon_set, desired) - unavailable)]
    return found


def status_of(
    daemon_set: Object, nodes: Sequence[Object], daemon_pods: Sequence[Object], digest: str, now: float
) -> Object:
    minimum = int(daemon_set["spec"].get("minReadySeconds") or 0)
    placed = by_node(daemon_pods)
    desired = current = missed = ready = available = updated = 0
    for node in nodes:
        there = ownership.oldest_first(placed.get(node["metadata"]["name"], ()))
        if not fits(daemon_set, node).start:
            missed += bool(there)
            continue
        desired += 1
        if not there:
            continue
        current += 1
        ready += pods.is_ready(there[0])
        available += pods.is_available(there[0], minimum, now)
        updated += any(is_new(pod, digest) for pod in there)
    status: Object = {
        "currentNumberScheduled": current,
        "numberMisscheduled": missed,
        "desiredNumberScheduled": desired,
        "numberReady": ready,
        "observedGeneration": daemon_set["metadata"].get("generation"),
    }
    for name, count in (
        ("updatedNumberScheduled", updated),
        ("numberAvailable", available),
        ("numberUnavailable", desired - available),
    ):
        if count:
            status[name] = count
    for name in ("collisionCount", "conditions"):
        if (daemon_set.get("status") or {}).get(name) is not None:
            status[name] = daemon_set["status"][name]
    return status
