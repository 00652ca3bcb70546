"""PodTemplates: a template on its own, which ControllerRevisions and operators refer to.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-template-v1/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import defaulting, lifecycle, podtemplate
from kloster.kinds.podspec import warnings
from kloster.kinds.strategy import Strategy


def _default(template: Object) -> None:
    podtemplate.default_pod_template(defaulting.struct(template, "template"))


def _validate(template: Object) -> list[FieldError]:
    return podtemplate.validate_pod_template(template.get("template") or {}, "template")


def _cells(template: Object, _now: float) -> list[Any]:
    names, images = table.template_containers(template)
    labels = ((template.get("template") or {}).get("metadata") or {}).get("labels")
    return [template["metadata"]["name"], names, images, table.labels(labels)]


def _warn(new: Object, old: Object | None, minor: int) -> Iterator[str]:
    if lifecycle.is_changed(new, old):
        yield from warnings.of_template(new.get("template"), "template", minor)


STRATEGY = Strategy(
    default=_default,
    validate=_validate,
    generation=True,
    returns_deleted=True,
    cells=_cells,
    warn=_warn,
)
