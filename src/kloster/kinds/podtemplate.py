"""The pod spec for kinds that contain one: pods, replication controllers, and the kinds of apps and batch.

    default_pod_spec(spec)              defaults of any pod spec, in place
    default_pod_template(template)      defaults of a template (metadata is left alone)
    validate_pod_template(template, path)
    validate_pod_spec(spec, path)

The themes live in `kloster.kinds.podspec`.
"""

from __future__ import annotations

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, forbidden_field
from kloster.kinds import metadata
from kloster.kinds.podspec import legacy, validation
from kloster.kinds.podspec.defaults import default_host_ports, default_pod_spec

__all__ = [
    "default_host_ports",
    "default_pod_spec",
    "default_pod_template",
    "validate_pod_spec",
    "validate_pod_template",
]


def default_pod_template(template: Object | None) -> None:
    """Defaults of a template's spec, in place."""
    if template is not None:
        default_pod_spec(template.setdefault("spec", {}))


def validate_pod_spec(spec: Object, path: str) -> list[FieldError]:
    """The findings about a pod spec that is not that of a Pod."""
    return list(validation.validate_spec(spec, path))


def validate_pod_template(template: Object, path: str) -> list[FieldError]:
    """The findings about a template: labels, annotations, spec. `path` is e.g. ``spec.template``."""
    meta, spec = template.get("metadata") or {}, template.get("spec") or {}
    found = metadata.validate_labels(meta.get("labels"), f"{path}.labels")
    found.extend(metadata.validate_annotations(meta.get("annotations"), f"{path}.annotations"))
    found.extend(legacy.validate_annotations(meta.get("annotations"), spec, f"{path}.annotations"))
    found.extend(validate_pod_spec(spec, f"{path}.spec"))
    found.extend(legacy.validate_match(meta.get("annotations"), spec, f"{path}.spec"))
    if spec.get("ephemeralContainers"):
        text = "ephemeral containers not allowed in pod template"
        found.append(forbidden_field(f"{path}.spec.ephemeralContainers", text))
    return found
