"""StorageClasses: how volumes are provisioned.

Source: https://kubernetes.io/docs/concepts/storage/storage-classes/
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, defaulting, metadata, names, nodelabels
from kloster.kinds.storage import drivers
from kloster.kinds.strategy import Strategy

_DEFAULT_ANNOTATIONS = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)


def _default(storage_class: Object) -> None:
    defaulting.absent(storage_class, reclaimPolicy="Delete", volumeBindingMode="Immediate")


def _validate(storage_class: Object) -> list[FieldError]:
    found = drivers.validate_provisioner("provisioner", checks.text(storage_class.get("provisioner")))
    found.extend(drivers.validate_parameters("parameters", storage_class.get("parameters")))
    if policy := storage_class.get("reclaimPolicy"):
        found.extend(checks.supported("reclaimPolicy", policy, ["Delete", "Retain"]))
    mode = storage_class.get("volumeBindingMode")
    found.extend(checks.supported("volumeBindingMode", mode, ["Immediate", "WaitForFirstConsumer"]))
    found.extend(_topologies("allowedTopologies", storage_class.get("allowedTopologies") or []))
    return found


_MOST_TOLD = 1000
"""Findings after which a term is not told to be a duplicate any more, once for each that it repeats."""


def _topologies(path: str, terms: list[Object]) -> list[FieldError]:
    found = []
    seen: Counter[frozenset[tuple[str, frozenset[str]]]] = Counter({frozenset(): len(terms)})
    for index, term in enumerate(terms):
        at = f"{path}[{index}].matchLabelExpressions"
        requirements: dict[str, frozenset[str]] = {}
        for number, expression in enumerate(term.get("matchLabelExpressions") or ()):
            found.extend(_topology(f"{at}[{number}]", expression))
            key = checks.text(expression.get("key"))
            if key in requirements:
                found.append(errors.duplicate(f"{at}[{number}].key", key))
            requirements[key] = frozenset(expression.get("values") or ())
        # The list starts with one empty entry for each term, hence a term without requirements is a duplicate.
        content = frozenset(requirements.items())
        found.extend(errors.duplicate(at, "") for _ in range(min(seen[content], max(0, _MOST_TOLD - len(found)))))
        seen[content] += 1
    return found


def _topology(path: str, expression: Object) -> list[FieldError]:
    values, key = expression.get("values") or [], checks.text(expression.get("key"))
    found = [] if values else [errors.required(f"{path}.values")]
    found.extend(errors.duplicate(f"{path}.values[{index}]", values[index]) for index in checks.repeated(values))
    return [*found, *checks.complaints(f"{path}.key", key, names.qualified_name(key))]


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    found = []
    for name, empty in (("parameters", {}), ("provisioner", ""), ("reclaimPolicy", "")):
        if (new.get(name) or empty) != (old.get(name) or empty):
            found.append(errors.forbidden_field(name, f"updates to {name} are forbidden."))
    found.extend(metadata.immutable(new.get("volumeBindingMode"), old.get("volumeBindingMode"), "volumeBindingMode"))
    return found


def _cells(storage_class: Object, now: float) -> list[Any]:
    annotations = storage_class["metadata"].get("annotations") or {}
    is_default = any(annotations.get(name) == "true" for name in _DEFAULT_ANNOTATIONS)
    return [
        storage_class["metadata"]["name"] + (" (default)" if is_default else ""),
        checks.text(storage_class.get("provisioner")),
        storage_class.get("reclaimPolicy") or "Delete",
        storage_class.get("volumeBindingMode") or "Immediate",
        bool(storage_class.get("allowVolumeExpansion")),
        table.age(storage_class, now),
    ]


def _warn(new: Object, _old: Object | None, _minor: int) -> Iterator[str]:
    for index, topology in enumerate(new.get("allowedTopologies") or ()):
        for number, expression in enumerate(topology.get("matchLabelExpressions") or ()):
            text = nodelabels.DEPRECATED.get(expression.get("key", ""))
            if text:
                yield f"allowedTopologies[{index}].matchLabelExpressions[{number}].key: {text}"


STRATEGY = Strategy(
    default=_default,
    validate=_validate,
    validate_update=_validate_update,
    returns_deleted=True,
    cells=_cells,
    warn=_warn,
)
