"""ResourceQuotas: how much a namespace may use in all.

Source: https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, invalid_value, required
from kloster.kinds import cells as table
from kloster.kinds import lifecycle, quantity, resources
from kloster.kinds.strategy import Strategy


def _default(quota: Object) -> None:
    status = quota.get("status") or {}
    for amounts in ((quota.get("spec") or {}).get("hard"), status.get("hard"), status.get("used")):
        quantity.round_up_milli(amounts)


_COMPUTE = frozenset({"cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory"})
_SCOPES: dict[str, frozenset[str]] = {
    "Terminating": _COMPUTE | {"pods"},
    "NotTerminating": _COMPUTE | {"pods"},
    "BestEffort": frozenset({"pods"}),
    "NotBestEffort": _COMPUTE | {"pods"},
    "PriorityClass": _COMPUTE | {"pods"},
    "CrossNamespacePodAffinity": _COMPUTE | {"pods"},
    "VolumeAttributesClass": frozenset({"persistentvolumeclaims", "requests.storage"}),
}
"""The resources that each scope can restrict."""

_EXCLUSIVE = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))
_ONLY_EXIST = ("BestEffort", "NotBestEffort", "Terminating", "NotTerminating", "CrossNamespacePodAffinity")
_MUST_EXIST = (
    "must be 'Exists' when scope is any of "
    "ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
    "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity"
)


def _validate(quota: Object) -> Iterable[FieldError]:
    spec = quota.get("spec") or {}
    yield from _validate_amounts(spec.get("hard"), "spec.hard")
    yield from _validate_scopes(spec)
    if spec.get("scopeSelector") is not None:
        yield from _validate_selector(spec, spec["scopeSelector"].get("matchExpressions") or ())


def _validate_amounts(amounts: Object | None, path: str) -> Iterable[FieldError]:
    for name, amount in (amounts or {}).items():
        yield from resources.validate_quota_name(name, f"{path}[{name}]")
        yield from resources.validate_amount(name, amount, f"{path}[{name}]")


def _misapplied(scope: str, spec: Object) -> int:
    """How many of the quota's resources the scope cannot restrict."""
    allowed = _SCOPES.get(scope)
    names = (name for name in spec.get("hard") or () if resources.is_quota_name(name))
    return 0 if allowed is None else sum(name not in allowed for name in names)


def _validate_scopes(spec: Object) -> Iterable[FieldError]:
    scopes, at = spec.get("scopes") or [], "spec.scopes"
    for scope in scopes:
        if scope not in _SCOPES:
            yield invalid_value(at, scopes, "unsupported scope")
        for _ in range(_misapplied(scope, spec)):
            yield invalid_value(at, scopes, "unsupported scope applied to resource")
    for pair in _EXCLUSIVE:
        if set(pair) <= set(scopes):
            yield invalid_value(at, scopes, "conflicting scopes")


def _validate_selector(spec: Object, expressions: Iterable[Object]) -> Iterable[FieldError]:
    at, seen = "spec.scopeSelector.matchExpressions", set()
    for expression in expressions:
        scope, operator = expression.get("scopeName") or "", expression.get("operator") or ""
        values = expression.get("values") or []
        seen.add(scope)
        if scope not in _SCOPES:
            yield invalid_value(f"{at}.scopeName", scope, "unsupported scope")
        for _ in range(_misapplied(scope, spec)):
            yield invalid_value(at, _internal(spec["scopeSelector"]), "unsupported scope applied to resource")
        if scope in _ONLY_EXIST and operator != "Exists":
            yield invalid_value(f"{at}.operator", operator, _MUST_EXIST)
        if operator in ("In", "NotIn"):
            if not values:
                text = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector"
                yield required(f"{at}.values", text)
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                text = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector"
                yield invalid_value(f"{at}.values", values, text)
        else:
            yield invalid_value(f"{at}.operator", operator, "not a valid selector operator")
    for pair in _EXCLUSIVE:
        if set(pair) <= seen:
            yield invalid_value(at, spec.get("scopes"), "conflicting scopes")


def _internal(selector: Object) -> Object:
    """A scope selector as upstream's internal type shows itself."""
    expressions = [
        {
            "ScopeName": expression.get("scopeName", ""),
            "Operator": expression.get("operator", ""),
            "Values": expression.get("values"),
        }
        for expression in selector.get("matchExpressions") or ()
    ]
    return {"MatchExpressions": expressions}


def _validate_update(new: Object, old: Object) -> Iterable[FieldError]:
    scopes = (new.get("spec") or {}).get("scopes") or []
    if set(scopes) != set((old.get("spec") or {}).get("scopes") or ()):
        yield invalid_value("spec.scopes", scopes or None, "field is immutable")


def _validate_status(new: Object, _old: Object) -> Iterable[FieldError]:
    for field in ("hard", "used"):
        yield from _validate_amounts((new.get("status") or {}).get(field), f"status.{field}")


def _cells(quota: Object, now: float) -> list[Any]:
    status = quota.get("status") or {}
    used, hard = status.get("used") or {}, status.get("hard") or {}
    requests: list[str] = []
    limits: list[str] = []
    for name in sorted(hard):
        listed = limits if name.startswith("limits.") else requests
        listed.append(f"{name}: {used.get(name, '0')}/{hard[name]}")
    return [quota["metadata"]["name"], ", ".join(requests), ", ".join(limits), table.age(quota, now)]


def _cells_until_1_32(quota: Object, now: float) -> list[Any]:
    name, requests, limits, age = _cells(quota, now)
    return [name, age, requests, limits]


STRATEGY = Strategy(
    default=_default,
    prepare_create=lifecycle.clear_status,
    prepare_update=lifecycle.keep_status,
    prepare_status=lifecycle.keep_spec,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    status=True,
    returns_deleted=True,
    cells=_cells_until_1_32,
)
CHANGED = {"1.33": replace(STRATEGY, cells=_cells)}
