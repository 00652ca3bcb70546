"""What flow schemas and priority levels share: the ones that every cluster must have as they are, and conditions."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, internal, lifecycle, metadata
from kloster.kinds.internal import Pointer

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


_NAMED = Pointer({"name": ""})
FLOW_SCHEMA: Mapping[str, Any] = {
    "priorityLevelConfiguration": {"name": ""},
    "matchingPrecedence": 0,
    "distinguisherMethod": Pointer({"type": ""}),
    "rules": [
        {
            "subjects": [
                {
                    "kind": "",
                    "user": _NAMED,
                    "group": _NAMED,
                    "serviceAccount": Pointer({"namespace": "", "name": ""}),
                }
            ],
            "resourceRules": [{"verbs": [], "apiGroups": [], "resources": [], "clusterScope": False, "namespaces": []}],
            "nonResourceRules": [{"verbs": [], "nonResourceURLs": []}],
        }
    ],
}
LEVEL: Mapping[str, Any] = {
    "type": "",
    "limited": Pointer(
        {
            "nominalConcurrencyShares": 0,
            "limitResponse": {
                "type": "",
                "queuing": Pointer({"queues": 0, "handSize": 0, "queueLengthLimit": 0}),
            },
            "lendablePercent": None,
            "borrowingLimitPercent": None,
        }
    ),
    "exempt": Pointer({"nominalConcurrencyShares": None, "lendablePercent": None}),
}


def mandatory(
    path: str, name: str, spec: Object, wanted: Mapping[str, Object], shape: Mapping[str, Any]
) -> list[FieldError]:
    """The spec of a mandatory object is fixed."""
    if name not in wanted or metadata.same(spec, wanted[name]):
        return []
    return [errors.invalid_value(path, internal.shown(spec, shape), f"spec of '{name}' must equal the fixed value")]


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


def validate_status(new: Object, _old: Object) -> list[FieldError]:
    return validate_conditions(new)


def keep_everything_else(new: Object, old: Object) -> None:
    """An update of /status takes spec and all metadata but managedFields and resourceVersion from the stored object."""
    lifecycle.keep_spec(new, old)
    kept = {name: new["metadata"][name] for name in ("managedFields", "resourceVersion") if name in new["metadata"]}
    new["metadata"] = {**copy.deepcopy(old["metadata"]), **kept}
    if "managedFields" not in kept:
        new["metadata"].pop("managedFields", None)
