"""What a pod refers to in its namespace, and what of that is missing.

The kubelet does not start a pod whose volumes name a ConfigMap or Secret that does not exist (FailedMount), nor a
container whose environment does (CreateContainerConfigError).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from kloster.apimachinery import Object

Lookup = Callable[[str, str], Object | None]
"""("configmap", "secret" or "persistentvolumeclaim", name) → the object in the pod's namespace."""


def missing_volume(pod: Object, lookup: Lookup) -> tuple[str, str] | None:
    """(reason, message) for the first volume that cannot be set up."""
    for volume in pod["spec"].get("volumes", ()):
        problem = _unbound_claim(pod, volume, lookup)
        if problem:
            return "FailedMount", problem
        for kind, name in _volume_references(volume):
            if lookup(kind, name) is None:
                return (
                    "FailedMount",
                    f'MountVolume.SetUp failed for volume "{volume["name"]}" : {_missing(kind, name)}',
                )
    return None


def _unbound_claim(pod: Object, volume: Object, lookup: Lookup) -> str:
    """Why the volume's claim cannot be used; empty if it can, or if the volume has none."""
    metadata = pod["metadata"]
    if "persistentVolumeClaim" in volume:
        name = volume["persistentVolumeClaim"]["claimName"]
    elif "ephemeral" in volume:
        name = f"{metadata['name']}-{volume['name']}"
    else:
        return ""
    claim = lookup("persistentvolumeclaim", name)
    if claim is None:
        why = f'failed to fetch PVC from API server: persistentvolumeclaims "{name}" not found'
    elif (claim.get("status") or {}).get("phase") != "Bound":
        why = "PVC is not bound"
    else:
        return ""
    place = f"{metadata.get('namespace', '')}/{name}"
    return (
        f"Unable to attach or mount volumes: unmounted volumes=[{volume['name']}], unattached volumes=[], failed to "
        f"process volumes=[{volume['name']}]: error processing PVC {place}: {why}"
    )


def missing_environment(pod: Object, container: Object, lookup: Lookup) -> tuple[str, str] | None:
    """(reason, message) for the first environment reference of `container` that is missing."""
    namespace = pod["metadata"].get("namespace", "")
    for kind, name, key in _environment_references(container):
        found = lookup(kind, name)
        if found is None:
            return "CreateContainerConfigError", _missing(kind, name)
        if key and key not in {**found.get("data", {}), **found.get("binaryData", {})}:
            what = "ConfigMap" if kind == "configmap" else "Secret"
            return "CreateContainerConfigError", f"couldn't find key {key} in {what} {namespace}/{name}"
    return None


def _missing(kind: str, name: str) -> str:
    return f'{kind} "{name}" not found'


def _volume_references(volume: Object) -> Iterator[tuple[str, str]]:
    config_map = volume.get("configMap")
    if config_map is not None and not config_map.get("optional"):
        yield "configmap", config_map.get("name", "")
    secret = volume.get("secret")
    if secret is not None and not secret.get("optional"):
        yield "secret", secret.get("secretName", "")
    for source in volume.get("projected", {}).get("sources", ()):
        for field, kind in (("configMap", "configmap"), ("secret", "secret")):
            part = source.get(field)
            if part is not None and not part.get("optional"):
                yield kind, part.get("name", "")


def _environment_references(container: Object) -> Iterator[tuple[str, str, str]]:
    for source in container.get("envFrom", ()):
        for field, kind in (("configMapRef", "configmap"), ("secretRef", "secret")):
            reference = source.get(field)
            if reference is not None and not reference.get("optional"):
                yield kind, reference.get("name", ""), ""
    for variable in container.get("env", ()):
        origin = variable.get("valueFrom") or {}
        for field, kind in (("configMapKeyRef", "configmap"), ("secretKeyRef", "secret")):
            reference = origin.get(field)
            if reference is not None and not reference.get("optional"):
                yield kind, reference.get("name", ""), reference.get("key", "")
