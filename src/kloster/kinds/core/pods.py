"""Pods: their life between a write and the store.

Creating one sets its phase and QoS class; an update of the main resource may change little (`kinds.podspec.updates`);
the kubelet writes status. Deleting a pod that runs on a node takes two steps: the API server sets a deletion timestamp
and a grace period, the kubelet deletes it for good when the containers have ended.
Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError
from kloster.kinds import defaulting, lifecycle
from kloster.kinds.core.podcells import cells
from kloster.kinds.podspec import disabled, status, updates, validation, warnings
from kloster.kinds.podspec.defaults import default_pod, default_pod_spec
from kloster.kinds.podspec.qos import qos_class
from kloster.kinds.strategy import Strategy

_OLD_ANNOTATIONS = frozenset(
    f"pod.{stage}.kubernetes.io/{name}"
    for stage in ("alpha", "beta")
    for name in ("init-containers", "init-container-statuses")
)
"""How init containers were written before they were fields; dropped without a word."""


def _default(pod: Object) -> None:
    spec = defaulting.struct(pod, "spec")
    default_pod(spec)
    default_pod_spec(spec)
    _default_beside_spec(pod)


def _default_beside_spec(pod: Object) -> None:
    _align_ips(pod.get("status") or {})
    annotations = pod["metadata"].get("annotations") or {}
    for name in _OLD_ANNOTATIONS & annotations.keys():
        del annotations[name]


def _align_ips(status: Object) -> None:
    """``podIP`` is the first of ``podIPs``; where they differ the single one wins. The same for the host's."""
    for single, plural in (("podIP", "podIPs"), ("hostIP", "hostIPs")):
        ip, ips = status.get(single), status.get(plural)
        if ip and (not ips or ips[0].get("ip") != ip):
            status[plural] = [{"ip": ip}]
        elif ips and not ip and single == "podIP":
            status[single] = ips[0].get("ip", "")


def _prepare_create(pod: Object) -> None:
    """Since 1.35."""
    spec = pod.get("spec") or {}
    pod["status"] = {"phase": "Pending", "qosClass": qos_class(spec)}
    if spec.get("schedulingGates"):
        pod["status"]["conditions"] = [
            {
                "type": "PodScheduled",
                "status": "False",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
                "lastTransitionTime": pod["metadata"].get("creationTimestamp"),
            }
        ]
    labels = pod["metadata"].get("labels") or {}
    _merge_affinity(spec, labels)
    for constraint in spec.get("topologySpreadConstraints") or ():
        _merge_term(constraint, labels)


def _prepare_create_1_34(pod: Object) -> None:
    """Containers with restart policies of their own are an alpha feature (KEP 5307)."""
    disabled.drop_restart_rules(pod.get("spec") or {}, None)
    _prepare_create(pod)


def _prepare_create_1_31(pod: Object) -> None:
    """So are resources of a whole pod (KEP 2837); spread constraints are left as they are."""
    spec = pod.get("spec") or {}
    constraints = spec.pop("topologySpreadConstraints", None)
    disabled.drop_pod_resources(spec, None)
    _prepare_create_1_34(pod)
    if constraints is not None:
        spec["topologySpreadConstraints"] = constraints


def _prepare_update_1_34(new: Object, old: Object) -> None:
    disabled.drop_restart_rules(new.get("spec") or {}, old.get("spec") or {})
    lifecycle.keep_status(new, old)


def _prepare_update_1_31(new: Object, old: Object) -> None:
    disabled.drop_pod_resources(new.get("spec") or {}, old.get("spec") or {})
    _prepare_update_1_34(new, old)


def _merge_affinity(spec: Object, labels: Object) -> None:
    """matchLabelKeys become requirements with the pod's own values: a rollout's pods only look at each other."""
    affinity = spec.get("affinity") or {}
    for name in ("podAffinity", "podAntiAffinity"):
        rules = affinity.get(name) or {}
        for weighted in rules.get("preferredDuringSchedulingIgnoredDuringExecution") or ():
            _merge_term(weighted.get("podAffinityTerm") or {}, labels)
        for term in rules.get("requiredDuringSchedulingIgnoredDuringExecution") or ():
            _merge_term(term, labels)


