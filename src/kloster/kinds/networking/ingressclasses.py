"""IngressClasses: which controller implements an ingress, and with which parameters."""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, defaulting, lifecycle, metadata, names
from kloster.kinds.networking import references
from kloster.kinds.strategy import Strategy

_LONGEST_CONTROLLER = 250


def _default(ingress_class: Object) -> None:
    parameters = (ingress_class.get("spec") or {}).get("parameters")
    if parameters is not None:
        defaulting.absent(parameters, scope="Cluster")


def _validate(ingress_class: Object) -> list[FieldError]:
    return _validate_spec(ingress_class.get("spec") or {}) if lifecycle.is_new(ingress_class) else []


def _validate_spec(spec: Object) -> list[FieldError]:
    controller, parameters = checks.text(spec.get("controller")), spec.get("parameters")
    found = []
    if len(controller.encode()) > _LONGEST_CONTROLLER:
        found.append(errors.too_long("spec.controller", _LONGEST_CONTROLLER))
    found.extend(checks.domain_prefixed_path("spec.controller", controller))
    if parameters is not None:
        found.extend(references.validate("spec.parameters", parameters))
        found.extend(_scope("spec.parameters", parameters))
    return found


def _scope(path: str, parameters: Object) -> list[FieldError]:
    scope, namespace = parameters.get("scope"), parameters.get("namespace")
    if scope == "Namespace":
        if namespace is None:
            return [errors.required(f"{path}.namespace", "`parameters.scope` is set to 'Namespace'")]
        return checks.complaints(f"{path}.namespace", namespace, names.label(namespace))
    if scope == "Cluster":
        if namespace is None:
            return []
        return [errors.forbidden_field(f"{path}.namespace", "`parameters.scope` is set to 'Cluster'")]
    return [errors.not_supported(f"{path}.scope", scope, ["Cluster", "Namespace"])]


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    # Upstream reports what has changed before what is wrong.
    now, before = (checks.text((each.get("spec") or {}).get("controller")) for each in (new, old))
    return [*metadata.immutable(now, before, "spec.controller"), *_validate_spec(new.get("spec") or {})]


def _cells(ingress_class: Object, now: float) -> list[Any]:
    spec = ingress_class.get("spec") or {}
    shown = "<none>"
    if (parameters := spec.get("parameters")) is not None:
        group = parameters.get("apiGroup")
        kind = checks.text(parameters.get("kind")) + ("" if group is None else f".{group}")
        shown = f"{kind}/{checks.text(parameters.get('name'))}"
    controller = checks.text(spec.get("controller"))
    return [ingress_class["metadata"]["name"], controller, shown, table.age(ingress_class, now)]


STRATEGY = Strategy(
    default=_default,
    validate=_validate,
    validate_update=_validate_update,
    generation=True,
    cells=_cells,
)
