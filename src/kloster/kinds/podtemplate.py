"""The pod spec for kinds that contain one: pods, replication controllers, and the kinds of apps and batch.

    default_pod_spec(spec)              defaults of any pod spec, in place
    default_pod_template(template)      defaults of a template (metadata is left alone)
    validate_pod_template(template, path)
    validate_pod_spec(spec, path, metadata)

The themes live in `kloster.kinds.podspec`.
"""

from __future__ import annotations

from kloster.apimachinery import Object
from kloster.kinds.podspec.defaults import default_host_ports, default_pod_spec

__all__ = ["default_host_ports", "default_pod_spec", "default_pod_template"]


def default_pod_template(template: Object | None) -> None:
    """Defaults of a template's spec, in place."""
    if template is not None:
        default_pod_spec(template.setdefault("spec", {}))
