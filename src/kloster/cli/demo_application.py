"""The application that the demo runs, and what must be true of it. An ordinary one, as people write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kloster.cli.hostapi import HostAPI

NAMESPACE = "shop"
NAMESPACED = f"/api/v1/namespaces/{NAMESPACE}"
APPS = f"/apis/apps/v1/namespaces/{NAMESPACE}"
BATCH = f"/apis/batch/v1/namespaces/{NAMESPACE}"
ORDERS = f"/apis/shop.example.com/v1/namespaces/{NAMESPACE}/orders"
IMAGE = "registry.example.com/shop/web:1.4.2"


def _meta(name: str) -> dict[str, Any]:
    return {"name": name, "namespace": NAMESPACE}


DEPLOYMENT = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": _meta("web"),
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "web"}},
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "serviceAccountName": "web",
                "containers": [
                    {
                        "name": "web",
                        "image": IMAGE,
                        "ports": [{"containerPort": 8080, "name": "http"}],
                        "envFrom": [{"configMapRef": {"name": "settings"}}],
                        "env": [
                            {
                                "name": "PASSWORD",
                                "valueFrom": {"secretKeyRef": {"name": "database", "key": "password"}},
                            }
                        ],
                        "readinessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
                        "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
                    }
                ],
            },
        },
    },
}

JOB = {
    "apiVersion": "batch/v1",
    "kind": "Job",
    "metadata": _meta("migrate"),
    "spec": {
        "template": {
            "spec": {
                "restartPolicy": "Never",
                "containers": [{"name": "migrate", "image": IMAGE, "args": ["migrate"]}],
            }
        }
    },
}

DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "orders.shop.example.com"},
    "spec": {
        "group": "shop.example.com",
        "scope": "Namespaced",
        "names": {"plural": "orders", "singular": "order", "kind": "Order", "listKind": "OrderList"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["item"],
                                "properties": {
                                    "item": {"type": "string"},
                                    "quantity": {"type": "integer", "minimum": 1, "default": 1},
                                },
                            }
                        },
                    }
                },
            }
        ],
    },
}

ORDER = {
    "apiVersion": "shop.example.com/v1",
    "kind": "Order",
    "metadata": _meta("first"),
    "spec": {"item": "candle"},
}

OBJECTS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}),
    (
        f"{NAMESPACED}/configmaps",
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _meta("settings"), "data": {"GREETING": "welcome"}},
    ),
    (
        f"{NAMESPACED}/secrets",
        {"apiVersion": "v1", "kind": "Secret", "metadata": _meta("database"), "stringData": {"password": "example"}},
    ),
    (
        f"{NAMESPACED}/serviceaccounts",
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta("web")},
    ),
    (f"{APPS}/deployments", DEPLOYMENT),
    (
        f"{NAMESPACED}/services",
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": _meta("web"),
            "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": "http"}]},
        },
    ),
    (f"{BATCH}/jobs", JOB),
    ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", DEFINITION),
    (ORDERS, ORDER),
)


def _deployment(api: HostAPI) -> str:
    status = api.get(f"{APPS}/deployments/web").get("status") or {}
    ready = status.get("readyReplicas", 0)
    return "" if ready == 3 and status.get("availableReplicas") == 3 else f"{ready} of 3 replicas are ready"


def _job(api: HostAPI) -> str:
    status = api.get(f"{BATCH}/jobs/migrate").get("status") or {}
    done = any(one["type"] == "Complete" and one["status"] == "True" for one in status.get("conditions") or ())
    return "" if done else f"succeeded: {status.get('succeeded', 0)}, active: {status.get('active', 0)}"


def _endpoints(api: HostAPI) -> str:
    """The service's endpoints are the three pods' addresses."""
    slices = api.get(f"/apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices")["items"]
    found = {
        address
        for one in slices
        for endpoint in one.get("endpoints") or ()
        if (endpoint.get("conditions") or {}).get("ready")
        for address in endpoint["addresses"]
    }
    pods = api.get(f"{NAMESPACED}/pods", labelSelector="app=web")["items"]
    expected = {pod["status"].get("podIP") for pod in pods}
    return "" if len(expected) == 3 and found == expected else f"endpoints {sorted(found)}"


def _order(api: HostAPI) -> str:
    quantity = api.get(f"{ORDERS}/first")["spec"].get("quantity")
    return "" if quantity == 1 else f"quantity is {quantity}, expected the default 1"


def _token(api: HostAPI) -> str:
    """The pods carry a service-account token volume of this cluster."""
    pods = api.get(f"{NAMESPACED}/pods", labelSelector="app=web")["items"]
    missing = [
        pod["metadata"]["name"]
        for pod in pods
        if not any(volume["name"].startswith("kube-api-access-") for volume in pod["spec"].get("volumes") or ())
    ]
    return f"no token volume in {', '.join(missing)}" if missing else ""


CHECKS: Mapping[str, Callable[[HostAPI], str]] = {
    "Deployment web": _deployment,
    "Job migrate": _job,
    "Service web": _endpoints,
    "Order first": _order,
    "service account tokens": _token,
}
"""What must be so → a function that returns what is there instead (empty: it is so)."""
