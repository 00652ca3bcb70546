"""Ingresses: HTTP routes from outside to services.

Source: https://kubernetes.io/docs/concepts/services-networking/ingress/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, lifecycle, names
from kloster.kinds.networking import references
from kloster.kinds.strategy import Strategy

_CLASS_ANNOTATION = "kubernetes.io/ingress.class"
_BAD_SEQUENCES = ("//", "/./", "/../", "%2f", "%2F")
_BAD_SUFFIXES = ("/..", "/.")
_NO_ADDRESS = "must be a DNS name, not an IP address"


def _validate(ingress: Object) -> list[FieldError]:
    spec = ingress.get("spec") or {}
    rules, backend, name = spec.get("rules"), spec.get("defaultBackend"), spec.get("ingressClassName")
    found = []
    if not rules and backend is None:
        text = "either `defaultBackend` or `rules` must be specified"
        found.append(errors.invalid_value("spec", rules, text))
    if backend is not None:
        found.extend(_backend("spec.defaultBackend", backend))
    for index, rule in enumerate(rules or ()):
        found.extend(_rule(f"spec.rules[{index}]", rule))
    for index, tls in enumerate(spec.get("tls") or ()):
        found.extend(_tls(f"spec.tls[{index}]", tls))
    if name is not None:
        found.extend(checks.complaints("spec.ingressClassName", name, names.subdomain(name)))
    return found


def _validate_create(ingress: Object) -> list[FieldError]:
    found = _validate(ingress)
    annotation = (ingress["metadata"].get("annotations") or {}).get(_CLASS_ANNOTATION)
    name = (ingress.get("spec") or {}).get("ingressClassName")
    if lifecycle.is_new(ingress) and annotation is not None and name not in (None, annotation):
        text = "must match `ingressClassName` when both are specified"
        found.append(errors.invalid_value(f"annotations.{_CLASS_ANNOTATION}", annotation, text))
    return found


def _host(path: str, host: str) -> list[FieldError]:
    check = names.wildcard_subdomain if "*" in host else names.subdomain
    return checks.complaints(path, host, check(host))


def _tls(path: str, tls: Object) -> list[FieldError]:
    found = []
    for index, host in enumerate(tls.get("hosts") or ()):
        found.extend(_host(f"{path}.hosts[{index}]", host))
    if secret := tls.get("secretName"):
        found.extend(checks.complaints(f"{path}.secretName", secret, names.subdomain(secret)))
    return found


def _rule(path: str, rule: Object) -> list[FieldError]:
    found = []
    if host := checks.text(rule.get("host")):
        if names.parse_ip(host) is not None:
            found.append(errors.invalid_value(f"{path}.host", host, _NO_ADDRESS))
        found.extend(_host(f"{path}.host", host))
    http = rule.get("http")
    if http is None:
        return found
    if not http.get("paths"):
        found.append(errors.required(f"{path}.http.paths"))
    for index, item in enumerate(http.get("paths") or ()):
        found.extend(_path(f"{path}.http.paths[{index}]", item))
    return found


def _path(path: str, item: Object) -> list[FieldError]:
    kind, value = item.get("pathType"), checks.text(item.get("path"))
    at = f"{path}.path"
    if kind is None:
        return [errors.required(f"{path}.pathType", "pathType must be specified")]
    found = []
    if kind in ("Exact", "Prefix"):
        if not value.startswith("/"):
            found.append(errors.invalid_value(at, value, "must be an absolute path"))
        for bad in _BAD_SEQUENCES:
            if bad in value:
                found.append(errors.invalid_value(at, value, f"must not contain '{bad}'"))
        for bad in _BAD_SUFFIXES:
            if value.endswith(bad):
                found.append(errors.invalid_value(at, value, f"cannot end with '{bad}'"))
    elif kind == "ImplementationSpecific":
        if value and not value.startswith("/"):
            found.append(errors.invalid_value(at, value, "must be an absolute path"))
    else:
        valid = ("Exact", "ImplementationSpecific", "Prefix")
        found.append(errors.not_supported(f"{path}.pathType", kind, valid))
    return [*found, *_backend(f"{path}.backend", item.get("backend") or {})]


def _backend(path: str, backend: Object) -> list[FieldError]:
    resource, service = backend.get("resource"), backend.get("service")
    if resource is not None and service is not None:
        return [errors.invalid_value(path, "", "cannot set both resource and service backends")]
    if resource is not None:
        return references.validate(f"{path}.resource", resource)
    if service is None:
        return [errors.invalid_value(path, "", "resource or service backend is required")]
    return [*_service_name(path, service), *_service_port(path, service.get("port") or {})]


def _service_name(path: str, service: Object) -> list[FieldError]:
    name = checks.text(service.get("name"))
    if not name:
        return [errors.required(f"{path}.service.name")]
    return checks.complaints(f"{path}.service.name", name, names.label_1035(name))


def _service_port(path: str, port: Object) -> list[FieldError]:
    name, number = port.get("name"), port.get("number")
    if name and number:
        return [errors.invalid_value(path, "", "cannot set both port name & port number")]
    if name:
        return checks.complaints(f"{path}.service.port.name", name, names.port_name(name))
    if number:
        return checks.complaints(f"{path}.service.port.number", number, names.port(number))
    return [errors.required(path, "port name or number is required")]


def _validate_status(new: Object, old: Object) -> list[FieldError]:
    known = {item.get("ip") for item in _points(old)}
    found = []
    for index, point in enumerate(_points(new)):
        path = f"status.loadBalancer.ingress[{index}]"
        if (ip := point.get("ip")) and ip not in known:
            found.extend(checks.complaints(f"{path}.ip", ip, names.ip(ip)))
        if host := point.get("hostname"):
            found.extend(checks.complaints(f"{path}.hostname", host, names.subdomain(host)))
            if names.parse_ip(host) is not None:
                found.append(errors.invalid_value(f"{path}.hostname", host, _NO_ADDRESS))
    return found


def _points(ingress: Object) -> list[Object]:
    return ((ingress.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []


def _cells(ingress: Object, now: float) -> list[Any]:
    spec = ingress.get("spec") or {}
    name = spec.get("ingressClassName")
    addresses = {point.get("ip") or point.get("hostname") or "" for point in _points(ingress)} - {""}
    return [
        ingress["metadata"]["name"],
        "<none>" if name is None else name,
        _hosts(spec.get("rules") or []),
        ",".join(sorted(addresses)),
        "80, 443" if spec.get("tls") else "80",
        table.age(ingress, now),
    ]


def _hosts(rules: list[Object], limit: int = 3) -> str:
    # A rule without a host does not count towards the limit, yet counts among those that are left over.
    shown: list[str] = []
    more = False
    for rule in rules:
        more = more or len(shown) == limit
        if not more and rule.get("host"):
            shown.append(rule["host"])
    if not shown:
        return "*"
    return ",".join(shown) + (f" + {len(rules) - limit} more..." if more else "")


_CLASS = "kubernetes.io/ingress.class"


def _warn(new: Object, old: Object | None, _minor: int) -> Iterator[str]:
    annotated = _CLASS in (new["metadata"].get("annotations") or {})
    if old is None and annotated and (new.get("spec") or {}).get("ingressClassName") is None:
        yield f"annotation \"{_CLASS}\" is deprecated, please use 'spec.ingressClassName' instead"


STRATEGY = Strategy(
    prepare_create=lifecycle.clear_status,
    prepare_update=lifecycle.keep_status,
    prepare_status=lifecycle.keep_spec,
    validate=_validate_create,
    validate_status=_validate_status,
    generation=True,
    status=True,
    cells=_cells,
    warn=_warn,
)
