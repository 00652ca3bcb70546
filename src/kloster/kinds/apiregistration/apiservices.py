"""APIServices: which server answers for a group and version; one without a service is answered here.

Source: https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/
"""

from __future__ import annotations

import base64
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, defaulting, lifecycle, names
from kloster.kinds.strategy import Strategy

_META_OF_STATUS = ("labels", "annotations", "finalizers", "ownerReferences")


def _default(service: Object) -> None:
    if (ref := (service.get("spec") or {}).get("service")) is not None:
        defaulting.absent(ref, port=443)


def _prepare_create(service: Object) -> None:
    """What is served locally is available at once; the condition's time is the object's creation."""
    lifecycle.clear_status(service)
    if (service.get("spec") or {}).get("service") is None:
        condition = {
            "type": "Available",
            "status": "True",
            "lastTransitionTime": service["metadata"].get("creationTimestamp"),
            "reason": "Local",
            "message": "Local APIServices are always available",
        }
        service["status"] = {"conditions": [condition]}


def _prepare_status(new: Object, old: Object) -> None:
    lifecycle.keep_spec(new, old)
    for name in _META_OF_STATUS:
        lifecycle.restore(new["metadata"], old["metadata"], name)


def _validate(service: Object) -> list[FieldError]:
    spec = service.get("spec") or {}
    group, version = checks.text(spec.get("group")), checks.text(spec.get("version"))
    found = _name(checks.text(service["metadata"].get("name")), f"{version}.{group}")
    if not group and version != "v1":
        found.append(errors.required("spec.group", "only v1 may have an empty group and it better be legacy kube"))
    if group:
        found.extend(checks.complaints("spec.group", group, names.subdomain(group)))
    found.extend(checks.complaints("spec.version", version, names.label_1035(version)))
    for name, limit in (("groupPriorityMinimum", 20000), ("versionPriority", 1000)):
        value = spec.get(name) or 0
        if not 0 < value <= limit:
            found.append(errors.invalid_value(f"spec.{name}", value, f"must be positive and less than {limit}"))
    return [*found, *(_local(spec) if spec.get("service") is None else _remote(spec))]


def _name(name: str, wanted: str) -> list[FieldError]:
    if name == wanted or names.path_segment(name) or not name:
        return []
    text = f'must be `spec.version+"."+spec.group`: "{wanted}"'
    return [errors.invalid_value("metadata.name", name, text)]


def _local(spec: Object) -> list[FieldError]:
    found = []
    if bundle := spec.get("caBundle"):
        size = len(base64.b64decode(bundle))
        found.append(
            errors.invalid_value("spec.caBundle", f"{size} bytes", "local APIServices may not have a caBundle")
        )
    if spec.get("insecureSkipTLSVerify"):
        text = "local APIServices may not have insecureSkipTLSVerify"
        found.append(errors.invalid_value("spec.insecureSkipTLSVerify", True, text))
    return found


def _remote(spec: Object) -> list[FieldError]:
    ref = spec["service"]
    found = [errors.required(f"spec.service.{name}") for name in ("namespace", "name") if not ref.get(name)]
    port = ref.get("port") or 0
    if texts := names.port(port):
        found.append(errors.invalid_value("spec.service.port", port, f"port is not valid: {', '.join(texts)}"))
    if spec.get("insecureSkipTLSVerify") and spec.get("caBundle"):
        text = "may not be true if caBundle is present"
        found.append(errors.invalid_value("spec.insecureSkipTLSVerify", True, text))
    return found


def _validate_status(new: Object, _old: Object) -> list[FieldError]:
    found = []
    for index, condition in enumerate((new.get("status") or {}).get("conditions") or ()):
        path, status = f"status.conditions[{index}].status", checks.text(condition.get("status"))
        found.extend(checks.supported(path, status, ["True", "False", "Unknown"]))
    return found


def _cells(service: Object, now: float) -> list[Any]:
    ref = (service.get("spec") or {}).get("service")
    shown = "Local"
    if ref is not None:
        shown = f"{checks.text(ref.get('namespace'))}/{checks.text(ref.get('name'))}"
    return [service["metadata"]["name"], shown, _available(service), table.age(service, now)]


def _available(service: Object) -> str:
    for condition in (service.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Available":
            status, reason = checks.text(condition.get("status")), condition.get("reason")
            return f"{status} ({reason})" if status != "True" and reason else status
    return "Unknown"


STRATEGY = Strategy(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=lifecycle.keep_status,
    prepare_status=_prepare_status,
    validate=_validate,
    validate_status=_validate_status,
    name="path",
    status=True,
    unconditional_update=False,
    cells=_cells,
)
