"""Containers: what runs is copied field by field, what they refer to is renamed."""

from __future__ import annotations

from kloster.apimachinery import Object
from kloster.syncer.names import NAME, NAMESPACE, SERVICE_ACCOUNT, UID
from kloster.syncer.translator import World

COPIED = (
    "name",
    "image",
    "command",
    "args",
    "workingDir",
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "volumeMounts",
    "volumeDevices",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "terminationMessagePath",
    "terminationMessagePolicy",
    "imagePullPolicy",
    "securityContext",
    "stdin",
    "stdinOnce",
    "tty",
)

# The downward API would show the host's values; the virtual ones travel as annotations.
VIRTUAL_FIELDS = {
    "metadata.name": f"metadata.annotations['{NAME}']",
    "metadata.namespace": f"metadata.annotations['{NAMESPACE}']",
    "metadata.uid": f"metadata.annotations['{UID}']",
    "spec.serviceAccountName": f"metadata.annotations['{SERVICE_ACCOUNT}']",
}


def translate(world: World, virtual: Object, container: Object) -> Object:
    """The host's container."""
    namespace = virtual["metadata"]["namespace"]
    host = {field: container[field] for field in COPIED if field in container}
    if container.get("envFrom"):
        host["envFrom"] = [_source(world, namespace, one) for one in container["envFrom"]]
    if container.get("env"):
        host["env"] = [_variable(world, virtual, one) for one in container["env"]]
    return host


def ephemeral(world: World, virtual: Object, container: Object) -> Object:
    """An ephemeral container of the host pod."""
    host = translate(world, virtual, container)
    if container.get("targetContainerName"):
        host["targetContainerName"] = container["targetContainerName"]
    return host


def _source(world: World, namespace: str, source: Object) -> Object:
    translated = dict(source)
    for field in ("configMapRef", "secretRef"):
        if field in source:
            translated[field] = _renamed(world, namespace, source[field])
    return translated


def _variable(world: World, virtual: Object, variable: Object) -> Object:
    origin = variable.get("valueFrom")
    if not origin:
        return variable
    namespace = virtual["metadata"]["namespace"]
    translated = dict(origin)
    for field in ("configMapKeyRef", "secretKeyRef"):
        if field in origin:
            translated[field] = _renamed(world, namespace, origin[field])
    if "fieldRef" in origin:
        literal = virtual_value(virtual, origin["fieldRef"]["fieldPath"])
        if literal is not None:
            return {"name": variable["name"], "value": literal}
        translated["fieldRef"] = field_reference(origin["fieldRef"])
    return {"name": variable["name"], "valueFrom": translated}


def _renamed(world: World, namespace: str, reference: Object) -> Object:
    return {**reference, "name": world.tenancy.name(reference.get("name", ""), namespace)}


def field_reference(reference: Object) -> Object:
    """A downward API reference that shows the virtual pod's value."""
    path = reference["fieldPath"]
    return {**reference, "fieldPath": VIRTUAL_FIELDS.get(path, path)}


def virtual_value(virtual: Object, path: str) -> str | None:
    """The value of one label or annotation, which the host pod has under another key or not at all."""
    for field in ("labels", "annotations"):
        start = f"metadata.{field}['"
        if path.startswith(start) and path.endswith("']"):
            return str((virtual["metadata"].get(field) or {}).get(path[len(start) : -2], ""))
    return None
