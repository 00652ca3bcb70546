"""serviceaccount-controller: every namespace has the service account ``default``.

https://kubernetes.io/docs/concepts/security/service-accounts/#default-service-accounts
"""

from __future__ import annotations

from collections.abc import Iterable

from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change
from kloster.client.resources import NAMESPACES, SERVICE_ACCOUNTS
from kloster.runtime.api import Context, Controller, Key, Watch

NAME = "default"


async def reconcile(context: Context, key: Key) -> None:
    namespace = context.source.get(NAMESPACES, "", key.name)
    if namespace is None or "deletionTimestamp" in namespace["metadata"]:
        return
    if context.source.get(SERVICE_ACCOUNTS, key.name, NAME) is not None:
        return
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": NAME, "namespace": key.name},
    }
    try:
        await context.client.create(SERVICE_ACCOUNTS, account)
    except StatusError as error:
        if error.reason != "AlreadyExists":
            raise


def _deleted(change: Change) -> Iterable[Key]:
    metadata = change.object["metadata"]
    return (Key("", metadata["namespace"]),) if change.new is None and metadata["name"] == NAME else ()


CONTROLLER = Controller(
    "serviceaccount-controller",
    (Watch(NAMESPACES), Watch(SERVICE_ACCOUNTS, keys=_deleted)),
    reconcile,
)
