"""The built-in controllers: what kube-controller-manager runs, one file or folder each.

`TABLE` lists them. Each is switched on and off by the name that kube-controller-manager's ``--controllers`` knows, see
`select`. A controller belongs here if every cluster needs it for ordinary applications to come up; what needs a cloud,
a volume driver or a metrics source does not.
"""

from __future__ import annotations

from collections.abc import Iterable

from kloster.controllers import (
    certificatesigningrequests,
    clusterroles,
    cronjobs,
    daemonsets,
    deployments,
    endpoints,
    endpointslicemirroring,
    endpointslices,
    ephemeralvolumes,
    garbagecollection,
    jobs,
    namespaces,
    nodes,
    persistentvolumeclaims,
    persistentvolumes,
    poddisruptionbudgets,
    podgc,
    replicasets,
    replicationcontrollers,
    resourcequotas,
    rootcas,
    serviceaccounts,
    statefulsets,
    ttlafterfinished,
    volumeattributesclasses,
)
from kloster.runtime.api import Controller

TABLE: tuple[Controller, ...] = (
    namespaces.CONTROLLER,
    serviceaccounts.CONTROLLER,
    rootcas.CONTROLLER,
    deployments.CONTROLLER,
    replicasets.CONTROLLER,
    replicationcontrollers.CONTROLLER,
    statefulsets.CONTROLLER,
    daemonsets.CONTROLLER,
    jobs.CONTROLLER,
    cronjobs.CONTROLLER,
    ttlafterfinished.CONTROLLER,
    endpoints.CONTROLLER,
    endpointslices.CONTROLLER,
    endpointslicemirroring.CONTROLLER,
    poddisruptionbudgets.CONTROLLER,
    ephemeralvolumes.CONTROLLER,
    persistentvolumeclaims.CONTROLLER,
    persistentvolumes.CONTROLLER,
    volumeattributesclasses.CONTROLLER,
    garbagecollection.CONTROLLER,
    podgc.CONTROLLER,
    clusterroles.CONTROLLER,
    resourcequotas.CONTROLLER,
    certificatesigningrequests.APPROVING,
    certificatesigningrequests.SIGNING,
    certificatesigningrequests.CLEANER,
)

HOST_TABLE: tuple[Controller, ...] = (nodes.CONTROLLER,)
"""What only clusters with nodes of their own run, beside `TABLE`."""

REHEARSED_TABLE: tuple[Controller, ...] = (nodes.LOST,)
"""What only clusters run that tests rehearse with, beside `TABLE`."""

_SUFFIX = "-controller"
_OLDER_NAMES = {
    "endpoint": "endpoints-controller",
    "podgc": "pod-garbage-collector-controller",
    "garbagecollector": "garbage-collector-controller",
    "csrapproving": "certificatesigningrequest-approving-controller",
    "csrcleaner": "certificatesigningrequest-cleaner-controller",
    "csrsigning": "certificatesigningrequest-signing-controller",
    "pvc-protection": "persistentvolumeclaim-protection-controller",
    "pv-protection": "persistentvolume-protection-controller",
    "root-ca-cert-publisher": "root-ca-certificate-publisher-controller",
}
_NOT_RUN_HERE = frozenset(
    {
        "serviceaccount-token-controller",
        "horizontal-pod-autoscaler-controller",
        "ttl-controller",
        "bootstrap-signer-controller",
        "token-cleaner-controller",
        "node-ipam-controller",
        "node-lifecycle-controller",
        "taint-eviction-controller",
        "persistentvolume-binder-controller",
        "persistentvolume-attach-detach-controller",
        "persistentvolume-expander-controller",
        "resourceclaim-controller",
        "legacy-serviceaccount-token-cleaner-controller",
        "validatingadmissionpolicy-status-controller",
        "service-cidr-controller",
    }
)


def select(patterns: Iterable[str]) -> tuple[Controller, ...]:
    """The controllers that ``--controllers`` with these values would run, in the table's order.

    ``*`` means all, ``NAME`` or ``NAME-controller`` switches one on, with ``-`` in front one off; the first value
    that names a controller decides. Switching off what upstream has and Kloster does not run is accepted.
    Raises ValueError, listing the names, for any other name.
    """
    everything, chosen = False, dict[str, bool]()
    known = {controller.name for controller in TABLE}
    for pattern in patterns:
        if pattern == "*":
            everything = True
            continue
        wanted = not pattern.startswith("-")
        name = _canonical(pattern.removeprefix("-"))
        if name not in known and (wanted or name not in _NOT_RUN_HERE):
            names = ", ".join(sorted(controller.name for controller in TABLE))
            raise ValueError(f"there is no controller {pattern.removeprefix('-')!r}; there are: {names}")
        chosen.setdefault(name, wanted)
    return tuple(controller for controller in TABLE if chosen.get(controller.name, everything))


def _canonical(name: str) -> str:
    if name in _OLDER_NAMES:
        return _OLDER_NAMES[name]
    return name if name.endswith(_SUFFIX) else name + _SUFFIX
