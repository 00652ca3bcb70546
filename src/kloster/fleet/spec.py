"""What a VirtualCluster's spec may say.

The tree of keys is that of ``vcluster.yaml``, so that people can bring the file that they have; a few keys are
Kloster's own (``kubernetesVersion``, ``controllers``, ``from``, ``workloads``, most of ``policies``). A key is either
honoured, or harmless here (how another product would run its control plane: accepted with a warning), or refused by
name. It is never ignored in silence.

`parse` is the single place where a spec is read; everything else gets a `ClusterSpec`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kloster.controllers import select
from kloster.kinds import names
from kloster.kinds.catalog import parse_version

LATEST = "1.37"
STANDARDS = ("baseline", "privileged")
RUN, SUSPENDED = "run", "suspended"
TO_HOST = ("pods", "services", "configMaps", "secrets", "persistentVolumeClaims", "endpointSlices")
FROM_HOST = ("nodes", "events", "storageClasses")
ALL_CLASSES = "storageClasses.all"
"""In `from_host`: every StorageClass of the host is shown, not those alone that claims use."""

HONOURED: Mapping[str, type] = {
    "kubernetesVersion": str,
    "controllers": list,
    "from.name": str,
    "from.namespace": str,
    "workloads": str,
    "testing.enabled": bool,
    "controlPlane.distro.k8s.version": str,
    "controlPlane.distro.k8s.image.tag": str,
    "policies.podSecurityStandard": str,
    "policies.tolerations": list,
    "policies.runtimeClasses": list,
    "policies.foreignEndpoints": bool,
    "exportKubeConfig.context": str,
    **{f"sync.toHost.{kind}.enabled": bool for kind in TO_HOST},
    **{f"sync.fromHost.{kind}.enabled": bool for kind in FROM_HOST},
}

# How another product runs its own control plane; Kloster has nothing that corresponds.
HARMLESS = (
    "controlPlane.distro.k8s",
    "controlPlane.distro.k3s",
    "controlPlane.distro.k0s",
    "controlPlane.backingStore",
    "controlPlane.statefulSet",
    "controlPlane.serviceMonitor",
    "telemetry",
    "logging",
    "global",
)


# Features of vcluster.yaml that Kloster does not have. Switched off they are as the file wants them, whatever else it
# says below; switched on they are refused.
ABSENT = (
    *(
        f"sync.toHost.{kind}"
        for kind in (
            *("endpoints", "ingresses", "gatewayApi", "namespaces", "networkPolicies", "persistentVolumes"),
            *("podDisruptionBudgets", "priorityClasses", "resourceClaims", "resourceClaimTemplates"),
            *("serviceAccounts", "storageClasses", "volumeSnapshots", "volumeSnapshotContents"),
        )
    ),
    *(
        f"sync.fromHost.{kind}"
        for kind in (
            *("configMaps", "csiDrivers", "csiNodes", "csiStorageCapacities", "deviceClasses", "gatewayClasses"),
            *("gateways", "ingressClasses", "priorityClasses", "runtimeClasses", "secrets"),
            "volumeSnapshotClasses",
        )
    ),
    *(f"integrations.{name}" for name in ("certManager", "externalSecrets", "istio", "kubeVirt", "metricsServer")),
    *(f"policies.{name}" for name in ("limitRange", "networkPolicy", "resourceQuota")),
    *(f"deploy.{name}" for name in ("ingressNginx", "metallb", "metricsServer", "volumeSnapshotController")),
    *("privateNodes", "controlPlane.advanced.virtualScheduler", "controlPlane.ingress", "controlPlane.standalone"),
    *("sync.toHost.pods.hybridScheduling", "sync.fromHost.nodes.selector", "networking.replicateServices"),
    *("exportKubeConfig.additionalSecrets", "experimental.deploy", "plugin", "plugins"),
)

# Values that say how Kloster is anyway.
AS_IT_IS: Mapping[str, tuple[Any, ...]] = {
    "sync.toHost.pods.useSecretsForSATokens": (True,),
    "sync.toHost.pods.patches": ([],),
    "sync.toHost.pods.enforceTolerations": ([],),
    "sync.toHost.secrets.all": (False,),
    "sync.toHost.configMaps.all": (False,),
    "sync.fromHost.nodes.syncBackChanges": (False,),
    "networking.replicateServices.toHost": ([],),
    "networking.replicateServices.fromHost": ([],),
    "networking.resolveDNS": ([],),
    "exportKubeConfig.insecure": (False,),
    "exportKubeConfig.additionalSecrets": ([],),
}

_SECTIONS = frozenset(
    ".".join(path.split(".")[:depth])
    for path in (*HONOURED, *HARMLESS, *ABSENT, *AS_IT_IS)
    for depth in range(1, path.count(".") + 1)
)


class SpecError(ValueError):
    """The spec cannot be honoured. The text names the path, what was expected and what to do."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The cluster that a fork is made from. `namespace` is empty for the fork's own."""

    name: str
    namespace: str = ""


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """A parsed spec.

    minor          Kubernetes version, such as ``1.34``; empty for a fork that says none: that of its source
    controllers    patterns as kube-controller-manager's --controllers takes them
    pod_security   the Pod Security Standard that the tenant's pods must keep on the host
    tolerations    keys of host taints that the tenant's pods may tolerate; ``*`` for all. Taints of node conditions
                   (``node.kubernetes.io/…``) may always be
    runtime_classes      the host's runtime classes that the tenant's pods may name
    foreign_endpoints    the tenant's EndpointSlices may hold addresses that are not those of its own pods
    to_host        kinds that cross to the host
    from_host      what is brought up from the host. Of storage classes those that claims use; all of them where
                   ``sync.fromHost.storageClasses.enabled`` says true
    context        the name of the kubeconfig context, empty for the usual one
    origin         the cluster that this one is a fork of: a copy-on-write branch of its whole state
    workloads      ``run``, or ``suspended``: pods are not carried to the host until this says ``run``. Empty: ``run``,
                   except for a fork on nodes on which containers really run, whose operators would act twice
    testing        requests are recorded and can be made to fail, by who administers the cluster (`kloster.testing`)
    warnings       one for each harmless key
    """

    minor: str = LATEST
    controllers: tuple[str, ...] = ("*",)
    pod_security: str = "baseline"
    tolerations: tuple[str, ...] = ()
    runtime_classes: tuple[str, ...] = ()
    foreign_endpoints: bool = False
    to_host: frozenset[str] = frozenset(TO_HOST)
    from_host: frozenset[str] = frozenset(FROM_HOST)
    context: str = ""
    origin: Origin | None = None
    workloads: str = ""
    testing: bool = False
    warnings: tuple[str, ...] = field(default=(), compare=False)

    @property
    def policy(self) -> Mapping[str, Any]:
        """What translators ask about the tenant (`syncer.translator.World.policy`)."""
        return {
            "podSecurityStandard": self.pod_security,
            "tolerations": self.tolerations,
            "runtimeClasses": self.runtime_classes,
            "foreignEndpoints": self.foreign_endpoints,
        }


