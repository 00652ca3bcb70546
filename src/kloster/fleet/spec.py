"""What a VirtualCluster's spec may say.

The tree of keys is that of ``vcluster.yaml``, so that people can bring the file that they have; a few keys are
Kloster's own (``kubernetesVersion``, ``controllers``). A key is either honoured, or harmless here (how another product
would run its control plane: accepted with a warning), or refused by name. It is never ignored in silence.

`parse` is the single place where a spec is read; everything else gets a `ClusterSpec`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kloster.controllers import select
from kloster.kinds.catalog import parse_version

LATEST = "1.37"
STANDARDS = ("baseline", "privileged")
TO_HOST = ("pods", "services", "configMaps", "secrets", "persistentVolumeClaims", "endpointSlices")
FROM_HOST = ("nodes", "events")

HONOURED: Mapping[str, type | tuple[type, ...]] = {
    "kubernetesVersion": str,
    "controllers": list,
    "controlPlane.distro.k8s.version": str,
    "controlPlane.distro.k8s.image.tag": str,
    "policies.podSecurityStandard": str,
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


class SpecError(ValueError):
    """The spec cannot be honoured. The text names the path, what was expected and what to do."""


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """A parsed spec.

    minor          Kubernetes version, such as ``1.34``
    controllers    patterns as kube-controller-manager's --controllers takes them
    pod_security   the Pod Security Standard that the tenant's pods must keep on the host
    to_host        kinds that cross to the host
    from_host      what is brought up from the host
    context        the name of the kubeconfig context, empty for the usual one
    warnings       one for each harmless key
    """

    minor: str = LATEST
    controllers: tuple[str, ...] = ("*",)
    pod_security: str = "baseline"
    to_host: frozenset[str] = frozenset(TO_HOST)
    from_host: frozenset[str] = frozenset(FROM_HOST)
    context: str = ""
    warnings: tuple[str, ...] = field(default=(), compare=False)


def parse(spec: Mapping[str, Any]) -> ClusterSpec:
    """Read a spec. Raises SpecError."""
    values: dict[str, Any] = {}
    warnings: list[str] = []
    for path, value in _leaves(spec):
        if path in HONOURED:
            _check_type(path, value, HONOURED[path])
            values[path] = value
        elif any(path == known or path.startswith(known + ".") for known in HARMLESS):
            warnings.append(f"spec.{path} has no meaning in Kloster and is not used")
        else:
            raise SpecError(_unknown(path))
    return ClusterSpec(
        minor=_version(values),
        controllers=_controllers(values.get("controllers", ["*"])),
        pod_security=_standard(values.get("policies.podSecurityStandard", "baseline")),
        to_host=frozenset(kind for kind in TO_HOST if values.get(f"sync.toHost.{kind}.enabled", True)),
        from_host=frozenset(kind for kind in FROM_HOST if values.get(f"sync.fromHost.{kind}.enabled", True)),
        context=values.get("exportKubeConfig.context", ""),
        warnings=tuple(warnings),
    )


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and path not in HONOURED:
            yield from _leaves(value, path + ".")
        else:
            yield path, value


def _check_type(path: str, value: Any, wanted: type | tuple[type, ...]) -> None:
    if not isinstance(value, wanted):
        name = wanted.__name__ if isinstance(wanted, type) else " or ".join(one.__name__ for one in wanted)
        names = {"str": "a string", "bool": "true or false", "list": "a list"}
        hint = ' (quote it: "1.34")' if path == "kubernetesVersion" else ""
        raise SpecError(f"spec.{path}: expected {names.get(name, name)}, found {value!r}{hint}")


def _unknown(path: str) -> str:
    nearest = difflib.get_close_matches(path, HONOURED, n=1, cutoff=0.6)
    hint = f"; did you mean spec.{nearest[0]}?" if nearest else ""
    return f"spec.{path} is not supported{hint} Supported keys: docs/reference/virtualcluster.md".replace(
        "supported Supported", "supported. Supported"
    )


def _version(values: Mapping[str, Any]) -> str:
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
    return next(iter(minors.values()), LATEST)


def _controllers(patterns: list[Any]) -> tuple[str, ...]:
    for pattern in patterns:
        if not isinstance(pattern, str):
            raise SpecError(f"spec.controllers: expected names such as '*' or '-deployment', found {pattern!r}")
    try:
        select(patterns)
    except ValueError as error:
        raise SpecError(f"spec.controllers: {error}") from error
    return tuple(patterns)


def _standard(name: str) -> str:
    if name not in STANDARDS:
        raise SpecError(f"spec.policies.podSecurityStandard: expected {' or '.join(STANDARDS)}, found {name!r}")
    return name