def _merge_term(term: Object, labels: Object) -> None:
    selector = term.get("labelSelector")
    if selector is None:  # selects nothing, whatever is added
        return
    for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")):
        for key in term.get(field) or ():
            if key in labels:
                added = {"key": key, "operator": operator, "values": [labels[key]]}
                selector.setdefault("matchExpressions", []).append(added)


def _validate(pod: Object) -> Iterable[FieldError]:
    yield from validation.validate_pod(pod)
    if not pod["metadata"].get("resourceVersion"):  # it is being created
        yield from validation.validate_new_pod(pod)


def _prepare_status(new: Object, old: Object) -> None:
    lifecycle.keep_spec(new, old)
    lifecycle.restore(new["metadata"], old["metadata"], "ownerReferences")
    current, before = defaulting.struct(new, "status"), old.get("status") or {}
    for field in ("qosClass", "observedGeneration"):
        if not current.get(field):
            lifecycle.restore(current, before, field)
    generations: dict[str, list[Any]] = {}
    for condition in before.get("conditions") or ():
        generations.setdefault(condition.get("type", ""), []).append(condition.get("observedGeneration"))
    for condition in current.get("conditions") or ():
        known = generations.get(condition.get("type", ""))
        generation = known.pop(0) if known else None
        if generation and not condition.get("observedGeneration"):
            condition["observedGeneration"] = generation


def _graceful(pod: Object, asked: int | None) -> int:
    """Seconds of grace: none for a pod that runs nowhere or has ended, otherwise what was asked or the pod's own.

    A pod that is already being deleted never gets more time than it has.
    """
    spec, phase = pod.get("spec") or {}, (pod.get("status") or {}).get("phase")
    if not spec.get("nodeName") or phase in ("Failed", "Succeeded"):
        return 0
    period = asked if asked is not None else spec.get("terminationGracePeriodSeconds") or 0
    period = int(period) if period >= 0 else 1
    current = pod["metadata"].get("deletionGracePeriodSeconds")
    if pod["metadata"].get("deletionTimestamp") and current is not None:
        return min(int(current), period)
    return period


def _spec(field: str) -> Any:
    return lambda pod: str((pod.get("spec") or {}).get(field) or "")


def _status(field: str) -> Any:
    return lambda pod: str((pod.get("status") or {}).get(field) or "")


def _pod_ip(pod: Object) -> str:
    ips = (pod.get("status") or {}).get("podIPs") or [{}]
    return str(ips[0].get("ip", ""))


def _warn(new: Object, old: Object | None, minor: int) -> Iterator[str]:
    """Updates of pods are not worth the time: people rarely write them."""
    return warnings.of_pod(new, minor) if old is None else iter(())


STRATEGY = Strategy(
    default=_default,
    default_beside_spec=_default_beside_spec,
    prepare_create=_prepare_create_1_31,
    prepare_update=_prepare_update_1_31,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_update=updates.validate_update,
    validate_status=status.validate_status,
    status=True,
    returns_deleted=True,
    graceful=_graceful,
    cells=cells,
    fields={
        "spec.nodeName": _spec("nodeName"),
        "spec.restartPolicy": _spec("restartPolicy"),
        "spec.schedulerName": _spec("schedulerName"),
        "spec.serviceAccountName": _spec("serviceAccountName"),
        "spec.hostNetwork": lambda pod: str(bool((pod.get("spec") or {}).get("hostNetwork"))).lower(),
        "status.phase": _status("phase"),
        "status.podIP": _pod_ip,
        "status.podIPs": lambda _: "",  # accepted, but upstream never fills it in
        "status.nominatedNodeName": _status("nominatedNodeName"),
    },
    warn=_warn,
)
_1_33 = replace(STRATEGY, generation=True)
_1_34 = replace(_1_33, prepare_create=_prepare_create_1_34, prepare_update=_prepare_update_1_34)
_1_35 = replace(_1_34, prepare_create=_prepare_create, prepare_update=lifecycle.keep_status)
CHANGED = {"1.33": _1_33, "1.34": _1_34, "1.35": _1_35}