def parse(spec: Mapping[str, Any]) -> ClusterSpec:
    """Read a spec. Raises SpecError, which names everything that is wrong, one line for each."""
    values: dict[str, Any] = {}
    warnings: list[str] = []
    wrong: list[str] = []
    off = tuple(path + "." for path in ABSENT if _at(spec, path) is not None and _at(spec, f"{path}.enabled") is False)
    for path, value in _leaves(spec):
        if value is None:
            continue  # YAML's way to say nothing
        if path in HONOURED:
            complaint = _type_complaint(path, value, HONOURED[path])
            values[path] = value
        elif path in _SECTIONS:
            complaint = f"spec.{path}: expected a mapping, found {value!r}"
        elif path.startswith(off) or value in AS_IT_IS.get(path, ()):
            continue
        elif any(path == known or path.startswith(known + ".") for known in HARMLESS):
            warnings.append(f"spec.{path} has no meaning in Kloster and is not used")
            continue
        else:
            complaint = _unknown(path)
        if complaint:
            wrong.append(complaint)
    if wrong:
        raise SpecError("\n".join(dict.fromkeys(wrong)))
    origin = _origin(values)
    return ClusterSpec(
        minor=_version(values, "" if origin else LATEST),
        controllers=_controllers(values.get("controllers", ["*"])),
        pod_security=_standard(values.get("policies.podSecurityStandard", "baseline")),
        tolerations=_texts(values, "policies.tolerations"),
        runtime_classes=_texts(values, "policies.runtimeClasses"),
        foreign_endpoints=values.get("policies.foreignEndpoints", False),
        to_host=frozenset(kind for kind in TO_HOST if values.get(f"sync.toHost.{kind}.enabled", True)),
        from_host=_from_host(values),
        context=values.get("exportKubeConfig.context", ""),
        origin=origin,
        workloads=_workloads(values.get("workloads", "")),
        testing=values.get("testing.enabled", False),
        warnings=tuple(warnings),
    )


