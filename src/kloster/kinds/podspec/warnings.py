"""What a pod spec is warned of: fields that nothing reads any more, and slips that validation lets pass.

    of_pod(pod, minor)
    of_template(template, path, minor)     `path` is e.g. ``spec.template``

`minor` is the API server's version; some warnings came later than others. The specs are valid.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from heapq import merge
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import shown
from kloster.kinds import addresses, names, nodelabels, quantity
from kloster.kinds.podspec import virtualpaths
from kloster.kinds.podspec.legacy import APP_ARMOR, SECCOMP_CONTAINER, SECCOMP_POD
from kloster.kinds.podspec.security import containers

_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
# field of a volume → what it is called in the warning, and since when it does nothing
VOLUMES = {
    "photonPersistentDisk": ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    "gitRepo": ("gitRepo", "deprecated in v1.11"),
    "scaleIO": ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    "flocker": ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    "storageos": ("storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    "quobyte": ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    "glusterfs": ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    "cephfs": ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    "rbd": ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
}
_BYTES = ("memory", "ephemeral-storage")
_NO_SELECTOR = "a null labelSelector results in matching no pod"


def of_pod(pod: Object, minor: int) -> Iterator[str]:
    yield from of_name(pod, "the Pod's hostname")
    yield from _warnings(pod["metadata"], pod["spec"], "", minor)


def of_template(template: Object | None, path: str, minor: int) -> Iterator[str]:
    if template is not None:
        yield from _warnings(template.get("metadata") or {}, template.get("spec") or {}, f"{path}.", minor)


def of_name(item: Object, used: str = "Pod names and hostnames") -> Iterator[str]:
    """A name that pods get theirs from should be a DNS label."""
    found = names.label(item["metadata"]["name"])
    if found:
        text = f"this is used in {used}, which can result in surprising behavior; a DNS label is recommended"
        yield f"metadata.name: {text}: [{' '.join(found)}]"


def _warnings(meta: Object, spec: Object, path: str, minor: int) -> Iterator[str]:
    """`path` ends with a dot, unless it is empty."""
    annotations = meta.get("annotations") or {}
    at, noted = f"{path}spec", f"{path}metadata.annotations"
    yield from _selectors(spec, at, minor)
    for key, text in _ANNOTATIONS.items():
        if key in annotations:
            yield f"{noted}[{key}]: {text}"
    yield from _volumes(spec, at, minor)
    if minor >= 32:
        yield from virtualpaths.overlaps(spec.get("volumes") or ())
    yield from _repeated(spec.get("hostAliases"), f"{at}.hostAliases", "ip")
    yield from _repeated(spec.get("imagePullSecrets"), f"{at}.imagePullSecrets", "name")
    for index, secret in enumerate(spec.get("imagePullSecrets") or ()):
        if not secret.get("name"):
            yield f'{at}.imagePullSecrets[{index}].name: invalid empty name ""'
    yield from fractions(spec.get("overhead"), f"{at}.overhead", *_BYTES)
    context = spec.get("securityContext") or {}
    if SECCOMP_POD in annotations and context.get("seccompProfile") is None:
        yield _non_functional(noted, SECCOMP_POD)
    for container, where in containers(spec, at):
        yield from _profiles(container, annotations, noted, context, template=bool(path), minor=minor)
        resources = container.get("resources") or {}
        for name in _BYTES:
            for kind in ("limits", "requests"):
                yield from fractions(resources.get(kind), f"{where}.resources.{kind}", name)
        yield from _hidden_variables(container, where)
    yield from _ports(spec, at)
    if minor >= 33:
        yield from _port_names(spec, at)
    grace = spec.get("terminationGracePeriodSeconds")
    if grace is not None and grace < 0:
        text = "must be >= 0; negative values are invalid and will be treated as 1"
        yield f"{at}.terminationGracePeriodSeconds: {text}"
    yield from _affinities(spec, at)
    if minor >= 33:
        for index, server in enumerate((spec.get("dnsConfig") or {}).get("nameservers") or ()):
            yield from addresses.ip_warnings(f"{at}.dnsConfig.nameservers[{index}]", server)
        for index, alias in enumerate(spec.get("hostAliases") or ()):
            yield from addresses.ip_warnings(f"{at}.hostAliases[{index}].ip", alias.get("ip", ""))


def _selectors(spec: Object, at: str, minor: int) -> Iterator[str]:
    for key in spec.get("nodeSelector") or {}:
        if key in nodelabels.DEPRECATED:
            yield f"{at}.nodeSelector[{key}]: {nodelabels.DEPRECATED[key]}"
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    name = "requiredDuringSchedulingIgnoredDuringExecution"
    for index, term in enumerate((affinity.get(name) or {}).get("nodeSelectorTerms") or ()):
        yield from nodelabels.term_warnings(term, f"{at}.affinity.nodeAffinity.{name}.nodeSelectorTerms[{index}]")
    name = "preferredDuringSchedulingIgnoredDuringExecution"
    for index, term in enumerate(affinity.get(name) or ()):
        where = f"{at}.affinity.nodeAffinity.{name}[{index}].preference"
        yield from nodelabels.term_warnings(term.get("preference") or {}, where, values=minor >= 33)
    for index, constraint in enumerate(spec.get("topologySpreadConstraints") or ()):
        where, key = f"{at}.topologySpreadConstraints[{index}]", constraint.get("topologyKey", "")
        if key in nodelabels.DEPRECATED:
            yield f"{where}.topologyKey: {key} is {nodelabels.DEPRECATED[key]}"
        if constraint.get("labelSelector") is None:
            yield f"{where}.labelSelector: {_NO_SELECTOR}"


def _volumes(spec: Object, at: str, minor: int) -> Iterator[str]:
    for index, volume in enumerate(spec.get("volumes") or ()):
        for field, (name, text) in VOLUMES.items():
            if volume.get(field) is None:
                continue
            later = ", and disabled by default in v1.33+" if field == "gitRepo" and minor >= 33 else ""
            yield f"{at}.volumes[{index}].{name}: {text}{later}"
        template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
        if template is not None:
            yield from of_claim_spec(template.get("spec"), f"{at}.volumes[{index}].ephemeral.volumeClaimTemplate.spec")


def of_claim_spec(spec: Object | None, path: str) -> Iterator[str]:
    """What the spec of a PersistentVolumeClaim is warned of."""
    resources = (spec or {}).get("resources") or {}
    for kind in ("requests", "limits"):
        yield from fractions(resources.get(kind), f"{path}.resources.{kind}", "storage")


def fractions(amounts: Object | None, path: str, *resources: str) -> Iterator[str]:
    """Bytes are whole."""
    for name in resources:
        text = (amounts or {}).get(name)
        if text is not None and not quantity.is_whole(found := quantity.parse(text)):
            yield f'{path}[{name}]: fractional byte value "{found.text}" is invalid, must be an integer'


def _repeated(items: list[Object] | None, path: str, field: str) -> Iterator[str]:
    seen: set[str] = set()
    for index, item in enumerate(items or ()):
        value = item.get(field, "")
        if value in seen:
            yield f"{path}[{index}].{field}: duplicate {field} {shown(value)}"
        seen.add(value)


def _non_functional(noted: str, key: str) -> str:
    return f'{noted}[{key}]: non-functional in v1.27+; use the "seccompProfile" field instead'


def _profiles(
    container: Object, annotations: Object, noted: str, pod: Object, *, template: bool, minor: int
) -> Iterator[str]:
    """Annotations where there is no field. Those of pods for AppArmor become fields instead."""
    context = container.get("securityContext") or {}
    key = f"{SECCOMP_CONTAINER}{container['name']}"
    if key in annotations and context.get("seccompProfile") is None:
        yield _non_functional(noted, key)
    key = f"{APP_ARMOR}{container['name']}"
    if not template or key not in annotations or context.get("appArmorProfile") is not None:
        return
    if minor < 34 or _profile(annotations[key]) != (pod.get("appArmorProfile") or {}):
        yield f'{noted}[{key}]: deprecated since v1.30; use the "appArmorProfile" field instead'


def _profile(annotation: str) -> Object | None:
    """The field that says the same as an annotation."""
    if annotation.startswith("localhost/"):
        return {"type": "Localhost", "localhostProfile": annotation.removeprefix("localhost/")}
    kind = {"unconfined": "Unconfined", "runtime/default": "RuntimeDefault"}.get(annotation)
    return None if kind is None else {"type": kind}


def _hidden_variables(container: Object, at: str) -> Iterator[str]:
    """A variable that is set again hides what it was, unless it refers to that."""
    seen: set[str] = set()
    for index, variable in enumerate(container.get("env") or ()):
        name, value = variable.get("name", ""), variable.get("value", "")
        if name not in seen:
            seen.add(name)
            continue
        own = f"$({name})"
        if variable.get("valueFrom") is not None or value == own or own not in value:
            text = f"hides previous definition of {shown(name)}, which may be dropped when using apply"
            yield f"{at}.env[{index}]: {text}"


def _ports(spec: Object, at: str) -> Iterator[str]:
    """The same port twice in a pod, whose containers share their addresses."""
    known: dict[tuple[int, str], _SamePort] = {}
    for container, where in containers(spec, at):
        for index, port in enumerate(container.get("ports") or ()):
            place = f"{where}.ports[{index}]"
            if port.get("hostIP") and not port.get("hostPort"):
                yield f"{place}: hostIP set without hostPort: {_go_port(port)}"
            others = known.setdefault((port.get("containerPort", 0), port.get("protocol", "")), _SamePort())
            host, ip = port.get("hostPort") or 0, port.get("hostIP") or ""
            for problem, other in others.clashes(host, ip):
                yield f"{place}: {problem} port definition with {other}"
            others.add(place, host, ip)


class _SamePort:
    """Definitions of one port, by where on the host they are to be reached. All that is looked at is told, so that
    looking ends when enough has been told."""

    def __init__(self) -> None:
        self._all: list[tuple[int, str, int, str]] = []
        self._by_host: dict[int, list[tuple[int, str, int, str]]] = {}
        self._by_place: dict[tuple[int, str], list[tuple[int, str, int, str]]] = {}

    def add(self, place: str, host: int, ip: str) -> None:
        found = (len(self._all), place, host, ip)
        self._all.append(found)
        self._by_host.setdefault(host, []).append(found)
        self._by_place.setdefault((host, ip), []).append(found)

    def clashes(self, host: int, ip: str) -> Iterator[tuple[str, str]]:
        for _, place, other_host, other_ip in self._candidates(host, ip):
            if host == other_host and ip == other_ip:
                yield "duplicate", place
            else:
                yield ("dangerously ambiguous" if host and other_host else "overlapping"), place

    def _candidates(self, host: int, ip: str) -> Iterable[tuple[int, str, int, str]]:
        """Those that clash, in their order."""
        if not host:
            return self._all
        anywhere = self._by_host.get(0, [])
        if not ip:
            return merge(anywhere, self._by_host.get(host, []))
        return merge(anywhere, self._by_place.get((host, ip), []), self._by_place.get((host, ""), []))


def _go_port(port: Object) -> str:
    """A port as Go prints a struct."""
    fields: dict[str, Any] = {
        "Name": port.get("name", ""),
        "HostPort": port.get("hostPort", 0),
        "ContainerPort": port.get("containerPort", 0),
        "Protocol": port.get("protocol", ""),
        "HostIP": port.get("hostIP", ""),
    }
    return f"{{{' '.join(f'{name}:{value}' for name, value in fields.items())}}}"


def _port_names(spec: Object, at: str) -> Iterator[str]:
    known: dict[str, str] = {}
    for container, where in containers(spec, at):
        for index, port in enumerate(container.get("ports") or ()):
            name, place = port.get("name"), f"{where}.ports[{index}]"
            if not name:
                continue
            first = known.setdefault(name, place)
            if first != place:
                used = f"services and probes that select ports by name will use {first}"
                yield f"{place}: duplicate port name {shown(name)} with {first}, {used}"


def _affinities(spec: Object, at: str) -> Iterator[str]:
    affinity = spec.get("affinity") or {}
    for kind in ("podAffinity", "podAntiAffinity"):
        terms = affinity.get(kind) or {}
        name = "requiredDuringSchedulingIgnoredDuringExecution"
        for index, term in enumerate(terms.get(name) or ()):
            if term.get("labelSelector") is None:
                yield f"{at}.affinity.{kind}.{name}[{index}].labelSelector: {_NO_SELECTOR}"
        name = "preferredDuringSchedulingIgnoredDuringExecution"
        for index, weighted in enumerate(terms.get(name) or ()):
            if (weighted.get("podAffinityTerm") or {}).get("labelSelector") is None:
                yield f"{at}.affinity.{kind}.{name}[{index}].podAffinityTerm.labelSelector: {_NO_SELECTOR}"
