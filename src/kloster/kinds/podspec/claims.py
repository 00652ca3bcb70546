"""The spec of a PersistentVolumeClaim, which also stands inside ephemeral volumes and StatefulSets.

Source: https://kubernetes.io/docs/concepts/storage/persistent-volumes/#persistentvolumeclaims
"""

from __future__ import annotations

from collections.abc import Iterable

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, forbidden_field, invalid_value, required
from kloster.kinds import checks, metadata, names, resources, selector

ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")
VOLUME_MODES = ("Block", "Filesystem")


def validate_claim_spec(spec: Object, path: str) -> Iterable[FieldError]:
    modes = spec.get("accessModes") or ()
    if not modes:
        yield required(f"{path}.accessModes", "at least 1 access mode is required")
    yield from selector.validate(spec.get("selector"), f"{path}.selector")
    for mode in modes:
        yield from checks.supported(f"{path}.accessModes", mode, ACCESS_MODES)
    if "ReadWriteOncePod" in modes and set(modes) & set(ACCESS_MODES) != {"ReadWriteOncePod"}:
        yield forbidden_field(f"{path}.accessModes", "may not use ReadWriteOncePod with other access modes")
    yield from _validate_storage(spec, f"{path}.resources[storage]")
    if spec.get("storageClassName"):
        name = spec["storageClassName"]
        yield from checks.complaints(f"{path}.storageClassName", name, names.subdomain(name))
    if spec.get("volumeMode") is not None:
        yield from checks.supported(f"{path}.volumeMode", spec["volumeMode"], VOLUME_MODES)
    yield from _validate_data_sources(spec, path)
    if spec.get("volumeAttributesClassName"):
        name = spec["volumeAttributesClassName"]
        yield from checks.complaints(f"{path}.volumeAttributesClassName", name, names.subdomain(name))


def _validate_storage(spec: Object, path: str) -> Iterable[FieldError]:
    storage = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    if storage is None:
        yield required(path)
    else:
        yield from resources.positive(storage, path) or resources.validate_amount("storage", storage, path)


def _validate_data_sources(spec: Object, path: str) -> Iterable[FieldError]:
    source, reference = spec.get("dataSource"), spec.get("dataSourceRef")
    for field, value in (("dataSource", source), ("dataSourceRef", reference)):
        if value is not None:
            yield from _validate_data_source(value, f"{path}.{field}")
    if source is None or reference is None:
        return
    if reference.get("namespace"):
        text = "may not be specified when dataSourceRef.namespace is specified"
        yield invalid_value(path, {}, text)  # upstream shows a path there, which has no form in JSON
    elif any(source.get(name) != reference.get(name) for name in ("apiGroup", "kind", "name")):
        yield invalid_value(path, {}, "must match dataSourceRef")


def _validate_data_source(source: Object, path: str) -> Iterable[FieldError]:
    for field in ("name", "kind"):
        if not source.get(field):
            yield required(f"{path}.{field}")
    group = source.get("apiGroup") or ""
    if not group and source.get("kind") != "PersistentVolumeClaim":
        yield invalid_value(
            path, source.get("kind") or "", "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
        )
    if group:
        yield from checks.complaints(f"{path}.apiGroup", group, names.subdomain(group))
    if source.get("namespace"):
        yield from checks.complaints(f"{path}.namespace", source["namespace"], names.label(source["namespace"]))


def validate_claim_template(template: Object, path: str) -> Iterable[FieldError]:
    """A template, whose metadata may only hold labels and annotations."""
    meta = template.get("metadata") or {}
    yield from metadata.validate_annotations(meta.get("annotations"), f"{path}.metadata.annotations")
    yield from metadata.validate_labels(meta.get("labels"), f"{path}.metadata.labels")
    for field, value in meta.items():
        if field not in ("annotations", "labels") and value not in (None, "", 0, [], {}):
            yield forbidden_field(f"{path}.metadata.{field}", "cannot be set")
    yield from validate_claim_spec(template.get("spec") or {}, f"{path}.spec")
