"""What flow schemas and priority levels share: the ones that every cluster must have as they are, and conditions."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, lifecycle, metadata

EXEMPT = "exempt"
CATCH_ALL = "catch-all"


def _group(name: str) -> Object:
    return {"kind": "Group", "group": {"name": name}}


def _everything(*groups: str) -> list[Object]:
    resources = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "clusterScope": True, "namespaces": ["*"]}
    urls = {"verbs": ["*"], "nonResourceURLs": ["*"]}
    subjects = [_group(name) for name in groups]
    return [{"subjects": subjects, "resourceRules": [resources], "nonResourceRules": [urls]}]


SCHEMAS: Mapping[str, Object] = {
    EXEMPT: {
        "priorityLevelConfiguration": {"name": EXEMPT},
        "matchingPrecedence": 1,
        "rules": _everything("system:masters"),
    },
    CATCH_ALL: {
        "priorityLevelConfiguration": {"name": CATCH_ALL},
        "matchingPrecedence": 10000,
        "distinguisherMethod": {"type": "ByUser"},
        "rules": _everything("system:unauthenticated", "system:authenticated"),
    },
}
LEVELS: Mapping[str, Object] = {
    EXEMPT: {"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}},
    CATCH_ALL: {
        "type": "Limited",
        "limited": {"nominalConcurrencyShares": 5, "lendablePercent": 0, "limitResponse": {"type": "Reject"}},
    },
}


_SHAPES: Mapping[str, tuple[str, ...]] = {
    "FlowSchema": ("priorityLevelConfiguration", "matchingPrecedence", "distinguisherMethod", "rules"),
    "rules": ("subjects", "resourceRules", "nonResourceRules"),
    "subjects": ("kind", "user", "group", "serviceAccount"),
    "resourceRules": ("verbs", "apiGroups", "resources", "clusterScope", "namespaces"),
    "nonResourceRules": ("verbs", "nonResourceURLs"),
    "serviceAccount": ("namespace", "name"),
}
_PLAIN: Mapping[str, Any] = {"clusterScope": False}


def shown(value: Any, shape: str = "FlowSchema") -> Any:
    """A flow schema's spec as upstream's internal type is shown: its fields have no JSON names, none is left out."""
    if isinstance(value, list):
        return [shown(item, shape) for item in value]
    if not isinstance(value, dict):
        return value
    fields = _SHAPES.get(shape, tuple(value))
    return {_go_name(name): shown(value.get(name, _PLAIN.get(name)), name) for name in fields}


def _go_name(name: str) -> str:
    return name.replace("api", "API", 1) if name.startswith("api") else name[:1].upper() + name[1:]


def mandatory(path: str, name: str, spec: Object, wanted: Mapping[str, Object]) -> list[FieldError]:
    """The spec of a mandatory object is fixed."""
    if name not in wanted or metadata.same(spec, wanted[name]):
        return []
    return [errors.invalid_value(path, shown(spec), f"spec of '{name}' must equal the fixed value")]


def validate_conditions(obj: Object) -> list[FieldError]:
    found = []
    seen: set[Any] = set()
    for index, condition in enumerate((obj.get("status") or {}).get("conditions") or ()):
        path, kind = f"status.conditions[{index}].type", checks.text(condition.get("type"))
        if kind in seen:
            found.append(errors.duplicate(path, kind))
        seen.add(kind)
        if not kind:
            found.append(errors.required(path))
    return found


def keep_everything_else(new: Object, old: Object) -> None:
    """An update of /status takes spec and all metadata but managedFields and resourceVersion from the stored object."""
    lifecycle.keep_spec(new, old)
    kept = {name: new["metadata"][name] for name in ("managedFields", "resourceVersion") if name in new["metadata"]}
    new["metadata"] = {**copy.deepcopy(old["metadata"]), **kept}
    if "managedFields" not in kept:
        new["metadata"].pop("managedFields", None)
