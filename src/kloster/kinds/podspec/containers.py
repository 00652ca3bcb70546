"""Containers of all three lists: regular, init (among them sidecars, restartPolicy Always) and ephemeral ones.

Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#Container
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kloster.apimachinery import Object
from kloster.apimachinery.errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    not_found_value,
    not_supported,
    required,
    too_long,
)
from kloster.kinds import checks, names
from kloster.kinds.podspec import environment, mounts, probes, requirements, security
from kloster.kinds.podspec.volumes import validate_pull_policy

PROTOCOLS = ("SCTP", "TCP", "UDP")
_EPHEMERAL_FORBIDDEN = (
    "ports",
    "resources",
    "resizePolicy",
    "restartPolicy",
    "restartPolicyRules",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
)
_ONLY_SIDECARS = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the checks of a container need to know about its pod."""

    volumes: dict[str, Object]
    claims: frozenset[str]
    grace: int | None
    restart_policy: str
    system: str | None
    host_users: bool


def validate_containers(containers: Sequence[Object] | None, around: Surroundings, path: str) -> Iterable[FieldError]:
    if not containers:
        yield required(path)
        return
    seen: set[str] = set()
    for index, container in enumerate(containers):
        at, name = f"{path}[{index}]", container.get("name") or ""
        yield from _validate_common(container, around, at)
        if name in seen:
            yield duplicate(f"{at}.name", name)
        seen.add(name)
        yield from _validate_life(container, around, at)
        yield from _validate_restart(container, at)
    yield from _validate_host_ports(containers, path)


def validate_init_containers(
    containers: Sequence[Object] | None, regular: Iterable[Object], around: Surroundings, path: str
) -> Iterable[FieldError]:
    seen = {container.get("name") or "" for container in regular}
    for index, container in enumerate(containers or ()):
        at, name = f"{path}[{index}]", container.get("name") or ""
        yield from _validate_common(container, around, at)
        policy = container.get("restartPolicy")
        if policy == "Always" and container.get("restartPolicyRules"):
            text = "restartPolicyRules are not allowed for init containers with restart policy Always"
            yield forbidden_field(f"{at}.restartPolicyRules", text)
        elif policy is not None:
            yield from _validate_restart(container, at)
        if name in seen:
            yield duplicate(f"{at}.name", name)
        elif name:
            seen.add(name)
        yield from _validate_host_ports([container], path)  # they run one by one, hence no conflicts between them
        if policy == "Always":
            yield from _validate_life(container, around, at)
        else:
            text = "may not be set for init containers without restartPolicy=Always"
            yield from (
                forbidden_field(f"{at}.{name}", text) for name in _ONLY_SIDECARS if container.get(name) is not None
            )


def validate_ephemeral_containers(
    containers: Sequence[Object] | None, others: Iterable[Object], around: Surroundings, path: str
) -> Iterable[FieldError]:
    targets = {container.get("name") or "" for container in others}
    seen = set(targets)
    for index, container in enumerate(containers or ()):
        at, name = f"{path}[{index}]", container.get("name") or ""
        yield from _validate_common(container, around, at)
        yield from validate_image_padding(container, at)
        if name in seen:
            yield duplicate(f"{at}.name", name)
        seen.add(name)
        target = container.get("targetContainerName")
        if target and target not in targets:
            yield not_found_value(f"{at}.targetContainerName", target)
        text = "cannot be set for an Ephemeral Container"
        for forbidden in _EPHEMERAL_FORBIDDEN:
            if container.get(forbidden) not in (None, [], {}):
                yield forbidden_field(f"{at}.{forbidden}", text)
        for position, mount in enumerate(container.get("volumeMounts") or ()):
            for sub in ("subPath", "subPathExpr"):
                if mount.get(sub):
                    yield forbidden_field(f"{at}.volumeMounts[{position}].{sub}", text)


def validate_image_padding(container: Object, path: str) -> Iterable[FieldError]:
    """Pods refuse what templates tolerate for compatibility: blanks around the image."""
    image = container.get("image") or ""
    if image != image.strip():
        yield invalid_value(f"{path}.image", image, "must not have leading or trailing whitespace")


def _validate_life(container: Object, around: Surroundings, path: str) -> Iterable[FieldError]:
    if container.get("lifecycle") is not None:
        yield from probes.validate_lifecycle(container["lifecycle"], around.grace, f"{path}.lifecycle", around.system)
    yield from probes.validate_probes(container, around.grace, path)


