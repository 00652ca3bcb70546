"""The rules of the Pod Security Standards: what pods of the levels *baseline* and *restricted* may not ask for.

The rules are a table (`RULES`): each has a name, by which findings are ordered, a level, and the minor versions from
which it is checked in one form or another. A rule of *restricted* can stand in for a weaker one of *baseline*.

    violations(standard, server, annotations, spec)   what a pod asks for that it may not, in upstream's words

Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from kloster.apimachinery import Object, golang
from kloster.kinds.podspec.legacy import APP_ARMOR, SECCOMP_CONTAINER, SECCOMP_POD
from kloster.kinds.podspec.standards import Level, Standard


class Pod(NamedTuple):
    annotations: Mapping[str, str]
    spec: Object

    def containers(self) -> Iterator[Object]:
        for field in ("initContainers", "containers", "ephemeralContainers"):
            yield from self.spec.get(field) or ()


class Violation(NamedTuple):
    """`reason` is short and the same for many pods, `detail` says where."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


Check = Callable[[Pod], Violation | None]


class Rule(NamedTuple):
    """`forms` are the checks from a minor version on, oldest first; `instead_of` names a rule of baseline."""

    name: str
    level: Level
    forms: Sequence[tuple[int, Check]]
    instead_of: str = ""


def violations(standard: Standard, server: int, annotations: Mapping[str, str] | None, spec: Object) -> list[Violation]:
    """`server` is the minor version of the API server: it knows no later rules."""
    pod = Pod(annotations or {}, spec)
    checks = _checks(standard.level, min(standard.minor, server))
    return [found for check in checks if (found := check(pod)) is not None]


@lru_cache(maxsize=256)
def _checks(level: Level, minor: int) -> tuple[Check, ...]:
    """What is checked at a level and version: baseline first, in the order of names."""
    concerned = [rule for rule in RULES if rule.level <= level and rule.forms[0][0] <= minor]
    replaced = {rule.instead_of for rule in concerned if rule.instead_of}
    ordered = sorted(concerned, key=lambda rule: (rule.level, rule.name))
    return tuple(
        [check for since, check in rule.forms if since <= minor][-1] for rule in ordered if rule.name not in replaced
    )


# --- words --------------------------------------------------------------------------------------------------------


def _listed(items: Iterable[str]) -> str:
    return ", ".join(f'"{item}"' for item in items)


def _many(word: str, items: Sequence[Any] | set[str]) -> str:
    return word if len(items) == 1 else f"{word}s"


def _containers(names: Sequence[str]) -> str:
    return f"{_many('container', names)} {_listed(names)}"


def _who(pod: bool, names: Sequence[str]) -> str:
    """Who does it: the pod as a whole, some of its containers, or both."""
    return " and ".join([*(["pod"] if pod else ()), *([_containers(names)] if names else ())])


def _context(holder: Object) -> Object:
    found: Object = holder.get("securityContext") or {}
    return found


def _setters(pod: Pod, bad: Callable[[Object], bool]) -> str:
    """Who sets something bad in its security context; empty: nobody."""
    names = [container["name"] for container in pod.containers() if bad(_context(container))]
    return _who(bad(_context(pod.spec)), names)


def _in_user_namespace(pod: Pod) -> bool:
    return pod.spec.get("hostUsers") is False


def _unless(exempt: Callable[[Pod], bool], check: Check) -> Check:
    return lambda pod: None if exempt(pod) else check(pod)


def _is_windows(pod: Pod) -> bool:
    """Validation keeps what follows from such pods."""
    return bool((pod.spec.get("os") or {}).get("name") == "windows")


# --- baseline -----------------------------------------------------------------------------------------------------


def _app_armor(pod: Pod) -> Violation | None:
    values: set[str] = set()

    def bad(context: Object) -> bool:
        kind = (context.get("appArmorProfile") or {}).get("type", "RuntimeDefault")
        if kind in ("RuntimeDefault", "Localhost"):
            return False
        values.add(kind)
        return True

    setters = [who] if (who := _setters(pod, bad)) else []
    notes = sorted(
        f"{key}={golang.quoted(value)}"
        for key, value in pod.annotations.items()
        if key.startswith(APP_ARMOR) and value not in ("", "runtime/default") and not value.startswith("localhost/")
    )
    if notes:
        setters.append(_many("annotation", notes))
    if not setters:
        return None
    found = [*sorted(values), *notes]
    text = f"{' and '.join(setters)} must not set AppArmor profile type to {_listed(found)}"
    return Violation(_many("forbidden AppArmor profile", found), text)


