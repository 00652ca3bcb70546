"""A cluster is deleted: what it has on the host goes first, then its state, then its traces."""

from __future__ import annotations

import asyncio
import shutil

from kloster.apimachinery.errors import StatusError
from kloster.client.client import Client
from kloster.client.resources import NAMESPACES
from kloster.fleet.ports import Ports
from kloster.fleet.shared import Shared
from kloster.syncer.names import CLUSTER, Tenancy


async def delete_host_namespace(host: Client, tenancy: Tenancy) -> bool:
    """Delete everything of the cluster on the host. True when it has gone. A foreign namespace is not touched."""
    try:
        present = await host.get(NAMESPACES, "", tenancy.namespace)
    except StatusError as error:
        if error.code == 404:
            return True
        raise
    metadata = present["metadata"]
    if (metadata.get("labels") or {}).get(CLUSTER) != tenancy.host_id:
        return True
    if not metadata.get("deletionTimestamp"):
        try:
            await host.delete(NAMESPACES, "", tenancy.namespace, uid=metadata["uid"])
        except StatusError as error:
            if error.code not in (404, 409):
                raise
    return False


async def remove_state(shared: Shared, ports: Ports, id: str) -> None:
    """Delete the files of a cluster that is not served any longer, and give its port back. Can be repeated."""
    directory = shared.data_dir.cluster(id)
    loop = asyncio.get_running_loop()
    if directory.exists():
        await loop.run_in_executor(shared.executor, shutil.rmtree, directory)
    ports.release(id)
    await ports.saved(shared.executor)