def _from_host(values: Mapping[str, Any]) -> frozenset[str]:
    found = {kind for kind in FROM_HOST if values.get(f"sync.fromHost.{kind}.enabled", True)}
    if values.get("sync.fromHost.storageClasses.enabled"):
        found.add(ALL_CLASSES)
    return frozenset(found)


def _at(tree: Any, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(tree, Mapping):
            return None
        tree = tree.get(key)
    return tree


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and path not in HONOURED:
            yield from _leaves(value, path + ".")
        else:
            yield path, value


def _type_complaint(path: str, value: Any, wanted: type) -> str:
    if isinstance(value, wanted):
        return ""
    names = {str: "a string", bool: "true or false", list: "a list"}
    hint = f' (quote it: "{value}")' if wanted is str and isinstance(value, int | float) else ""
    return f"spec.{path}: expected {names[wanted]}, found {value!r}{hint}"


def _unknown(path: str) -> str:
    """The complaint about a key that is not supported, with the nearest one that is if it looks like a slip."""
    feature = next((known for known in ABSENT if path == known or path.startswith(known + ".")), None)
    nearest = () if feature else difflib.get_close_matches(path, HONOURED, n=1, cutoff=0.85)
    hint = f"; did you mean spec.{nearest[0]}?" if nearest else ""
    return f"spec.{feature or path} is not supported{hint}"


def _version(values: Mapping[str, Any], default: str) -> str:
    asked = {
        path: values[path]
        for path in ("kubernetesVersion", "controlPlane.distro.k8s.version", "controlPlane.distro.k8s.image.tag")
        if values.get(path)
    }
    try:
        minors = {path: parse_version(text) for path, text in asked.items()}
    except ValueError as error:
        raise SpecError(f"spec.{next(iter(asked))}: {error}") from error
    if len(set(minors.values())) > 1:
        listed = " and ".join(f"spec.{path}: {asked[path]}" for path in asked)
        raise SpecError(f"two Kubernetes versions are asked for: {listed}; keep one")
    return next(iter(minors.values()), default)


def _origin(values: Mapping[str, Any]) -> Origin | None:
    name, namespace = values.get("from.name", ""), values.get("from.namespace", "")
    if not name and not namespace:
        return None
    for key, value in (("name", name), ("namespace", namespace or name)):
        found = names.label(value)
        if found:
            raise SpecError(f'spec.from.{key}: Invalid value: "{value}": {found[0]}')
    return Origin(name, namespace)


def _workloads(text: str) -> str:
    if text not in ("", RUN, SUSPENDED):
        raise SpecError(f"spec.workloads: expected {RUN} or {SUSPENDED}, found {text!r}")
    return text


def _controllers(patterns: list[Any]) -> tuple[str, ...]:
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise SpecError(f"spec.controllers: expected names such as '*' or '-deployment', found {pattern!r}")
    try:
        select(patterns)
    except ValueError as error:
        raise SpecError(f"spec.controllers: {error}") from error
    return tuple(patterns)


def _texts(values: Mapping[str, Any], path: str) -> tuple[str, ...]:
    listed = values.get(path) or ()
    for one in listed:
        if not isinstance(one, str) or not one:
            raise SpecError(f"spec.{path}: expected a list of strings, found {one!r}")
    return tuple(listed)


def _standard(name: str) -> str:
    if name not in STANDARDS:
        raise SpecError(f"spec.policies.podSecurityStandard: expected {' or '.join(STANDARDS)}, found {name!r}")
    return name
