"""Security contexts of pods and containers.

Source: https://kubernetes.io/docs/tasks/configure-pod-container/security-context/
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from kloster.apimachinery import Object
from kloster.apimachinery.errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    required,
    too_long,
)
from kloster.kinds import checks, names
from kloster.kinds.podspec import paths
from kloster.kinds.podspec.windows import validate_windows_options

_PROFILES = ("Localhost", "RuntimeDefault", "Unconfined")
_SYSCTL = r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_matches_sysctl = re.compile(_SYSCTL).fullmatch
_HOST_SYSCTLS: dict[str, tuple[str, ...]] = {
    "hostNetwork": ("net.",),
    "hostIPC": ("fs.mqueue.", "kernel.shm", "kernel.msg", "kernel.sem"),
}
"""Kernel parameters that belong to a namespace, by the field that shares that namespace with the host."""

_CONTAINER_LISTS = ("initContainers", "containers", "ephemeralContainers")


def containers(spec: Object, path: str) -> Iterator[tuple[Object, str]]:
    """All containers of a pod spec with their paths, in the order in which upstream visits them."""
    for name in _CONTAINER_LISTS:
        for index, container in enumerate(spec.get(name) or ()):
            yield container, f"{path}.{name}[{index}]"


def _validate_ids(context: Object, path: str, *fields: str) -> Iterable[FieldError]:
    for field in fields:
        if context.get(field) is not None:
            yield from checks.complaints(f"{path}.{field}", context[field], names.user_id(context[field]))


def validate_seccomp(profile: Object | None, path: str) -> Iterable[FieldError]:
    if profile is None:
        return
    kind, localhost = profile.get("type") or "", profile.get("localhostProfile")
    if kind:
        yield from checks.supported(f"{path}.type", kind, _PROFILES)
    else:
        yield required(f"{path}.type", "type is required when seccompProfile is set")
    if kind == "Localhost":
        if localhost is None:
            yield required(f"{path}.localhostProfile", "must be set when seccomp type is Localhost")
        else:
            yield from paths.validate_descending(localhost, f"{path}.localhostProfile")
    elif localhost is not None:
        # Upstream shows its internal struct, whose fields are in capitals.
        shown = {"Type": kind, "LocalhostProfile": localhost}
        yield invalid_value(f"{path}.localhostProfile", shown, "can only be set when seccomp type is Localhost")


def validate_app_armor(profile: Object | None, path: str) -> Iterable[FieldError]:
    if profile is None:
        return
    kind, localhost = profile.get("type") or "", profile.get("localhostProfile")
    at = f"{path}.localhostProfile"
    if kind == "Localhost":
        if not localhost:
            yield required(at, "must be set when AppArmor type is Localhost")
        elif localhost != localhost.strip():
            yield invalid_value(at, localhost, "must not be padded with whitespace")
        if localhost and len(localhost.encode()) > 4095:
            yield too_long(at, 4095)
    elif not kind:
        yield required(f"{path}.type", "type is required when appArmorProfile is set")
    elif kind not in _PROFILES:
        yield from checks.supported(f"{path}.type", kind, _PROFILES)
    elif localhost is not None:
        yield invalid_value(at, localhost, "can only be set when AppArmor type is Localhost")


def validate_container_context(context: Object | None, path: str, host_users: bool) -> Iterable[FieldError]:
    if context is None:
        return
    yield from _validate_ids(context, path, "runAsUser", "runAsGroup")
    mount = context.get("procMount")
    if mount is not None:
        yield from checks.supported(f"{path}.procMount", mount, ("Default", "Unmasked"))
        if host_users and mount == "Unmasked":
            yield invalid_value(f"{path}.procMount", mount, "`hostUsers` must be false to use `Unmasked`")
    yield from validate_seccomp(context.get("seccompProfile"), f"{path}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        shown = _internal(context)
        if context.get("privileged"):
            text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            yield invalid_value(path, shown, text)
        for capability in (context.get("capabilities") or {}).get("add") or ():
            if capability == "CAP_SYS_ADMIN":
                text = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
                yield invalid_value(path, shown, text)
    yield from validate_windows_options(context.get("windowsOptions"), f"{path}.windowsOptions")
    yield from validate_app_armor(context.get("appArmorProfile"), f"{path}.appArmorProfile")


_CONTEXT_FIELDS = (
    "Capabilities",
    "Privileged",
    "SELinuxOptions",
    "WindowsOptions",
    "RunAsUser",
    "RunAsGroup",
    "RunAsNonRoot",
    "ReadOnlyRootFilesystem",
    "AllowPrivilegeEscalation",
    "ProcMount",
    "SeccompProfile",
    "AppArmorProfile",
)


def _internal(context: Object) -> Object:
    """A security context as upstream's internal type shows itself: all fields, in capitals."""

    def upper(value: object) -> object:
        if isinstance(value, dict):
            return {key[:1].upper() + key[1:]: upper(item) for key, item in value.items()}
        return value

    shown: Object = {}
    for name in _CONTEXT_FIELDS:
        field = "seLinuxOptions" if name == "SELinuxOptions" else name[:1].lower() + name[1:]
        shown[name] = upper(context.get(field))
    if shown["Capabilities"] is not None:
        shown["Capabilities"] = {"Add": None, "Drop": None} | dict(shown["Capabilities"])
    return shown


