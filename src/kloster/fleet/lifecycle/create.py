"""A cluster is created: what there must be before it can be served.

    identity (keys, certificates) ─▶ record on disk ─▶ host namespace ─▶ (served by its shard)

The record is written before anything else exists, so that whatever a crash leaves is found and finished, or deleted,
by the next reconciliation of the same VirtualCluster.
"""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

from kloster.apimachinery.errors import StatusError
from kloster.apiserver import bootstrap
from kloster.apiserver.cluster import Settings
from kloster.client.client import Client
from kloster.client.resources import NAMESPACES
from kloster.fleet import identity, record, sites
from kloster.fleet.datadir import sync_directory
from kloster.fleet.shared import Shared
from kloster.fleet.wish import Wish
from kloster.syncer.names import CLUSTER

OWNER = "kloster.dev/virtualcluster"
WILDCARDS = ("0.0.0.0", "::")


def serving_names(namespace: str, name: str, settings: Settings, bind: str) -> tuple[str, ...]:
    """What the serving certificate is for."""
    listening = (socket.gethostname(),) if bind in WILDCARDS else (bind,)
    names = (
        sites.server_name(namespace, name) if namespace else "kloster-host",
        "localhost",
        "127.0.0.1",
        "::1",
        "kubernetes",
        "kubernetes.default",
        "kubernetes.default.svc",
        f"kubernetes.default.svc.{settings.cluster_domain}",
        bootstrap.service_address(settings),
        *listening,
    )
    return tuple(dict.fromkeys(names))


async def load_record(shared: Shared, id: str) -> record.Record | None:
    """The cluster's record from disk. Raises DataDirError."""
    directory = shared.data_dir.cluster(id)
    return await asyncio.get_running_loop().run_in_executor(shared.executor, record.load, directory)


async def load_or_make_record(
    shared: Shared, id: str, namespace: str, name: str, minor: str, settings: Settings
) -> record.Record:
    """The cluster's record from disk; a new one, written durably, if there is none. Raises DataDirError."""
    return await load_record(shared, id) or await make_record(shared, id, namespace, name, minor, settings)


async def make_record(
    shared: Shared, id: str, namespace: str, name: str, minor: str, settings: Settings
) -> record.Record:
    """The record of a new cluster, written durably."""
    template = await shared.templates.get(minor)
    keys = await make_keys(shared, namespace, name, settings)
    made = record.Record(id, namespace, name, minor, (template.id,), keys)
    await save_new(shared, made)
    return made


async def make_keys(shared: Shared, namespace: str, name: str, settings: Settings) -> identity.Identity:
    """All keys of a new cluster."""
    names, loop = serving_names(namespace, name, settings, shared.bind), asyncio.get_running_loop()
    return await loop.run_in_executor(shared.executor, identity.create, name, names, shared.clock.now())


async def save_new(shared: Shared, made: record.Record) -> None:
    """Write a new cluster's record; durable when this returns."""
    directory = shared.data_dir.cluster(made.id)
    await asyncio.get_running_loop().run_in_executor(shared.executor, _save, directory, made)


def _save(directory: Path, made: record.Record) -> None:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    record.save(directory, made)
    sync_directory(directory.parent)


async def ensure_host_namespace(host: Client, wish: Wish) -> None:
    """The namespace on the host. One that exists and is not this cluster's is never taken over (StatusError 409)."""
    tenancy = wish.tenancy
    labels = {CLUSTER: tenancy.host_id}
    body = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {
            "name": tenancy.namespace,
            "labels": {**labels, "pod-security.kubernetes.io/enforce": wish.spec.pod_security},
            "annotations": {OWNER: wish.display},
        },
    }
    try:
        await host.create(NAMESPACES, body)
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise
        present = await host.get(NAMESPACES, "", tenancy.namespace)
        if (present["metadata"].get("labels") or {}).get(CLUSTER) != tenancy.host_id:
            raise StatusError(
                409,
                "Conflict",
                f'the host already has a namespace "{tenancy.namespace}" that does not belong to this cluster; '
                "delete it or choose another name",
            ) from error
