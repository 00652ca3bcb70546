"""The volumes of a pod: named, each with exactly one source.

Source: https://kubernetes.io/docs/concepts/storage/volumes/
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, duplicate, forbidden_field, invalid_value, required
from kloster.apimachinery.quantity import ZERO
from kloster.kinds import checks, names, quantity
from kloster.kinds.podspec import claims, projections, sources


@dataclass(frozen=True, slots=True)
class Volumes:
    """The valid volumes by name, which mounts refer to, and the findings about the others."""

    by_name: dict[str, Object]
    findings: list[FieldError]


_ORDER = (
    "emptyDir",
    "hostPath",
    "gitRepo",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "secret",
    "nfs",
    "iscsi",
    "glusterfs",
    "flocker",
    "persistentVolumeClaim",
    "rbd",
    "cinder",
    "cephfs",
    "quobyte",
    "downwardAPI",
    "fc",
    "flexVolume",
    "configMap",
    "azureFile",
    "vsphereVolume",
    "photonPersistentDisk",
    "portworxVolume",
    "azureDisk",
    "storageos",
    "projected",
    "scaleIO",
    "csi",
    "ephemeral",
    "image",
)
# Upstream's paths where they are not the field's name.
_PATHS = {"gcePersistentDisk": "persistentDisk"}
_SECOND_PATHS = {"cephfs": "cephFS", "downwardAPI": "downwarAPI"}


def validate_volumes(volumes: Iterable[Object] | None, pod_name: str, path: str, pod: bool) -> Volumes:
    """`pod_name` is empty in templates; claims of ephemeral volumes are named after the pod."""
    volumes = list(volumes or ())
    made = {f"{pod_name}-{volume.get('name')}" for volume in volumes if pod_name and volume.get("ephemeral")}
    result = Volumes({}, [])
    for index, volume in enumerate(volumes):
        at, name = f"{path}[{index}]", volume.get("name") or ""
        found = list(_validate_one(volume, pod_name, at, pod))
        if name:
            found.extend(checks.complaints(f"{at}.name", name, names.label(name)))
        else:
            found.append(required(f"{at}.name"))
        if name in result.by_name:
            found.append(duplicate(f"{at}.name", name))
        if not found:
            result.by_name[name] = volume
        result.findings.extend(found)
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim in made:
            text = "must not reference a PVC that gets created for an ephemeral volume"
            result.findings.append(invalid_value(f"{at}.persistentVolumeClaim.claimName", claim, text))
    return result


def _validate_one(volume: Object, pod_name: str, path: str, pod: bool) -> Iterable[FieldError]:
    given = [name for name in _ORDER if volume.get(name) is not None]
    if not given:
        yield required(path, "must specify a volume type")
    for position, name in enumerate(given):
        if position:
            yield forbidden_field(f"{path}.{_SECOND_PATHS.get(name, name)}", "may not specify more than 1 volume type")
        else:
            yield from _validate_source(name, volume, pod_name, f"{path}.{_PATHS.get(name, name)}", pod)
        if name == "iscsi":
            yield from _validate_iscsi_name(volume, path)


def _validate_source(name: str, volume: Object, pod_name: str, path: str, pod: bool) -> Iterable[FieldError]:
    source = volume[name]
    match name:
        case "emptyDir":
            if source.get("sizeLimit") is not None and quantity.parse(source["sizeLimit"]) < ZERO:
                yield forbidden_field(f"{path}.sizeLimit", "SizeLimit field must be a valid resource quantity")
        case "secret":
            yield from projections.validate_secret(source, path)
        case "configMap":
            yield from projections.validate_config_map(source, path)
        case "downwardAPI":
            yield from projections.validate_downward_api(source, path)
        case "projected":
            yield from projections.validate_projected(source, path)
        case "csi":
            yield from _validate_csi(source, path)
        case "ephemeral":
            yield from _validate_ephemeral(volume, pod_name, path)
        case "image":
            if pod and not source.get("reference"):
                yield required(f"{path}.reference")
            yield from validate_pull_policy(source.get("pullPolicy"), f"{path}.pullPolicy")
        case _:
            yield from sources.validate_source(name, source, path)


def _validate_iscsi_name(volume: Object, path: str) -> Iterable[FieldError]:
    source, name = volume["iscsi"], volume.get("name") or ""
    if source.get("initiatorName") is not None and len(f"{name}:{source.get('targetPortal', '')}") > 64:
        text = (
            "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters "
            "if iscsi.initiatorName is specified."
        )
        yield invalid_value(f"{path}.name", name, text)


def _validate_csi(source: Object, path: str) -> Iterable[FieldError]:
    yield from sources.validate_csi_driver(source.get("driver") or "", f"{path}.driver")
    secret = source.get("nodePublishSecretRef")
    if secret is None:
        return
    name = secret.get("name") or ""
    if name:
        yield from checks.complaints(f"{path}.name", name, names.subdomain(name))
    else:
        yield required(f"{path}.nodePublishSecretRef.name")


def _validate_ephemeral(volume: Object, pod_name: str, path: str) -> Iterable[FieldError]:
    template = volume["ephemeral"].get("volumeClaimTemplate")
    if template is None:
        yield required(f"{path}.volumeClaimTemplate")
    else:
        yield from claims.validate_claim_template(template, f"{path}.volumeClaimTemplate")
    name = volume.get("name") or ""
    if pod_name and name:
        claim = f"{pod_name}-{name}"
        at = f"{path.removesuffix('.ephemeral')}.name"
        yield from (invalid_value(at, name, f'PVC name "{claim}": {text}') for text in names.subdomain(claim))


def validate_pull_policy(policy: str | None, path: str) -> list[FieldError]:
    if not policy:
        return [required(path)]
    return checks.supported(path, policy, ("Always", "IfNotPresent", "Never"))
