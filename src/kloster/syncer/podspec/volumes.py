"""Volumes: references are renamed, the service-account token becomes a Secret, the rest is an allow-list of sources."""

from __future__ import annotations

from kloster.apimachinery import Object
from kloster.syncer.names import ANNOTATIONS, LABELS
from kloster.syncer.podspec.containers import field_reference, virtual_value
from kloster.syncer.translator import Refused, World

UNCHANGED = ("emptyDir", "hostPath", "nfs", "image", "gitRepo")


def token_secret_name(world: World, virtual: Object) -> str:
    """The host Secret that holds a pod's service-account tokens."""
    metadata = virtual["metadata"]
    return world.tenancy.token_name(metadata["name"], metadata["namespace"], metadata["uid"])


def translate(world: World, virtual: Object) -> list[Object]:
    """The host's volumes."""
    return [_volume(world, virtual, one) for one in virtual["spec"].get("volumes") or ()]


def _volume(world: World, virtual: Object, volume: Object) -> Object:
    namespace = virtual["metadata"]["namespace"]
    name = volume["name"]
    for field in UNCHANGED:
        if field in volume:
            return {"name": name, field: volume[field]}
    if "configMap" in volume:
        source = volume["configMap"]
        renamed = world.tenancy.name(source.get("name", ""), namespace)
        return {"name": name, "configMap": {**source, "name": renamed}}
    if "secret" in volume:
        source = volume["secret"]
        renamed = world.tenancy.name(source.get("secretName", ""), namespace)
        return {"name": name, "secret": {**source, "secretName": renamed}}
    if "persistentVolumeClaim" in volume:
        source = volume["persistentVolumeClaim"]
        renamed = world.tenancy.name(source["claimName"], namespace)
        return {"name": name, "persistentVolumeClaim": {**source, "claimName": renamed}}
    if "ephemeral" in volume:
        claim = f"{virtual['metadata']['name']}-{name}"
        return {"name": name, "persistentVolumeClaim": {"claimName": world.tenancy.name(claim, namespace)}}
    if "downwardAPI" in volume:
        return {"name": name, "downwardAPI": _downward(virtual, volume["downwardAPI"])}
    if "projected" in volume:
        return {"name": name, "projected": _projected(world, virtual, name, volume["projected"])}
    kinds = ", ".join(sorted(set(volume) - {"name"}))
    raise Refused(
        f'volume "{name}": a volume of type {kinds} does not cross to the host; use a persistent volume claim, '
        "emptyDir, configMap, secret, projected or downwardAPI"
    )


def _downward(virtual: Object, source: Object) -> Object:
    items = [_downward_item(virtual, one) for one in source.get("items") or ()]
    return {**source, "items": items}


def _downward_item(virtual: Object, item: Object) -> Object:
    reference = item.get("fieldRef")
    if not reference:
        return item
    path = reference["fieldPath"]
    if path == "metadata.labels":
        return {**item, "fieldRef": {**reference, "fieldPath": f"metadata.annotations['{LABELS}']"}}
    if path == "metadata.annotations":
        return {**item, "fieldRef": {**reference, "fieldPath": f"metadata.annotations['{ANNOTATIONS}']"}}
    if virtual_value(virtual, path) is not None:
        raise Refused(
            f"downwardAPI volume file {item['path']}: single labels and annotations are supported in env only"
        )
    return {**item, "fieldRef": field_reference(reference)}


def _projected(world: World, virtual: Object, volume: str, source: Object) -> Object:
    namespace = virtual["metadata"]["namespace"]
    sources: list[Object] = []
    for position, one in enumerate(source.get("sources") or ()):
        if "serviceAccountToken" in one:
            token = one["serviceAccountToken"]
            item = {"key": token_key(volume, position), "path": token["path"]}
            sources.append({"secret": {"name": token_secret_name(world, virtual), "items": [item]}})
        elif "configMap" in one or "secret" in one:
            field = "configMap" if "configMap" in one else "secret"
            renamed = world.tenancy.name(one[field].get("name", ""), namespace)
            sources.append({field: {**one[field], "name": renamed}})
        elif "downwardAPI" in one:
            sources.append({"downwardAPI": _downward(virtual, one["downwardAPI"])})
        else:
            kinds = ", ".join(sorted(one))
            raise Refused(f'volume "{volume}": a projected source of type {kinds} does not cross to the host')
    return {**{key: value for key, value in source.items() if key != "sources"}, "sources": sources}


def token_key(volume: str, position: int) -> str:
    """The key of one projected token in the pod's token Secret."""
    return f"{volume}-{position}"


def projected_tokens(virtual: Object) -> list[tuple[str, Object]]:
    """(key, serviceAccountToken source) of every token that the pod asks for."""
    found: list[tuple[str, Object]] = []
    for volume in virtual["spec"].get("volumes") or ():
        for position, one in enumerate((volume.get("projected") or {}).get("sources") or ()):
            if "serviceAccountToken" in one:
                found.append((token_key(volume["name"], position), one["serviceAccountToken"]))
    return found
