"""What Windows pods may and must not have.

Source: https://kubernetes.io/docs/concepts/windows/intro/#compatibility
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, forbidden_field, invalid_value, required
from kloster.kinds import checks, names

_DNS_PART = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_has_control = re.compile(r"[\x00-\x1f\x7f]").search
_matches_netbios = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}').fullmatch
_matches_dns = re.compile(rf"{_DNS_PART}(?:\.{_DNS_PART})*").fullmatch
_has_bad_user = re.compile(r'["/\\:;|=,+*?<>@\[\]]').search
_only_dots = re.compile(r"[. ]+").fullmatch
_SPEC_LIMIT = 64 * 1024


def validate_windows_options(options: Object | None, path: str) -> Iterable[FieldError]:
    if options is None:
        return
    name, content = options.get("gmsaCredentialSpecName"), options.get("gmsaCredentialSpec")
    if name is not None:
        yield from checks.complaints(f"{path}.gmsaCredentialSpecName", name, names.subdomain(name))
    if content == "":
        yield invalid_value(f"{path}.gmsaCredentialSpec", content, "gmsaCredentialSpec cannot be an empty string")
    elif content is not None and len(content) > _SPEC_LIMIT:
        yield invalid_value(f"{path}.gmsaCredentialSpec", content, "gmsaCredentialSpec size must be under 64 KiB")
    user = options.get("runAsUserName")
    if user is not None:
        texts = _user_problems(user)
        yield from (invalid_value(f"{path}.runAsUserName", user, f"runAsUserName{text}") for text in texts)


def _user_problems(value: str) -> Iterator[str]:
    """``DOMAIN\\USER``, the domain optional."""
    if not value:
        yield " cannot be an empty string"
        return
    if _has_control(value):
        yield " cannot contain control characters"
        return
    domain, slash, user = value.rpartition("\\")
    if "\\" in domain:
        yield " cannot contain more than one backslash"
        return
    if len(domain) >= 256:
        yield "'s Domain length must be under 256 characters"
    if slash and not (_matches_netbios(domain) or _matches_dns(domain)):
        yield "'s Domain doesn't match the NetBios nor the DNS format"
    if not user:
        yield "'s User cannot be empty"
    elif len(user) > 104:
        yield "'s User length must not be longer than 104 characters"
    if _only_dots(user):
        yield "'s User cannot contain only periods or spaces"
    if _has_bad_user(user):
        yield r"""'s User cannot contain the following characters: "/\:;|=,+*?<>@[]"""


def _containers(spec: Object, path: str) -> Iterator[tuple[Object, str]]:
    for name in ("initContainers", "containers", "ephemeralContainers"):
        for index, container in enumerate(spec.get(name) or ()):
            yield container.get("securityContext") or {}, f"{path}.{name}[{index}].securityContext"


def validate_host_process(spec: Object, path: str) -> Iterable[FieldError]:
    """Host processes: all containers of the pod or none, and on the host's network."""
    pod = ((spec.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
    total = processes = 0
    for context, at in _containers(spec, path):
        total += 1
        own = (context.get("windowsOptions") or {}).get("hostProcess")
        if pod is not None and own is not None and pod != own:
            text = f"pod hostProcess value must be identical if both are specified, was {str(pod).lower()}"
            yield invalid_value(f"{at}.windowsOptions.hostProcess", own, text)
        processes += bool(pod if own is None else own)
    if not processes:
        return
    if processes != total:
        text = "If pod contains any hostProcess containers then all containers must be HostProcess containers"
        yield invalid_value(path, "", text)
    if not spec.get("hostNetwork"):
        text = "hostNetwork must be true if pod contains any hostProcess containers"
        yield invalid_value(f"{path}.hostNetwork", False, text)


_POD_FIELDS = (
    "securityContext.appArmorProfile",
    "securityContext.seLinuxOptions",
    "hostUsers",
    "hostPID",
    "hostIPC",
    "securityContext.seccompProfile",
    "securityContext.fsGroup",
    "securityContext.fsGroupChangePolicy",
    "securityContext.sysctls",
    "shareProcessNamespace",
    "securityContext.runAsUser",
    "securityContext.runAsGroup",
    "securityContext.supplementalGroups",
    "securityContext.supplementalGroupsPolicy",
    "securityContext.seLinuxChangePolicy",
)
_CONTAINER_FIELDS = (
    "appArmorProfile",
    "seLinuxOptions",
    "seccompProfile",
    "capabilities",
    "readOnlyRootFilesystem",
    "privileged",
    "allowPrivilegeEscalation",
    "procMount",
    "runAsUser",
    "runAsGroup",
)


def validate_system(spec: Object, path: str) -> Iterable[FieldError]:
    """spec.os, and what the system that it names rules out."""
    if spec.get("os") is None:
        return
    name = spec["os"].get("name") or ""
    if not name:
        yield required(f"{path}.os.name")
    elif name not in ("linux", "windows"):
        yield from checks.supported(f"{path}.os", name, ("linux", "windows"))
    elif name == "linux":
        yield from _validate_linux(spec, path)
    else:
        yield from _validate_windows(spec, path)


def _validate_linux(spec: Object, path: str) -> Iterable[FieldError]:
    contexts = [(spec.get("securityContext") or {}, f"{path}.securityContext"), *_containers(spec, path)]
    for context, at in contexts:
        if context.get("windowsOptions") is not None:
            yield forbidden_field(f"{at}.windowsOptions", "windows options cannot be set for a linux pod")


def _validate_windows(spec: Object, path: str) -> Iterable[FieldError]:
    text = "cannot be set for a windows pod"
    context = spec.get("securityContext") or {}
    for field in _POD_FIELDS:
        holder, name = (context, field.partition(".")[2]) if "." in field else (spec, field)
        value = holder.get(name)
        if value is not None and not (name in ("hostPID", "hostIPC") and not value) and value != []:
            yield forbidden_field(f"{path}.{field}", text)
    for own, at in _containers(spec, path):
        for field in _CONTAINER_FIELDS:
            if own.get(field) is not None:
                yield forbidden_field(f"{at}.{field}", text)
