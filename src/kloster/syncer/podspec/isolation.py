"""What a tenant's pod may not ask of the node.

Tenants are strangers, so by default the pods of a virtual cluster must keep within the *baseline* Pod
Security Standard.
Two volume types that the standard leaves alone are refused as well, because the node acts in its own name for them:
``nfs`` (exports trust the nodes' addresses, and root in a container is root on them: other tenants' volumes) and
``gitRepo`` (the kubelet runs git, with the repository's hooks).
A runtime class is the host's: it says how far a container is kept from the node, so a pod may name only those that
``policies.runtimeClasses`` lists.
``policies.podSecurityStandard: privileged`` in the VirtualCluster's spec lifts all of that.
Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kloster.apimachinery import Object
from kloster.kinds.podspec.standard_rules import BASELINE_CAPABILITIES, SELINUX_TYPES, SYSCTLS_29, hosts_of_handlers
from kloster.syncer.translator import Refused

NODE_VOLUMES = ("hostPath", "nfs", "gitRepo")
SAFE_SYSCTLS = frozenset(SYSCTLS_29)


def check(spec: Object, policy: Mapping[str, Any]) -> None:
    """Raises Refused if the pod asks for what the cluster's policy does not allow."""
    standard = policy.get("podSecurityStandard", "baseline")
    if standard == "privileged":
        return
    found = sorted(set(_violations(spec)))
    runtime = spec.get("runtimeClassName")
    if runtime and runtime not in (policy.get("runtimeClasses") or ()):
        found.append(f"runtime class {runtime}, which policies.runtimeClasses does not list")
    if found:
        raise Refused(
            f"the pod violates this cluster's {standard} pod security policy on the host: {', '.join(found)}. "
            "Change the pod, or have the cluster created with policies.podSecurityStandard: privileged"
        )


def _violations(spec: Object) -> Iterator[str]:
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            yield name
    for volume in spec.get("volumes") or ():
        for kind in NODE_VOLUMES:
            if kind in volume:
                yield f"{kind} volume {volume['name']}"
    context = spec.get("securityContext") or {}
    yield from _context(context, "pod")
    for one in context.get("sysctls") or ():
        if one["name"] not in SAFE_SYSCTLS:
            yield f"sysctl {one['name']}"
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for container in spec.get(field) or ():
            yield from _container(container)


def _container(container: Object) -> Iterator[str]:
    context = container.get("securityContext") or {}
    yield from _context(context, f"container {container['name']}")
    if context.get("privileged"):
        yield f"privileged container {container['name']}"
    for capability in (context.get("capabilities") or {}).get("add") or ():
        if capability not in BASELINE_CAPABILITIES:
            yield f"capability {capability} of container {container['name']}"
    if context.get("procMount", "Default") != "Default":
        yield f"procMount of container {container['name']}"
    if any(port.get("hostPort") for port in container.get("ports") or ()):
        yield f"hostPort of container {container['name']}"
    # The kubelet would ask any address for the tenant, from the node: its loopback, its cloud's metadata service.
    if any(hosts_of_handlers(container)):
        yield f"host in a probe or lifecycle handler of container {container['name']}"


def _context(context: Object, owner: str) -> Iterator[str]:
    if (context.get("seccompProfile") or {}).get("type") == "Unconfined":
        yield f"seccomp profile Unconfined of {owner}"
    if (context.get("appArmorProfile") or {}).get("type") == "Unconfined":
        yield f"AppArmor profile Unconfined of {owner}"
    options = context.get("seLinuxOptions") or {}
    if options.get("user") or options.get("role"):
        yield f"SELinux user or role of {owner}"
    if options.get("type", "") not in SELINUX_TYPES:
        yield f"SELinux type {options['type']} of {owner}"
    if (context.get("windowsOptions") or {}).get("hostProcess"):
        yield f"hostProcess of {owner}"
