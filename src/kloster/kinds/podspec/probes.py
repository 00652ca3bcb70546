"""Probes and lifecycle hooks: exactly one action each.

Source: https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-probes
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, forbidden_field, invalid_value, not_supported, required
from kloster.kinds import checks, names

_PROBE_ACTIONS = ("exec", "httpGet", "tcpSocket", "grpc")
_HOOK_ACTIONS = ("exec", "httpGet", "tcpSocket", "sleep")
_NUMBERS = ("initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold", "failureThreshold")


def validate_probes(container: Object, grace: int | None, path: str) -> Iterable[FieldError]:
    """All three probes of a container. `grace` is the pod's terminationGracePeriodSeconds."""
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = container.get(name)
        if probe is None:
            continue
        at = f"{path}.{name}"
        yield from _validate_probe(probe, grace, at)
        if name == "readinessProbe":
            if probe.get("terminationGracePeriodSeconds") is not None:
                value = probe["terminationGracePeriodSeconds"]
                yield invalid_value(f"{at}.terminationGracePeriodSeconds", value, "must not be set for readinessProbes")
        elif probe.get("successThreshold", 0) != 1:
            yield invalid_value(f"{at}.successThreshold", probe.get("successThreshold", 0), "must be 1")


def _validate_probe(probe: Object, grace: int | None, path: str) -> Iterable[FieldError]:
    yield from _validate_handler(probe, _PROBE_ACTIONS, grace, path)
    yield from checks.nonnegative_fields(path, probe, *_NUMBERS)
    period = probe.get("terminationGracePeriodSeconds")
    if period is not None and period <= 0:
        yield invalid_value(f"{path}.terminationGracePeriodSeconds", period, "must be greater than 0")


def validate_lifecycle(lifecycle: Object, grace: int | None, path: str, system: str | None) -> Iterable[FieldError]:
    for name in ("postStart", "preStop"):
        if lifecycle.get(name) is not None:
            yield from _validate_handler(lifecycle[name], _HOOK_ACTIONS, grace, f"{path}.{name}")
    signal = lifecycle.get("stopSignal")
    if signal is None:
        return
    if system is None:
        yield forbidden_field(f"{path}.stopSignal", "may not be set for containers with empty `spec.os.name`")
    elif system == "windows" and signal not in ("SIGKILL", "SIGTERM"):
        yield not_supported(f"{path}.stopSignal", signal, ("SIGKILL", "SIGTERM"))


def _validate_handler(handler: Object, actions: tuple[str, ...], grace: int | None, path: str) -> Iterable[FieldError]:
    given = [name for name in actions if handler.get(name) is not None]
    if not given:
        yield required(path, "must specify a handler type")
        return
    yield from _validate_action(given[0], handler[given[0]], grace, f"{path}.{given[0]}")
    for name in given[1:]:
        yield forbidden_field(f"{path}.{name}", "may not specify more than 1 handler type")


def _validate_action(name: str, action: Object, grace: int | None, path: str) -> Iterable[FieldError]:
    match name:
        case "exec":
            if not action.get("command"):
                yield required(f"{path}.command")
        case "httpGet":
            yield from _validate_http_get(action, path)
        case "tcpSocket" | "grpc":
            yield from validate_port(action.get("port", 0), f"{path}.port")
        case "sleep":
            seconds = action.get("seconds") or 0
            if grace is not None and not 0 <= seconds <= grace:
                text = f"must be non-negative and less than terminationGracePeriodSeconds ({grace})"
                yield invalid_value(path, seconds, text)


def _validate_http_get(action: Object, path: str) -> Iterable[FieldError]:
    if not action.get("path"):
        yield required(f"{path}.path")
    yield from validate_port(action.get("port", 0), f"{path}.port")
    yield from checks.supported(f"{path}.scheme", action.get("scheme", ""), ("HTTP", "HTTPS"))
    for header in action.get("httpHeaders") or ():
        name = header.get("name") or ""
        yield from checks.complaints(f"{path}.httpHeaders", name, names.http_header(name))


def validate_port(port: Any, path: str) -> list[FieldError]:
    """A port's number or name."""
    if isinstance(port, str):
        return checks.complaints(path, port, names.port_name(port))
    return checks.complaints(path, port, names.port(port or 0))
