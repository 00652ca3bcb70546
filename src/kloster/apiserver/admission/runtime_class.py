"""RuntimeClass: what a pod's class adds to it: overhead, and where it can run.

Source: https://kubernetes.io/docs/concepts/containers/runtime-class/
"""

from __future__ import annotations

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import StatusError
from kloster.apiserver.admission.api import CREATE, Attempt, Plugin
from kloster.kinds.metadata import same

_CLASSES = "node.k8s.io/runtimeclasses"


def _mutate(attempt: Attempt) -> None:
    spec = attempt.item["spec"]
    name = spec.get("runtimeClassName")
    if name is None:
        return
    found = attempt.read(_CLASSES, "", name)
    if found is None:
        raise _rejected(attempt, f'RuntimeClass "{name}" not found')
    overhead = (found.get("overhead") or {}).get("podFixed")
    if overhead:
        given = spec.get("overhead")
        if given and not same(given, overhead):
            raise _rejected(attempt, f"Pod's Overhead doesn't match RuntimeClass's defined Overhead for {name}")
        spec["overhead"] = dict(overhead)
    scheduling = found.get("scheduling") or {}
    _select(attempt, spec, scheduling.get("nodeSelector") or {})
    _tolerate(spec, scheduling.get("tolerations") or [])


def _validate(attempt: Attempt) -> None:
    """Overhead is the class's to say, never the pod's alone."""
    spec = attempt.item["spec"]
    name = spec.get("runtimeClassName")
    found = None if name is None else attempt.read(_CLASSES, "", name)
    if spec.get("overhead") is not None and not ((found or {}).get("overhead") or {}).get("podFixed"):
        raise _rejected(attempt, "Pod Overhead set without corresponding RuntimeClass defined Overhead")


def _select(attempt: Attempt, spec: Object, wanted: dict[str, str]) -> None:
    given = spec.get("nodeSelector") or {}
    for key, value in wanted.items():
        if given.get(key, value) != value:
            text = f"conflict: runtimeClass.scheduling.nodeSelector[{key}] = {value}; pod.spec.nodeSelector[{key}] = "
            raise _rejected(attempt, text + given[key])
    if wanted:
        spec["nodeSelector"] = {**given, **wanted}


def _tolerate(spec: Object, wanted: list[Object]) -> None:
    given = spec.get("tolerations") or []
    added = [dict(toleration) for toleration in wanted if not any(same(toleration, known) for known in given)]
    if added:
        spec["tolerations"] = [*given, *added]


def _rejected(attempt: Attempt, text: str) -> StatusError:
    return errors.forbidden("", "pods", attempt.name, f"pod rejected: {text}")


PLUGIN = Plugin(
    name="RuntimeClass",
    operations=frozenset({CREATE}),
    resources=frozenset({"/pods"}),
    mutate=_mutate,
    validate=_validate,
)
