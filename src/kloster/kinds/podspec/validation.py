"""Validation of a whole pod spec, in the order in which upstream reports.

`validate_spec` serves pods and templates; what only a Pod is held to stands in `validate_pod`.
Source: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#PodSpec
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import (
    FieldError,
    duplicate,
    forbidden_field,
    invalid_value,
    not_supported,
    required,
    too_long,
)
from kloster.kinds import checks, metadata, names
from kloster.kinds.podspec import containers, legacy, requirements, scheduling, security, windows
from kloster.kinds.podspec.volumes import validate_volumes

_MAX_INT32 = 2**31 - 1


def validate_spec(spec: Object, path: str, *, meta: Object | None = None, pod: bool = False) -> Iterable[FieldError]:
    """`meta` is the pod's own metadata, None in templates; `pod` is true when the spec is that of a Pod."""
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is None:
        yield required(f"{path}.terminationGracePeriodSeconds")
    volumes = validate_volumes(spec.get("volumes"), (meta or {}).get("name") or "", f"{path}.volumes", pod)
    yield from volumes.findings
    claims = frozenset(claim["name"] for claim in spec.get("resourceClaims") or () if claim.get("name"))
    yield from _validate_resource_claims(spec.get("resourceClaims") or (), meta, f"{path}.resourceClaims")
    around = containers.Surroundings(
        volumes=volumes.by_name,
        claims=claims,
        grace=grace,
        restart_policy=spec.get("restartPolicy") or "",
        system=None if spec.get("os") is None else spec["os"].get("name") or "",
        host_users=spec.get("hostUsers") is not False,
    )
    regular, init = spec.get("containers") or [], spec.get("initContainers") or []
    yield from containers.validate_containers(regular, around, f"{path}.containers")
    yield from containers.validate_init_containers(init, regular, around, f"{path}.initContainers")
    ephemeral = spec.get("ephemeralContainers")
    yield from containers.validate_ephemeral_containers(
        ephemeral, [*regular, *init], around, f"{path}.ephemeralContainers"
    )
    yield from requirements.validate_pod_resources(spec, f"{path}.resources", claims)
    yield from _validate_host_network(spec, path, pod)
    yield from _validate_policies(spec, path)
    yield from metadata.validate_labels(spec.get("nodeSelector"), f"{path}.nodeSelector")
    yield from security.validate_pod_context(spec, f"{path}.securityContext")
    yield from scheduling.validate_affinity(spec.get("affinity"), f"{path}.affinity")
    yield from _validate_dns(spec, f"{path}.dnsConfig")
    for index, gate in enumerate(spec.get("readinessGates") or ()):
        kind = gate.get("conditionType") or ""
        yield from checks.complaints(f"{path}.readinessGates[{index}].conditionType", kind, names.qualified_name(kind))
    yield from scheduling.validate_gates(spec.get("schedulingGates"), f"{path}.schedulingGates")
    yield from scheduling.validate_topology_spread(
        spec.get("topologySpreadConstraints"), f"{path}.topologySpreadConstraints"
    )
    yield from windows.validate_host_process(spec, path)
    yield from security.validate_host_users(spec, path)
    yield from _validate_names(spec, path)
    yield from windows.validate_system(spec, path)


def _validate_resource_claims(claims: Iterable[Object], meta: Object | None, path: str) -> Iterable[FieldError]:
    seen: set[str] = set()
    for index, claim in enumerate(claims):
        at, name = f"{path}[{index}]", claim.get("name") or ""
        if legacy.MIRROR in ((meta or {}).get("annotations") or {}):
            yield forbidden_field(metadata.WHOLE_OBJECT, "static pods do not support resource claims")
            continue
        if not name:
            yield required(f"{at}.name")
        elif name in seen:
            yield duplicate(f"{at}.name", name)
        else:
            yield from checks.complaints(f"{at}.name", name, names.label(name))
            seen.add(name)
        direct, template = claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName")
        shown = {"Name": name, "ResourceClaimName": direct, "ResourceClaimTemplateName": template}
        if direct is not None and template is not None:
            text = "at most one of `resourceClaimName` or `resourceClaimTemplateName` may be specified"
            yield invalid_value(at, shown, text)
        if direct is None and template is None:
            text = "must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"
            yield invalid_value(at, shown, text)
        for field, value in (("resourceClaimName", direct), ("resourceClaimTemplateName", template)):
            if value is not None:
                yield from checks.complaints(f"{at}.{field}", value, names.subdomain(value))


def _validate_host_network(spec: Object, path: str, pod: bool) -> Iterable[FieldError]:
    if not spec.get("hostNetwork"):
        return
    for index, container in enumerate(spec.get("containers") or ()):
        for position, port in enumerate(container.get("ports") or ()):
            host, number = port.get("hostPort") or 0, port.get("containerPort") or 0
            if host != number and (pod or host):
                at = f"{path}.containers[{index}].ports[{position}].hostPort"
                yield invalid_value(at, host, "must match `containerPort` when `hostNetwork` is true")