def _validate_restart(container: Object, path: str) -> Iterable[FieldError]:
    """A container's own restart policy and its rules by exit code (KEP 5307)."""
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or ()
    if policy is not None:
        yield from checks.supported(f"{path}.restartPolicy", policy, ("Always", "Never", "OnFailure"))
    elif rules:
        yield required(f"{path}.restartPolicy", "must specify restartPolicy when restart rules are used")
    if len(rules) > 20:
        yield too_long(f"{path}.restartPolicyRules", 20)
    for index, rule in enumerate(rules):
        at, codes = f"{path}.restartPolicyRules[{index}]", rule.get("exitCodes")
        yield from checks.supported(f"{at}.action", rule.get("action") or "", ("Restart",))
        if codes is None:
            yield required(f"{at}.exitCodes", "must be specified")
            continue
        yield from checks.supported(f"{at}.exitCodes.operator", codes.get("operator") or "", ("In", "NotIn"))
        if len(codes.get("values") or ()) > 255:
            yield too_long(f"{at}.exitCodes.values", 255)


def _validate_common(container: Object, around: Surroundings, path: str) -> Iterable[FieldError]:
    name = container.get("name") or ""
    if name:
        yield from checks.complaints(f"{path}.name", name, names.label(name))
    else:
        yield required(f"{path}.name")
    if not container.get("image"):
        yield required(f"{path}.image")
    policy = container.get("terminationMessagePolicy")
    if not policy:
        yield required(f"{path}.terminationMessagePolicy")
    elif policy not in ("File", "FallbackToLogsOnError"):
        yield not_supported(f"{path}.terminationMessagePolicy", policy, ("File", "FallbackToLogsOnError"))
    yield from _validate_ports(container.get("ports") or (), f"{path}.ports")
    yield from environment.validate_environment(container.get("env"), f"{path}.env")
    yield from environment.validate_environment_from(container.get("envFrom"), f"{path}.envFrom")
    yield from mounts.validate_mounts(container, around.volumes, f"{path}.volumeMounts")
    yield from mounts.validate_devices(container, around.volumes, f"{path}.volumeDevices")
    yield from validate_pull_policy(container.get("imagePullPolicy"), f"{path}.imagePullPolicy")
    yield from requirements.validate_resources(container.get("resources"), f"{path}.resources", around.claims)
    resize = container.get("resizePolicy") or ()
    yield from _validate_resize(resize, around.restart_policy, f"{path}.resizePolicy")
    context = container.get("securityContext")
    yield from security.validate_container_context(context, f"{path}.securityContext", around.host_users)


def _validate_ports(ports: Iterable[Object], path: str) -> Iterable[FieldError]:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        at, name = f"{path}[{index}]", port.get("name")
        if name:
            texts = names.port_name(name)
            yield from checks.complaints(f"{at}.name", name, texts)
            if not texts and name in seen:
                yield duplicate(f"{at}.name", name)
            seen.add(name)
        number, host = port.get("containerPort") or 0, port.get("hostPort") or 0
        if number:
            yield from checks.complaints(f"{at}.containerPort", number, names.port(number))
        else:
            yield required(f"{at}.containerPort")
        if host:
            yield from checks.complaints(f"{at}.hostPort", host, names.port(host))
        if port.get("protocol"):
            yield from checks.supported(f"{at}.protocol", port["protocol"], PROTOCOLS)
        else:
            yield required(f"{at}.protocol")


def _validate_host_ports(containers: Iterable[Object], path: str) -> Iterable[FieldError]:
    """No two containers take the same port of the host."""
    taken: set[str] = set()
    for index, container in enumerate(containers):
        for position, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            key = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
            if key in taken:
                yield duplicate(f"{path}[{index}].ports[{position}].hostPort", key)
            taken.add(key)


def _validate_resize(policies: Iterable[Object], restart_policy: str, path: str) -> Iterable[FieldError]:
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        resource, restart = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        if resource in seen:
            yield duplicate(f"{path}[{index}]", resource)
        seen.add(resource)
        for value, valid in ((resource, ("cpu", "memory")), (restart, ("NotRequired", "RestartContainer"))):
            if value:
                yield from checks.supported(path, value, valid)
            else:
                yield required(path)
        if restart_policy == "Never" and restart != "NotRequired":
            yield invalid_value(path, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'")
