"""Priority: a pod's PriorityClass becomes its number; the one global default class applies where none is named.

Source: https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/
"""

from __future__ import annotations

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import StatusError
from kloster.apiserver.admission.api import CREATE, UPDATE, Attempt, Plugin

_LOWER = "PreemptLowerPriority"
_CLASSES = "scheduling.k8s.io/priorityclasses"


def _mutate(attempt: Attempt) -> None:
    spec = attempt.item["spec"]
    if attempt.operation == UPDATE:
        before = (attempt.old or {}).get("spec") or {}
        for name in ("priority", "preemptionPolicy"):
            if spec.get(name) is None and before.get(name) is not None:
                spec[name] = before[name]
        return
    name = spec.get("priorityClassName")
    if name:
        found = attempt.read(_CLASSES, "", name)
        if found is None:
            raise _forbidden(attempt, f"no PriorityClass with name {name} was found")
    else:
        found = _default(attempt)
        if found is not None:
            spec["priorityClassName"] = found["metadata"]["name"]
    priority = 0 if found is None else found.get("value") or 0
    given = spec.get("priority")
    if given is not None and given != priority:
        raise _forbidden(
            attempt,
            f"the integer value of priority ({given}) must not be provided in pod spec; "
            f"priority admission controller computed {priority} from the given PriorityClass name",
        )
    spec["priority"] = priority
    policy = _LOWER if found is None else found.get("preemptionPolicy")
    if policy is None:
        return
    given = spec.get("preemptionPolicy")
    if given is not None and given != policy:
        raise _forbidden(
            attempt,
            f"the string value of PreemptionPolicy ({given}) must not be provided in pod spec; "
            f"priority admission controller computed {policy} from the given PriorityClass name",
        )
    spec["preemptionPolicy"] = policy


def _forbidden(attempt: Attempt, text: str) -> StatusError:
    return errors.forbidden("", "pods", attempt.name, text)


def _default(attempt: Attempt) -> Object | None:
    """The global default class; of several, the one with the lowest value."""
    classes = [known for known in attempt.scan(_CLASSES) if known.get("globalDefault")]
    return min(classes, key=lambda known: known.get("value") or 0) if classes else None


def _validate_class(attempt: Attempt) -> None:
    """Only one class may be the global default."""
    if not attempt.item.get("globalDefault"):
        return
    for known in attempt.scan(_CLASSES):
        name = known["metadata"]["name"]
        if known.get("globalDefault") and name != attempt.name:
            text = f"PriorityClass {name} is already marked as default. Only one default can exist"
            raise errors.forbidden("scheduling.k8s.io", "priorityclasses", attempt.name, text)


PODS = Plugin(name="Priority", operations=frozenset({CREATE, UPDATE}), resources=frozenset({"/pods"}), mutate=_mutate)
CLASSES = Plugin(
    name="Priority",
    operations=frozenset({CREATE, UPDATE}),
    resources=frozenset({_CLASSES}),
    validate=_validate_class,
)
