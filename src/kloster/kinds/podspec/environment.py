"""Environment variables and where their values come from.

Source: https://kubernetes.io/docs/tasks/inject-data-application/
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, invalid_value, not_supported, required
from kloster.apimachinery.quantity import ZERO
from kloster.kinds import checks, names, quantity

ENVIRONMENT_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
VOLUME_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_KNOWN_FIELDS = {*ENVIRONMENT_FIELDS, *VOLUME_FIELDS, "spec.restartPolicy", "status.phase", "spec.schedulerName"}

_RESOURCE_FIELDS = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_HUGE_PAGES = ("limits.hugepages-", "requests.hugepages-")
_SUBSCRIPT = re.compile(r"(.+)\['(.*)'\]", re.DOTALL).fullmatch
_SIZES = ("1", *(f"1{unit}" for unit in ("k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")))
_DIVISORS = {"cpu": ("1m", "1"), "memory": _SIZES, "ephemeral-storage": _SIZES}
_DIVISOR_NAMES = {"cpu": "cpu", "memory": "memory", "ephemeral-storage": "local ephemeral storage"}


def validate_environment(variables: Sequence[Object] | None, path: str) -> Iterable[FieldError]:
    for index, variable in enumerate(variables or ()):
        at, name = f"{path}[{index}]", variable.get("name") or ""
        if name:
            yield from checks.complaints(f"{at}.name", name, names.environment_variable(name))
        else:
            yield required(f"{at}.name")
        if variable.get("valueFrom") is not None:
            yield from _validate_source(variable["valueFrom"], variable.get("value") or "", f"{at}.valueFrom")


def _validate_source(source: Object, value: str, path: str) -> Iterable[FieldError]:
    count = 0
    for field, check in (
        ("fieldRef", lambda ref, at: validate_field_ref(ref, ENVIRONMENT_FIELDS, at)),
        ("resourceFieldRef", lambda ref, at: validate_resource_ref(ref, at, volume=False)),
        ("configMapKeyRef", _validate_key_ref),
        ("secretKeyRef", _validate_key_ref),
    ):
        if source.get(field) is not None:
            count += 1
            yield from check(source[field], f"{path}.{field}")
    if not count:
        text = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
        yield invalid_value(path, "", text)
    elif value:
        yield invalid_value(path, "", "may not be specified when `value` is not empty")
    elif count > 1:
        yield invalid_value(path, "", "may not have more than one field specified at a time")


def _validate_key_ref(ref: Object, path: str) -> Iterable[FieldError]:
    name, key = ref.get("name") or "", ref.get("key") or ""
    yield from checks.complaints(f"{path}.name", name, names.subdomain(name))
    if key:
        yield from checks.complaints(f"{path}.key", key, names.config_key(key))
    else:
        yield required(f"{path}.key")


def validate_field_ref(ref: Object, allowed: Collection[str], path: str) -> Iterable[FieldError]:
    """A reference to a field of the pod, e.g. ``metadata.labels['app']``."""
    version, field = ref.get("apiVersion") or "", ref.get("fieldPath") or ""
    if not version:
        yield required(f"{path}.apiVersion")
        return
    if not field:
        yield required(f"{path}.fieldPath")
        return
    match = _SUBSCRIPT(field)
    plain = match[1] if match else field
    problem = _conversion_problem(version, field, plain, subscripted=match is not None)
    if problem:
        yield invalid_value(f"{path}.fieldPath", field, f"error converting fieldPath: {problem}")
    elif match:
        key = match[2].lower() if plain == "metadata.annotations" else match[2]
        yield from checks.complaints(path, key, names.qualified_name(key))
    else:
        if field == "spec.host":
            field = "spec.nodeName"
        if field not in allowed:
            yield not_supported(f"{path}.fieldPath", field, sorted(allowed))


def _conversion_problem(version: str, field: str, plain: str, *, subscripted: bool) -> str:
    if version != "v1":
        return f"unsupported pod version: {version}"
    if subscripted:
        if plain in ("metadata.annotations", "metadata.labels"):
            return ""
        return f"field label does not support subscript: {field}"
    if field in _KNOWN_FIELDS or field == "spec.host":
        return ""
    return f"field label not supported: {field}"


def validate_resource_ref(ref: Object, path: str, *, volume: bool) -> Iterable[FieldError]:
    """A reference to a container's request or limit."""
    resource = ref.get("resource") or ""
    if volume and not ref.get("containerName"):
        yield required(f"{path}.containerName")
    elif not resource:
        yield required(f"{path}.resource")
    elif resource not in _RESOURCE_FIELDS and not resource.startswith(_HUGE_PAGES):
        yield not_supported(f"{path}.resource", resource, _RESOURCE_FIELDS)
    divisor = quantity.parse(ref.get("divisor", "0"))
    if divisor == ZERO:
        return
    kind = resource.partition(".")[2]
    if resource.startswith(_HUGE_PAGES):
        allowed, name = _SIZES, "hugepages"
    elif resource in _RESOURCE_FIELDS:
        allowed, name = _DIVISORS[kind], _DIVISOR_NAMES[kind]
    else:
        return
    if divisor.text not in allowed:
        listed = "1m and 1" if kind == "cpu" else ", ".join(_SIZES)
        yield invalid_value(
            f"{path}.divisor", resource, f"only divisor's values {listed} are supported with the {name} resource"
        )


def validate_environment_from(sources: Sequence[Object] | None, path: str) -> Iterable[FieldError]:
    for index, source in enumerate(sources or ()):
        at, prefix = f"{path}[{index}]", source.get("prefix") or ""
        if prefix:
            yield from checks.complaints(f"{at}.prefix", prefix, names.environment_variable(prefix))
        count = 0
        for field in ("configMapRef", "secretRef"):
            ref = source.get(field)
            if ref is None:
                continue
            count += 1
            name = ref.get("name") or ""
            if name:  # upstream checks it as a prefix
                texts = names.object_name("subdomain", name, prefix=True)
                yield from checks.complaints(f"{at}.{field}.name", name, texts)
            else:
                yield required(f"{at}.{field}.name")
        if not count:
            yield invalid_value(path, "", "must specify one of: `configMapRef` or `secretRef`")
        elif count > 1:
            yield invalid_value(path, "", "may not have more than one field specified at a time")