BASELINE_CAPABILITIES = frozenset(
    (
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    )
)


def _added(pod: Pod, allowed: Iterable[str]) -> tuple[list[str], set[str]]:
    """The containers that add other capabilities than these, and which."""
    names, found = [], set()
    for container in pod.containers():
        more = set((_context(container).get("capabilities") or {}).get("add") or ()).difference(allowed)
        if more:
            names.append(container["name"])
            found |= more
    return names, found


def _must_not_include(names: Sequence[str], found: Iterable[str]) -> str:
    return f"{_containers(names)} must not include {_listed(sorted(found))} in securityContext.capabilities.add"


def _capabilities(pod: Pod) -> Violation | None:
    names, found = _added(pod, BASELINE_CAPABILITIES)
    return Violation("non-default capabilities", _must_not_include(names, found)) if names else None


def _host_namespaces(pod: Pod) -> Violation | None:
    found = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if pod.spec.get(name)]
    return Violation("host namespaces", ", ".join(found)) if found else None


def _host_paths(pod: Pod) -> Violation | None:
    found = [volume["name"] for volume in pod.spec.get("volumes") or () if volume.get("hostPath") is not None]
    return Violation("hostPath volumes", f"{_many('volume', found)} {_listed(found)}") if found else None


def _host_ports(pod: Pod) -> Violation | None:
    names: list[str] = []
    ports: set[str] = set()
    for container in pod.containers():
        found = {str(port["hostPort"]) for port in container.get("ports") or () if port.get("hostPort")}
        if found:
            names.append(container["name"])
            ports |= found
    return _uses("hostPort", "hostPort", _containers(names), names, ports, ", ".join(sorted(ports)))


def _uses(reason: str, word: str, who: str, users: Sequence[str], used: set[str], shown: str) -> Violation | None:
    if not users:
        return None
    verb = "uses" if len(users) == 1 else "use"
    return Violation(reason, f"{who} {verb} {_many(word, used)} {shown}")


def hosts_of_handlers(container: Object) -> Iterator[str]:
    """The hosts that its probes and lifecycle handlers ask, where they name one."""
    lifecycle = container.get("lifecycle") or {}
    probes = [container.get(name) for name in ("livenessProbe", "readinessProbe", "startupProbe")]
    for handler in (*probes, lifecycle.get("postStart"), lifecycle.get("preStop")):
        for way in ("httpGet", "tcpSocket"):
            host = ((handler or {}).get(way) or {}).get("host")
            if host:
                yield host


def _host_probes(pod: Pod) -> Violation | None:
    names: set[str] = set()
    hosts: set[str] = set()
    for container in pod.containers():
        found = set(hosts_of_handlers(container))
        if found:
            names.add(container["name"])
            hosts |= found
    word = "probe or lifecycle host"
    return _uses(word, word, _containers(sorted(names)), sorted(names), hosts, _listed(sorted(hosts)))


def _privileged(pod: Pod) -> Violation | None:
    names = [container["name"] for container in pod.containers() if _context(container).get("privileged")]
    return (
        Violation("privileged", f"{_containers(names)} must not set securityContext.privileged=true") if names else None
    )


def _proc_mount(pod: Pod) -> Violation | None:
    used = {one["name"]: _context(one).get("procMount") for one in pod.containers()}
    bad = {name: kind for name, kind in used.items() if kind not in (None, "Default")}
    if not bad:
        return None
    kinds = _listed(sorted(set(bad.values())))
    return Violation("procMount", f"{_containers(list(bad))} must not set securityContext.procMount to {kinds}")


_SELINUX = frozenset(("", "container_t", "container_init_t", "container_kvm_t"))
SELINUX_TYPES = _SELINUX | {"container_engine_t"}