def _validate_policies(spec: Object, path: str) -> Iterable[FieldError]:
    for field, valid in (
        ("restartPolicy", ("Always", "OnFailure", "Never")),
        ("dnsPolicy", ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")),
    ):
        value = spec.get(field) or ""
        if not value:
            yield required(f"{path}.{field}")
        elif value not in valid:
            yield not_supported(f"{path}.{field}", value, valid)


def _validate_dns(spec: Object, path: str) -> Iterable[FieldError]:
    config = spec.get("dnsConfig")
    servers = (config or {}).get("nameservers") or []
    if spec.get("dnsPolicy") == "None":
        if config is None:
            yield required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not servers:
            text = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            yield required(f"{path}.nameservers", text)
            return
    if config is None:
        return
    if len(servers) > 3:
        yield invalid_value(f"{path}.nameservers", servers, "must not have more than 3 nameservers")
    for index, server in enumerate(servers):
        yield from checks.complaints(f"{path}.nameservers[{index}]", server, names.ip(server))
    searches = config.get("searches") or []
    if len(searches) > 32:
        yield invalid_value(f"{path}.searches", searches, "must not have more than 32 search paths")
    if len(" ".join(searches)) > 2048:
        text = "must not have more than 2048 characters (including spaces) in the search list"
        yield invalid_value(f"{path}.searches", searches, text)
    for index, search in enumerate(searches):
        if search != ".":
            name = search.removesuffix(".")
            yield from checks.complaints(f"{path}.searches[{index}]", name, names.subdomain_underscore(name))
    for index, option in enumerate(config.get("options") or ()):
        if not option.get("name"):
            yield required(f"{path}.options[{index}]", "must not be empty")


_NAMES: tuple[tuple[str, names.Check], ...] = (
    ("serviceAccountName", names.subdomain),
    ("nodeName", names.subdomain),
)
_MORE_NAMES: tuple[tuple[str, names.Check], ...] = (("hostname", names.label), ("subdomain", names.label))


def _validate_names(spec: Object, path: str) -> Iterable[FieldError]:
    yield from _validate_hostname_override(spec, path)
    for field, check in _NAMES:
        if spec.get(field):
            yield from checks.complaints(f"{path}.{field}", spec[field], check(spec[field]))
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _MAX_INT32:
        yield invalid_value(f"{path}.activeDeadlineSeconds", deadline, names.between(1, _MAX_INT32))
    for field, check in _MORE_NAMES:
        if spec.get(field):
            yield from checks.complaints(f"{path}.{field}", spec[field], check(spec[field]))
    yield from scheduling.validate_tolerations(spec.get("tolerations"), f"{path}.tolerations")
    for index, alias in enumerate(spec.get("hostAliases") or ()):
        at, ip = f"{path}.hostAliases[{index}]", alias.get("ip") or ""
        yield from checks.complaints(f"{at}.ip", ip, names.ip(ip))
        for position, name in enumerate(alias.get("hostnames") or ()):
            yield from checks.complaints(f"{at}.hostnames[{position}]", name, names.subdomain(name))
    if spec.get("priorityClassName"):
        name = spec["priorityClassName"]
        yield from checks.complaints(f"{path}.priorityClassName", name, names.subdomain(name))
    if spec.get("runtimeClassName") is not None:
        name = spec["runtimeClassName"]
        yield from checks.complaints(f"{path}.runtimeClassName", name, names.subdomain(name))
    preemption = spec.get("preemptionPolicy")
    if preemption == "":
        yield required(f"{path}.preemptionPolicy")
    elif preemption is not None:
        yield from checks.supported(f"{path}.preemptionPolicy", preemption, ("PreemptLowerPriority", "Never"))
    if spec.get("overhead") is not None:
        yield from requirements.validate_resources({"limits": spec["overhead"]}, f"{path}.overhead")


def _validate_hostname_override(spec: Object, path: str) -> Iterable[FieldError]:
    name, at = spec.get("hostnameOverride"), f"{path}.hostnameOverride"
    if name is None:
        return
    if spec.get("setHostnameAsFQDN"):
        yield forbidden_field(at, "may not be specified when setHostnameAsFQDN is true")
    if spec.get("hostNetwork"):
        yield forbidden_field(at, "may not be specified when hostNetwork is true")
    if len(name) > 64:
        yield too_long(at, 64)
    yield from checks.complaints(at, name, names.subdomain(name))


def validate_pod(pod: Object) -> Iterable[FieldError]:
    """Annotations and spec of a Pod, on create and on update."""
    meta, spec = pod["metadata"], pod.get("spec") or {}
    yield from legacy.validate_annotations(meta.get("annotations"), spec, "metadata.annotations")
    yield from validate_spec(spec, "spec", meta=meta, pod=True)
    if not spec.get("serviceAccountName"):
        yield from _forbid_tokens(spec)
    for name in ("containers", "initContainers"):
        for index, container in enumerate(spec.get(name) or ()):
            yield from containers.validate_image_padding(container, f"spec.{name}[{index}]")


def _forbid_tokens(spec: Object) -> Iterable[FieldError]:
    for index, volume in enumerate(spec.get("volumes") or ()):
        for position, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
            if source.get("serviceAccountToken") is not None:
                at = f"spec.volumes[{index}].projected.sources[{position}].serviceAccountToken"
                yield forbidden_field(at, "must not be specified when serviceAccountName is not set")


def validate_new_pod(pod: Object) -> Iterable[FieldError]:
    """What a Pod must not have when it is created."""
    spec: Mapping[str, Any] = pod.get("spec") or {}
    if spec.get("ephemeralContainers"):
        yield forbidden_field("spec.ephemeralContainers", "cannot be set on create")
    if spec.get("nodeName") and spec.get("schedulingGates"):
        yield forbidden_field("spec.nodeName", "cannot be set until all schedulingGates have been cleared")
    yield from legacy.validate_match(pod["metadata"].get("annotations"), dict(spec), "spec")
