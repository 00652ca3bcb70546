"""RuntimeClasses: which handler of the container runtime runs a pod.

Source: https://kubernetes.io/docs/concepts/containers/runtime-class/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, metadata, names, nodelabels
from kloster.kinds.podspec import requirements
from kloster.kinds.podspec import scheduling as pod_scheduling
from kloster.kinds.strategy import Strategy


def _validate(runtime: Object) -> list[FieldError]:
    handler = checks.text(runtime.get("handler"))
    found = checks.complaints("handler", handler, names.label(handler))
    if (overhead := runtime.get("overhead")) is not None:
        limits = {"limits": overhead.get("podFixed")}
        found.extend(requirements.validate_resources(limits, "overhead"))
    scheduling = runtime.get("scheduling") or {}
    found.extend(metadata.validate_labels(scheduling.get("nodeSelector"), "scheduling.nodeSelector"))
    found.extend(_tolerations(scheduling.get("tolerations"), "scheduling.tolerations"))
    return found


def _tolerations(tolerations: list[Object] | None, path: str) -> list[FieldError]:
    # Upstream appends the name twice here, so findings about one toleration have this odd path.
    found = pod_scheduling.validate_tolerations(tolerations, f"{path}.tolerations")
    seen = set()
    for index, item in enumerate(tolerations or ()):
        key = tuple(checks.text(item.get(name)) for name in ("key", "operator", "value", "effect"))
        if key in seen:
            shown = dict(zip(("Key", "Operator", "Value", "Effect"), key, strict=True))
            seconds = item.get("tolerationSeconds")
            found.append(errors.duplicate(f"{path}[{index}]", {**shown, "TolerationSeconds": seconds}))
        seen.add(key)
    return found


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    return metadata.immutable(new.get("handler"), old.get("handler"), "handler")


def _cells(runtime: Object, now: float) -> list[Any]:
    return [runtime["metadata"]["name"], checks.text(runtime.get("handler")), table.age(runtime, now)]


def _warn(new: Object, _old: Object | None, _minor: int) -> Iterator[str]:
    for key in (new.get("scheduling") or {}).get("nodeSelector") or {}:
        if key in nodelabels.DEPRECATED:
            yield f"scheduling.nodeSelector: {nodelabels.DEPRECATED[key]}"


STRATEGY = Strategy(
    validate=_validate,
    validate_update=_validate_update,
    create_on_update=True,
    unconditional_update=False,
    cells=_cells,
    warn=_warn,
)
