"""A host pod's metadata, and the way back of its status."""

from __future__ import annotations

import json
from typing import Any

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object
from kloster.syncer.names import (
    ANNOTATIONS,
    CLUSTER,
    LABELS,
    NAMESPACE,
    SERVICE_ACCOUNT,
    TENANT_LABEL_PREFIX,
    Tenancy,
)

IMAGES = "kloster.dev/images"
REFUSED = "SyncRefused"
# Annotations that tell simulated nodes how a pod behaves; harmless elsewhere.
PASSED = ("simulated.kloster.dev/run-seconds", "simulated.kloster.dev/exit-code")


def pod(tenancy: Tenancy, virtual: Object) -> Object:
    """Metadata of the host pod. Labels and annotations of the tenant travel as text for the downward API."""
    identity = tenancy.identity("Pod", virtual)
    annotations = identity["annotations"]
    metadata = virtual["metadata"]
    annotations[SERVICE_ACCOUNT] = virtual["spec"].get("serviceAccountName") or "default"
    annotations[LABELS] = _downward_text(metadata.get("labels") or {})
    annotations[ANNOTATIONS] = _downward_text(metadata.get("annotations") or {})
    annotations[IMAGES] = json.dumps(
        {one["name"]: one.get("image", "") for one in virtual["spec"]["containers"]}, separators=(",", ":")
    )
    for name in PASSED:
        if name in (metadata.get("annotations") or {}):
            annotations[name] = metadata["annotations"][name]
    return identity


def _downward_text(values: dict[str, str]) -> str:
    """As the kubelet writes labels and annotations into files: ``key="value"`` lines, sorted."""
    return "\n".join(f"{key}={json.dumps(values[key], ensure_ascii=False)}" for key in sorted(values))


def ours(key: str) -> bool:
    """Whether a label or annotation key on the host is one that only we write."""
    return key.startswith(TENANT_LABEL_PREFIX) or key in (CLUSTER, NAMESPACE, LABELS, ANNOTATIONS, IMAGES)


def synced_images(host: Object) -> dict[str, str]:
    """The images that we sent, by container: the host's webhooks may have replaced them since."""
    text = (host["metadata"].get("annotations") or {}).get(IMAGES)
    if not text:
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}


def status(virtual: Object, host: Object) -> Object:
    """The virtual pod's status: the host's, with conditions that the tenant's own controllers set kept."""
    found: Object = dict(host.get("status", {}))
    found.pop("nominatedNodeName", None)
    found.pop("observedGeneration", None)
    gates = {one["conditionType"] for one in virtual["spec"].get("readinessGates") or ()}
    conditions = [_condition(one) for one in found.get("conditions") or () if one["type"] not in gates]
    present = {one["type"] for one in conditions}
    kept = [
        one
        for one in virtual.get("status", {}).get("conditions") or ()
        if one["type"] not in present and one.get("reason") != REFUSED
    ]
    if conditions or kept:
        found["conditions"] = conditions + kept
    cleaned: Object = _without_host_names(found, virtual, host)
    return cleaned


def _condition(condition: Object) -> Object:
    return {key: value for key, value in condition.items() if key != "observedGeneration"}


def _without_host_names(value: Any, virtual: Object, host: Object) -> Any:
    """Texts name the virtual pod where they named the host pod."""
    replacements = (
        (host["metadata"]["name"], virtual["metadata"]["name"]),
        (host["metadata"]["namespace"], virtual["metadata"]["namespace"]),
        (host["metadata"]["uid"], virtual["metadata"]["uid"]),
    )

    def clean(part: Any) -> Any:
        if isinstance(part, dict):
            return {key: clean(inner) if key != "containerID" else inner for key, inner in part.items()}
        if isinstance(part, list):
            return [clean(inner) for inner in part]
        if isinstance(part, str):
            for old, new in replacements:
                if old in part:
                    part = part.replace(old, new)
        return part

    return clean(value)


def refusal(virtual: Object, message: str, now: float) -> Object | None:
    """The PodScheduled condition that says why the pod does not run; None if it is there already."""
    for one in virtual.get("status", {}).get("conditions") or ():
        if one["type"] == "PodScheduled" and one.get("reason") == REFUSED and one.get("message") == message:
            return None
    return {
        "type": "PodScheduled",
        "status": "False",
        "reason": REFUSED,
        "message": message,
        "lastTransitionTime": rfc3339(now),
    }