def _selinux(allowed: frozenset[str]) -> Check:
    def check(pod: Pod) -> Violation | None:
        types: set[str] = set()
        texts: set[str] = set()

        def bad(context: Object) -> bool:
            options = context.get("seLinuxOptions") or {}
            kind = options.get("type", "")
            wrong = [f"{name} may not be set" for name in ("user", "role") if options.get(name)]
            texts.update(wrong)
            if kind in allowed:
                return bool(wrong)
            types.add(kind)
            return True

        who = _setters(pod, bad)
        if not who:
            return None
        found = [f"{_many('type', types)} {_listed(sorted(types))}"] if types else []
        found += sorted(texts, reverse=True)  # user before role
        text = f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(found)}"
        return Violation("seLinuxOptions", text)

    return check


def _seccomp_annotations(pod: Pod) -> Violation | None:
    keys = {SECCOMP_POD, *(f"{SECCOMP_CONTAINER}{container['name']}" for container in pod.containers())}
    found = sorted(
        f"{key}={golang.quoted(value)}"
        for key in keys
        if (value := pod.annotations.get(key)) is not None
        and value not in ("runtime/default", "docker/default")
        and not value.startswith("localhost/")
    )
    if not found:
        return None
    return Violation("seccompProfile", f"forbidden {_many('annotation', found)} {', '.join(found)}")


def _seccomp(pod: Pod) -> Violation | None:
    values: set[str] = set()

    def bad(context: Object) -> bool:
        profile = context.get("seccompProfile")
        if profile is None or profile.get("type") in ("RuntimeDefault", "Localhost"):
            return False
        values.add(profile.get("type", ""))
        return True

    who = _setters(pod, bad)
    if not who:
        return None
    text = f"{who} must not set securityContext.seccompProfile.type to {_listed(sorted(values))}"
    return Violation("seccompProfile", text)


_SYSCTLS = (
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_unprivileged_port_start",
)
_SYSCTLS_27 = (*_SYSCTLS, "net.ipv4.ip_local_reserved_ports")
SYSCTLS_29 = (
    *_SYSCTLS_27,
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
)
_SYSCTLS_32 = (*SYSCTLS_29, "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem")
_SYSCTLS_SINCE = ((0, _SYSCTLS), (27, _SYSCTLS_27), (29, SYSCTLS_29), (32, _SYSCTLS_32))


def _sysctls(allowed: Sequence[str]) -> Check:
    def check(pod: Pod) -> Violation | None:
        names = [sysctl["name"] for sysctl in _context(pod.spec).get("sysctls") or ()]
        found = [name for name in names if name not in allowed]
        return Violation("forbidden sysctls", ", ".join(found)) if found else None

    return check


def _host_process(pod: Pod) -> Violation | None:
    who = _setters(pod, lambda context: bool((context.get("windowsOptions") or {}).get("hostProcess")))
    return (
        Violation("hostProcess", f"{who} must not set securityContext.windowsOptions.hostProcess=true") if who else None
    )


# --- restricted ---------------------------------------------------------------------------------------------------


def _escalation(pod: Pod) -> Violation | None:
    names = [one["name"] for one in pod.containers() if _context(one).get("allowPrivilegeEscalation") is not False]
    if not names:
        return None
    text = f"{_containers(names)} must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", text)


def _capabilities_dropped(pod: Pod) -> Violation | None:
    keeping = [
        one["name"]
        for one in pod.containers()
        if "ALL" not in ((_context(one).get("capabilities") or {}).get("drop") or ())
    ]
    adding, found = _added(pod, ("NET_BIND_SERVICE",))
    texts = [f'{_containers(keeping)} must set securityContext.capabilities.drop=["ALL"]'] if keeping else []
    if adding:
        texts.append(_must_not_include(adding, found))
    return Violation("unrestricted capabilities", "; ".join(texts)) if texts else None


_VOLUMES = frozenset(
    (
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    )
)


