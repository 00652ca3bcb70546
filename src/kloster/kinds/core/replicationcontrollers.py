"""ReplicationControllers: the forerunner of ReplicaSets, with a plain map as its selector.

Selector and labels default to the template's labels. Deleting one orphans its pods unless the request says otherwise.
Source: https://kubernetes.io/docs/concepts/workloads/controllers/replicationcontroller/
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, forbidden_field, invalid_value, not_supported, required
from kloster.kinds import cells as table
from kloster.kinds import checks, defaulting, lifecycle, podtemplate
from kloster.kinds.apps import workloads
from kloster.kinds.strategy import Strategy


def _default(controller: Object) -> None:
    spec = defaulting.struct(controller, "spec")
    template = spec.get("template")
    labels = ((template or {}).get("metadata") or {}).get("labels")
    if labels:
        if not spec.get("selector"):
            spec["selector"] = dict(labels)
        if not controller["metadata"].get("labels"):
            controller["metadata"]["labels"] = dict(labels)
    defaulting.absent(spec, replicas=1)
    podtemplate.default_pod_template(template)


def _validate(controller: Object) -> Iterable[FieldError]:
    spec = controller.get("spec") or {}
    selector, template, at = spec.get("selector") or {}, spec.get("template"), "spec.template"
    yield from checks.nonnegative("spec.minReadySeconds", spec.get("minReadySeconds"))
    if not selector:
        yield required("spec.selector")
    yield from checks.nonnegative("spec.replicas", spec.get("replicas"))
    if template is None:
        yield required(at)
        return
    labels = (template.get("metadata") or {}).get("labels") or {}
    if any(labels.get(key) != value for key, value in selector.items()):
        text = "`selector` does not match template `labels`"
        yield invalid_value(f"{at}.metadata.labels", workloads.shown_labels(spec), text)
    yield from podtemplate.validate_pod_template(template, at)
    pod = template.get("spec") or {}
    if pod.get("restartPolicy") != "Always":
        yield not_supported(f"{at}.spec.restartPolicy", pod.get("restartPolicy", ""), ("Always",))
    if pod.get("activeDeadlineSeconds") is not None:
        text = "activeDeadlineSeconds in ReplicationController is not Supported"
        yield forbidden_field(f"{at}.spec.activeDeadlineSeconds", text)


def _validate_update(new: Object, _old: Object) -> Iterable[FieldError]:
    return _validate(new)  # once more


def _validate_status(new: Object, _old: Object) -> Iterable[FieldError]:
    status = new.get("status") or {}
    parts = ("fullyLabeledReplicas", "readyReplicas", "availableReplicas")
    yield from checks.nonnegative_fields("status", status, "replicas", *parts, "observedGeneration")
    yield from workloads.validate_counts(status, "replicas", *parts)
    yield from workloads.validate_available(status, "readyReplicas")


def _cells(controller: Object, now: float) -> list[Any]:
    spec, status = controller.get("spec") or {}, controller.get("status") or {}
    names, images = table.template_containers(spec)
    return [
        controller["metadata"]["name"],
        spec.get("replicas") or 0,
        status.get("replicas") or 0,
        status.get("readyReplicas") or 0,
        table.age(controller, now),
        names,
        images,
        table.labels(spec.get("selector")),
    ]


STRATEGY = Strategy(
    default=_default,
    prepare_create=lifecycle.clear_status,
    prepare_update=lifecycle.keep_status,
    prepare_status=lifecycle.keep_spec,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    generation=True,
    status=True,
    orphan_by_default=True,
    cells=_cells,
    fields={"status.replicas": lambda controller: str((controller.get("status") or {}).get("replicas") or 0)},
    warn=workloads.warn,
)
