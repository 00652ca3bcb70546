"""root-ca-certificate-publisher-controller: every namespace has the ConfigMap ``kube-root-ca.crt``.

Pods mount it beside their token, to know the API server. The bundle comes from ``context.settings["ca_bundle"]``
(PEM text); without one nothing is published.
"""

from __future__ import annotations

from collections.abc import Iterable

from kloster.apimachinery.errors import StatusError
from kloster.client.api import Change
from kloster.client.resources import CONFIG_MAPS, NAMESPACES
from kloster.runtime.api import Context, Controller, Key, Watch

NAME = "kube-root-ca.crt"
_DESCRIPTION = {
    "kubernetes.io/description": (
        "Contains a CA bundle that can be used to verify the kube-apiserver when using internal endpoints such as the "
        "internal service IP or kubernetes.default.svc. No other usage is guaranteed across distributions of "
        "Kubernetes clusters."
    )
}


async def reconcile(context: Context, key: Key) -> None:
    bundle = context.settings.get("ca_bundle")
    namespace = context.source.get(NAMESPACES, "", key.name)
    if not bundle or namespace is None or "deletionTimestamp" in namespace["metadata"]:
        return
    data = {"ca.crt": str(bundle)}
    current = context.source.get(CONFIG_MAPS, key.name, NAME)
    if current is None:
        metadata = {"name": NAME, "namespace": key.name, "annotations": _DESCRIPTION}
        wanted = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        try:
            await context.client.create(CONFIG_MAPS, wanted)
        except StatusError as error:
            if error.reason != "AlreadyExists":
                raise
        return
    annotations = current["metadata"].get("annotations") or {}
    if current.get("data") == data and _DESCRIPTION.items() <= annotations.items():
        return
    metadata = {**current["metadata"], "annotations": {**annotations, **_DESCRIPTION}}
    await context.client.update(CONFIG_MAPS, {**current, "metadata": metadata, "data": data})


def _of_bundle(change: Change) -> Iterable[Key]:
    metadata = change.object["metadata"]
    return (Key("", metadata["namespace"]),) if metadata["name"] == NAME else ()


CONTROLLER = Controller(
    "root-ca-certificate-publisher-controller",
    (Watch(NAMESPACES), Watch(CONFIG_MAPS, keys=_of_bundle)),
    reconcile,
)
