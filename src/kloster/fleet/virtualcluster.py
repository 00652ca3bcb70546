"""The VirtualCluster API: ``kloster.dev/v1alpha1``, namespaced on the host.

A CustomResourceDefinition on every host, the embedded one included, so that kubectl, GitOps tools and the CLI all use
the same object. `definition` is that CRD; the rest are small readers and writers of status.
"""

from __future__ import annotations

from typing import Any

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object
from kloster.client.api import Resource

GROUP = "kloster.dev"
VIRTUAL_CLUSTERS = Resource(GROUP, "v1alpha1", "virtualclusters", "VirtualCluster", True)
FINALIZER = "kloster.dev/virtualcluster"
KUBECONFIG_SECRET_PREFIX = "kubeconfig-"
FORKABLE = f"{GROUP}/forkable-in"
"""Annotation: other namespaces of the host, separated by commas, in which the cluster may be forked; ``*`` for all."""
RESET = f"{GROUP}/reset"
"""Annotation: a new value has a fork go back to the state at its fork; ``status.reset`` says which was done last."""


_TEXT: Object = {"type": "string"}
_CONDITION: Object = {
    "type": "object",
    "required": ["type", "status", "lastTransitionTime", "reason", "message"],
    "properties": {
        "type": _TEXT,
        "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
        "observedGeneration": {"type": "integer", "format": "int64"},
        "lastTransitionTime": {"type": "string", "format": "date-time"},
        "reason": _TEXT,
        "message": _TEXT,
    },
}
_STATUS: Object = {
    "type": "object",
    "properties": {
        "phase": _TEXT,
        "version": _TEXT,
        "endpoint": _TEXT,
        "port": {"type": "integer"},
        "commonEndpoint": _TEXT,
        "serverName": _TEXT,
        "context": _TEXT,
        "hostNamespace": _TEXT,
        "workloads": _TEXT,
        "reset": _TEXT,
        "from": {
            "type": "object",
            "properties": {
                "namespace": _TEXT,
                "name": _TEXT,
                "uid": _TEXT,
                "resourceVersion": _TEXT,
                "time": {"type": "string", "format": "date-time"},
            },
        },
        "observedGeneration": {"type": "integer", "format": "int64"},
        "conditions": {
            "type": "array",
            "items": _CONDITION,
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["type"],
        },
    },
}
_SCHEMA: Object = {
    "type": "object",
    "properties": {
        "spec": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "status": _STATUS,
    },
}
_COLUMNS = [
    {"name": "Version", "type": "string", "jsonPath": ".status.version"},
    {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
    {"name": "From", "type": "string", "jsonPath": ".status.from.name"},
    {"name": "Endpoint", "type": "string", "jsonPath": ".status.endpoint"},
    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
]


def definition() -> Object:
    """The CRD. spec is open: it is checked key by key by `kloster.fleet.spec`, which can say what is wrong."""
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"virtualclusters.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "plural": "virtualclusters",
                "singular": "virtualcluster",
                "kind": "VirtualCluster",
                "listKind": "VirtualClusterList",
                "shortNames": ["vc"],
                "categories": ["kloster"],
            },
            "versions": [
                {
                    "name": "v1alpha1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": _SCHEMA},
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": _COLUMNS,
                }
            ],
        },
    }


def condition(cluster: Object, type: str) -> Object | None:
    """The condition of that type, if there is one."""
    for one in (cluster.get("status") or {}).get("conditions") or ():
        if one["type"] == type:
            found: Object = one
            return found
    return None


def is_ready(cluster: Object) -> bool:
    found = condition(cluster, "Ready")
    return found is not None and found["status"] == "True"


def with_condition(
    cluster: Object, type: str, true: bool, reason: str, message: str, now: float
) -> list[dict[str, Any]]:
    """The cluster's conditions with this one set. The transition time moves only with the status."""
    old = condition(cluster, type)
    status = "True" if true else "False"
    moment = old["lastTransitionTime"] if old is not None and old["status"] == status else rfc3339(now)
    new = {
        "type": type,
        "status": status,
        "observedGeneration": cluster["metadata"].get("generation", 1),
        "lastTransitionTime": moment,
        "reason": reason,
        "message": message,
    }
    others = [one for one in (cluster.get("status") or {}).get("conditions") or () if one["type"] != type]
    return [*others, new]
