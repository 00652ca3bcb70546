"""ReplicationControllers: the forerunner of ReplicaSets, with a plain map as its selector.

Selector and labels default to the template's labels. Deleting one orphans its pods unless the request says otherwise.
Source: https://kubernetes.io/docs/concepts/workloads/controllers/replicationcontroller/
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object
from kloster.kinds import cells as table
from kloster.kinds import defaulting, lifecycle, podtemplate
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
    generation=True,
    status=True,
    orphan_by_default=True,
    cells=_cells,
    fields={"status.replicas": lambda controller: str((controller.get("status") or {}).get("replicas") or 0)},
)