def _volumes(pod: Pod) -> Violation | None:
    names, types = [], set()
    for volume in pod.spec.get("volumes") or ():
        kinds = [key for key, value in volume.items() if key != "name" and value is not None]
        if not _VOLUMES.intersection(kinds):
            names.append(volume["name"])
            types.add(kinds[0] if kinds else "unknown")
    word = "restricted volume type"
    return _uses(f"{word}s", word, f"{_many('volume', names)} {_listed(names)}", names, types, _listed(sorted(types)))


def _non_root(pod: Pod) -> Violation | None:
    who = _setters(pod, lambda context: context.get("runAsNonRoot") is False)
    if who:
        return Violation("runAsNonRoot != true", f"{who} must not set securityContext.runAsNonRoot=false")
    if _context(pod.spec).get("runAsNonRoot"):
        return None
    names = [one["name"] for one in pod.containers() if _context(one).get("runAsNonRoot") is None]
    if not names:
        return None
    return Violation("runAsNonRoot != true", f"pod or {_containers(names)} must set securityContext.runAsNonRoot=true")


def _not_as_root(pod: Pod) -> Violation | None:
    who = _setters(pod, lambda context: context.get("runAsUser") == 0)
    return Violation("runAsUser=0", f"{who} must not set runAsUser=0") if who else None


def _seccomp_set(pod: Pod) -> Violation | None:
    found = _seccomp(pod)
    if found is not None or _context(pod.spec).get("seccompProfile") is not None:
        return found
    names = [one["name"] for one in pod.containers() if _context(one).get("seccompProfile") is None]
    if not names:
        return None
    text = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return Violation("seccompProfile", f"pod or {_containers(names)} {text}")


_BASELINE, _RESTRICTED = Level.BASELINE, Level.RESTRICTED
RULES = (
    Rule("appArmorProfile", _BASELINE, [(0, _app_armor)]),
    Rule("capabilities_baseline", _BASELINE, [(0, _capabilities)]),
    Rule("hostNamespaces", _BASELINE, [(0, _host_namespaces)]),
    Rule("hostPathVolumes", _BASELINE, [(0, _host_paths)]),
    Rule("hostPorts", _BASELINE, [(0, _host_ports)]),
    Rule("hostProbesAndHostLifecycle", _BASELINE, [(34, _host_probes)]),
    Rule("privileged", _BASELINE, [(0, _privileged)]),
    Rule("procMount", _BASELINE, [(0, _proc_mount), (35, _unless(_in_user_namespace, _proc_mount))]),
    Rule("seLinuxOptions", _BASELINE, [(0, _selinux(_SELINUX)), (31, _selinux(SELINUX_TYPES))]),
    Rule("seccompProfile_baseline", _BASELINE, [(0, _seccomp_annotations), (19, _seccomp)]),
    Rule(
        "sysctls",
        _BASELINE,
        [
            (0, _sysctls(_SYSCTLS)),
            (27, _sysctls(_SYSCTLS_27)),
            (29, _sysctls(SYSCTLS_29)),
            (32, _sysctls(_SYSCTLS_32)),
        ],
    ),
    Rule("windowsHostProcess", _BASELINE, [(0, _host_process)]),
    Rule("allowPrivilegeEscalation", _RESTRICTED, [(8, _escalation), (25, _unless(_is_windows, _escalation))]),
    Rule(
        "capabilities_restricted",
        _RESTRICTED,
        [(22, _capabilities_dropped), (25, _unless(_is_windows, _capabilities_dropped))],
        instead_of="capabilities_baseline",
    ),
    Rule("procMount_restricted", _RESTRICTED, [(35, _proc_mount)], instead_of="procMount"),
    Rule("restrictedVolumes", _RESTRICTED, [(0, _volumes)], instead_of="hostPathVolumes"),
    Rule("runAsNonRoot", _RESTRICTED, [(0, _non_root), (35, _unless(_in_user_namespace, _non_root))]),
    Rule("runAsUser", _RESTRICTED, [(23, _not_as_root), (35, _unless(_in_user_namespace, _not_as_root))]),
    Rule(
        "seccompProfile_restricted",
        _RESTRICTED,
        [(19, _seccomp_set), (25, _unless(_is_windows, _seccomp_set))],
        instead_of="seccompProfile_baseline",
    ),
)
