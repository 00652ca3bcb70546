"""The objects that are read and written: ConfigMaps of a given size, pods, and a way to make many of them."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from kloster.client import kubeconfig
from kloster.client.http import HttpTransport
from kloster.client.transport import Request
from support.tenant import Tenant

CREATED_AT_ONCE = 32


def configmap(name: str, size: int = 2048) -> dict[str, Any]:
    """A ConfigMap that the API server answers with about `size` bytes."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app": "bench", "tier": "backend"}},
        "data": {"settings": "x" * (size - 600), "mode": "fast"},
    }


def pod(name: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": "bench"}},
        "spec": {
            "containers": [
                {
                    "name": "main",
                    "image": "registry.example/app:1",
                    "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}},
                    "ports": [{"containerPort": 8080}],
                    "env": [{"name": "MODE", "value": "fast"}],
                }
            ],
            "terminationGracePeriodSeconds": 1,
        },
    }


def fill(tenant: Tenant, count: int, size: int = 2048) -> None:
    """Create `count` ConfigMaps named o-0, o-1, …"""
    asyncio.run(_fill(tenant, count, size))


async def _fill(tenant: Tenant, count: int, size: int) -> None:
    connection = kubeconfig.connection(tenant.contender.token_kubeconfig(tenant.token))
    numbers = iter(range(count))
    async with HttpTransport(connection) as transport:

        async def work() -> None:
            for number in numbers:
                body = orjson.dumps(configmap(f"o-{number}", size))
                headers = {"content-type": "application/json"}
                answer = await transport(Request("POST", tenant.configmaps, headers=headers, body=body))
                if answer.status != 201:
                    raise RuntimeError(f"{answer.status}: {answer.body[:300]!r}")

        async with asyncio.TaskGroup() as group:
            for _ in range(CREATED_AT_ONCE):
                group.create_task(work())
