"""What a process is asked to serve: one cluster, as its VirtualCluster object says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from kloster.fleet.spec import RUN, SUSPENDED, ClusterSpec, parse
from kloster.fleet.virtualcluster import RESET
from kloster.syncer.names import LONGEST, SEPARATOR, Tenancy, join


@dataclass(frozen=True, slots=True)
class Wish:
    """One cluster.

    id      the VirtualCluster's UID
    spec    as it stands in the object; it has been found to be in order
    resting whether its pods stay off the host
    reset   what the object's annotation that asks for going back to the fork says
    """

    id: str
    namespace: str
    name: str
    spec: ClusterSpec = field(compare=True)
    raw: Mapping[str, Any] = field(compare=False, repr=False, default_factory=dict)
    resting: bool = False
    reset: str = field(default="", compare=False)

    @classmethod
    def of(cls, cluster: Mapping[str, Any], simulated: bool = True) -> Wish:
        """What a VirtualCluster object asks for. Raises SpecError.

        simulated    whether the host's nodes only pretend: then a fork's workloads run unless the spec says otherwise
        """
        metadata, raw = cluster["metadata"], cluster.get("spec") or {}
        spec, status = parse(raw), cluster.get("status") or {}
        wanted = spec.workloads or (RUN if simulated or spec.origin is None else SUSPENDED)
        # What has run once runs on: pods that lost their host pod would be taken for evicted.
        resting = wanted == SUSPENDED and status.get("workloads") != RUN
        reset = (metadata.get("annotations") or {}).get(RESET, "")
        return cls(metadata["uid"], metadata["namespace"], metadata["name"], spec, raw, resting, reset)

    @property
    def display(self) -> str:
        """For logs, listings and metrics."""
        return f"{self.namespace}/{self.name}"

    @property
    def tenancy(self) -> Tenancy:
        """The cluster as the host knows it."""
        return tenancy(self.id, self.namespace, self.name)

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "namespace": self.namespace,
            "name": self.name,
            "spec": dict(self.raw),
            "resting": self.resting,
            "reset": self.reset,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Wish:
        spec = data["spec"]
        return cls(data["id"], data["namespace"], data["name"], parse(spec), spec, data["resting"], data["reset"])


def tenancy(id: str, namespace: str, name: str) -> Tenancy:
    """A cluster as the host knows it; does not depend on its spec."""
    display = name if namespace == "default" else f"{name}-{namespace}"
    return Tenancy(id, display, host_namespace(namespace, name))


def host_namespace(namespace: str, name: str) -> str:
    """The host namespace that holds a cluster's objects."""
    plain = f"vc-{name}"
    if namespace == "default" and len(plain) <= LONGEST and SEPARATOR not in f"{plain}-":
        return plain
    return join(plain, namespace)
