"""Defaults of pod specs.

Two layers, as upstream has it: `default_pod_spec` applies to every pod spec, wherever it stands; `default_pod` only to
the spec of a Pod itself (requests from limits, enableServiceLinks, host ports), because a default that appeared in
templates would roll out every workload at an upgrade. Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object
from kloster.kinds import defaulting, images, quantity, resources
from kloster.kinds.podspec.aggregate import aggregate

CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


def default_pod_spec(spec: Object) -> None:
    """Fills in what every pod spec has, in place."""
    defaulting.empty(spec, dnsPolicy="ClusterFirst")
    defaulting.empty(spec, restartPolicy="Always")
    defaulting.empty(spec, schedulerName="default-scheduler")
    defaulting.absent(spec, terminationGracePeriodSeconds=30)
    defaulting.absent(spec, securityContext={})
    alias_service_account(spec)
    for volume in spec.get("volumes") or ():
        default_volume(volume)
    for name in CONTAINER_LISTS:
        for container in spec.get(name) or ():
            default_container(container)
    quantity.round_up_milli(spec.get("overhead"))
    _round_resources(spec.get("resources"))


def alias_service_account(spec: Object) -> None:
    """``serviceAccount`` is the old name of ``serviceAccountName``; the new one wins, and both are always written."""
    name = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if name:
        spec["serviceAccountName"] = name
        spec["serviceAccount"] = name
    else:
        spec.pop("serviceAccount", None)


def default_pod(spec: Object) -> None:
    """What only the spec of a Pod gets, before `default_pod_spec`."""
    for name in ("containers", "initContainers"):
        for container in spec.get(name) or ():
            own = container.get("resources") or {}
            limits = own.get("limits")
            if limits:
                requests = defaulting.struct(own, "requests")
                for key, value in limits.items():
                    requests.setdefault(key, value)
    if spec.get("resources") is not None:
        _default_pod_resources(spec, spec["resources"])
    defaulting.absent(spec, enableServiceLinks=True)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        spec["terminationGracePeriodSeconds"] = 1
    default_host_ports(spec)


def _default_pod_resources(spec: Object, pod: Object) -> None:
    """Pod-level resources that are given in part are completed from those of the containers (KEP 2837)."""
    limits, requests = dict(pod.get("limits") or {}), dict(pod.get("requests") or {})
    if limits or requests:
        for name, amount in aggregate(spec, "limits").items():
            if resources.is_huge_pages(name) and name not in requests:
                limits.setdefault(name, amount.text)
    if limits:
        for name, amount in aggregate(spec, "requests").items():
            if name in ("cpu", "memory"):
                requests.setdefault(name, amount.text)
        for name, text in limits.items():
            if name in ("cpu", "memory") or resources.is_huge_pages(name):
                requests.setdefault(name, text)
    for field, amounts in (("limits", limits), ("requests", requests)):
        if amounts:
            pod[field] = amounts


def default_host_ports(spec: Object) -> None:
    """On the host's network a container's ports are the host's."""
    if not spec.get("hostNetwork"):
        return
    for name in ("containers", "initContainers"):
        for container in spec.get(name) or ():
            for port in container.get("ports") or ():
                if not port.get("hostPort") and port.get("containerPort"):
                    port["hostPort"] = port["containerPort"]


def default_container(container: Object) -> None:
    if not container.get("imagePullPolicy"):
        container["imagePullPolicy"] = images.pull_policy(container.get("image") or "")
    defaulting.empty(container, terminationMessagePath="/dev/termination-log")
    defaulting.empty(container, terminationMessagePolicy="File")
    for port in container.get("ports") or ():
        defaulting.empty(port, protocol="TCP")
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        _default_field_ref(source)
        if source.get("fileKeyRef") is not None:
            defaulting.absent(source["fileKeyRef"], optional=False)
    _round_resources(container.get("resources"))
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(name) is not None:
            _default_probe(container[name])
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _default_http_get(hook)


def _default_probe(probe: Object) -> None:
    defaulting.empty(probe, timeoutSeconds=1)
    defaulting.empty(probe, periodSeconds=10)
    defaulting.empty(probe, successThreshold=1)
    defaulting.empty(probe, failureThreshold=3)
    _default_http_get(probe)
    if probe.get("grpc") is not None:
        defaulting.absent(probe["grpc"], service="")


def _default_http_get(handler: Object) -> None:
    action = handler.get("httpGet")
    if action is not None:
        defaulting.empty(action, path="/")
        defaulting.empty(action, scheme="HTTP")


def _default_field_ref(source: Object) -> None:
    if source.get("fieldRef") is not None:
        defaulting.empty(source["fieldRef"], apiVersion="v1")


_MODE = 0o644
"""Mode of files in volumes made from API objects."""

_VOLUME_VALUES: dict[str, dict[str, Any]] = {
    "iscsi": {"iscsiInterface": "default"},
    "rbd": {"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring"},
    "scaleIO": {"storageMode": "ThinProvisioned", "fsType": "xfs"},
}
_VOLUME_POINTERS: dict[str, dict[str, Any]] = {
    "hostPath": {"type": ""},
    "secret": {"defaultMode": _MODE},
    "configMap": {"defaultMode": _MODE},
    "downwardAPI": {"defaultMode": _MODE},
    "projected": {"defaultMode": _MODE},
    "azureDisk": {"cachingMode": "ReadWrite", "fsType": "ext4", "readOnly": False, "kind": "Shared"},
}


def default_volume(volume: Object) -> None:
    """A volume without a source is an emptyDir; sources get their own defaults."""
    if not any(key != "name" and value is not None for key, value in volume.items()):
        volume["emptyDir"] = {}
        return
    default_volume_source(volume)
    if volume.get("image") is not None:
        source = volume["image"]
        if not source.get("pullPolicy"):
            source["pullPolicy"] = images.pull_policy(source.get("reference") or "")
    for item in (volume.get("downwardAPI") or {}).get("items") or ():
        _default_field_ref(item)
    for source in (volume.get("projected") or {}).get("sources") or ():
        for item in (source.get("downwardAPI") or {}).get("items") or ():
            _default_field_ref(item)
        if source.get("serviceAccountToken") is not None:
            defaulting.absent(source["serviceAccountToken"], expirationSeconds=3600)
    template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
    if template is not None:
        default_claim_spec(template.setdefault("spec", {}))


def default_volume_source(holder: Object) -> None:
    """Defaults of a volume's source; the specs of PersistentVolumes hold the same."""
    for name, fields in _VOLUME_VALUES.items():
        if holder.get(name) is not None:
            defaulting.empty(holder[name], **fields)
    for name, fields in _VOLUME_POINTERS.items():
        if holder.get(name) is not None:
            defaulting.absent(holder[name], **fields)


def default_claim_spec(spec: Object) -> None:
    """The spec of a PersistentVolumeClaim, or of a template of one."""
    defaulting.absent(spec, volumeMode="Filesystem")
    _round_resources(spec.get("resources"))


def _round_resources(holder: Object | None) -> None:
    if holder:
        quantity.round_up_milli(holder.get("limits"))
        quantity.round_up_milli(holder.get("requests"))
