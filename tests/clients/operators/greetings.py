"""An ordinary kopf operator: greetings become ConfigMaps, their status tells it, a timer counts, a finalizer waits."""

from __future__ import annotations

from typing import Any

import kopf
import kubernetes

GROUP = "kopf.kloster.dev"


@kopf.on.startup()
def configure(settings: kopf.OperatorSettings, **_: Any) -> None:
    settings.posting.loggers = True
    settings.watching.server_timeout = 60
    settings.persistence.finalizer = f"{GROUP}/finalizer"


@kopf.on.create(GROUP, "v1", "greetings")
@kopf.on.update(GROUP, "v1", "greetings", field="spec")
def greet(spec: kopf.Spec, name: str, namespace: str, uid: str, patch: kopf.Patch, **_: Any) -> dict[str, str]:
    """Make or change the ConfigMap of a greeting; the result lands in status.greet."""
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}}
    body["data"] = {"text": f"Hello, {spec['whom']}!"}
    kopf.adopt(body)
    kopf.label(body, {"greeting": name})
    core = kubernetes.client.CoreV1Api()
    try:
        core.create_namespaced_config_map(namespace, body)
    except kubernetes.client.ApiException as error:
        if error.status != 409:
            raise
        core.patch_namespaced_config_map(name, namespace, {"data": body["data"]})
    patch.status["phase"] = "Greeted"
    return {"text": body["data"]["text"]}


@kopf.on.delete(GROUP, "v1", "greetings")
def farewell(name: str, namespace: str, **_: Any) -> None:
    """Leave a note that outlives the greeting."""
    body = {"metadata": {"name": f"farewell-{name}"}}
    kubernetes.client.CoreV1Api().create_namespaced_config_map(namespace, body)


@kopf.timer(GROUP, "v1", "greetings", interval=0.5)
def count(status: kopf.Status, patch: kopf.Patch, **_: Any) -> None:
    patch.status["ticks"] = int(status.get("ticks", 0)) + 1


@kopf.on.event("", "v1", "configmaps", labels={"greeting": kopf.PRESENT})
def seen(name: str, type: str | None, logger: kopf.Logger, **_: Any) -> None:
    logger.info(f"seen {type} {name}")