def validate_pod_context(spec: Object, path: str) -> Iterable[FieldError]:
    """spec.securityContext; upstream keeps the host namespaces in it, too."""
    context = spec.get("securityContext")
    if context is None:
        return
    yield from _validate_ids(context, path, "fsGroup", "runAsUser", "runAsGroup")
    for index, group in enumerate(context.get("supplementalGroups") or ()):
        yield from checks.complaints(f"{path}.supplementalGroups[{index}]", group, names.user_id(group))
    if spec.get("shareProcessNamespace") and spec.get("hostPID"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        yield invalid_value(f"{path}.shareProcessNamespace", True, text)
    yield from _validate_sysctls(context.get("sysctls") or (), spec, f"{path}.sysctls")
    if context.get("fsGroupChangePolicy") is not None:
        policy = context["fsGroupChangePolicy"]
        yield from checks.supported(f"{path}.fsGroupChangePolicy", policy, ("Always", "OnRootMismatch"))
    yield from validate_seccomp(context.get("seccompProfile"), f"{path}.seccompProfile")
    yield from validate_windows_options(context.get("windowsOptions"), f"{path}.windowsOptions")
    yield from validate_app_armor(context.get("appArmorProfile"), f"{path}.appArmorProfile")
    for field, valid in (
        ("supplementalGroupsPolicy", ("Merge", "Strict")),
        ("seLinuxChangePolicy", ("MountOption", "Recursive")),
    ):
        if context.get(field) is not None:
            yield from checks.supported(f"{path}.{field}", context[field], valid)


def _validate_sysctls(sysctls: Iterable[Object], spec: Object, path: str) -> Iterable[FieldError]:
    seen: set[str] = set()
    for index, sysctl in enumerate(sysctls):
        at, name = f"{path}[{index}].name", sysctl.get("name") or ""
        if not name:
            yield required(at)
        elif len(name) > 253 or not _matches_sysctl(name):
            yield invalid_value(at, name, f"must have at most 253 characters and match regex ^{_SYSCTL}$")
        elif name in seen:
            yield duplicate(at, name)
        plain = name.replace("/", ".")
        for field, prefixes in _HOST_SYSCTLS.items():
            if spec.get(field) and plain.startswith(prefixes):
                yield invalid_value(at, name, f"may not be specified when '{field}' is true")
        seen.add(name)


def validate_host_users(spec: Object, path: str) -> Iterable[FieldError]:
    """A pod with users of its own shares no namespace with the host."""
    if spec.get("hostUsers") is not False:
        return
    for field, shown in (("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")):
        if spec.get(field):
            yield forbidden_field(f"{path}.{shown}", "when `hostUsers` is false")
    for container, at in containers(spec, path):
        if container.get("volumeDevices"):
            yield forbidden_field(f"{at}.volumeDevices", "when `hostUsers` is false")
