"""Classes that apply where none is named: DefaultStorageClass for claims, DefaultIngressClass for ingresses.

Of several default classes the newest counts, then the first by name.
"""

from __future__ import annotations

from kloster.apimachinery import Object
from kloster.apiserver.admission.api import CREATE, Attempt, Plugin

_STORAGE_CLASSES = "storage.k8s.io/storageclasses"
_STORAGE_DEFAULT = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_OLD_CLAIM_CLASS = "volume.beta.kubernetes.io/storage-class"
_INGRESS_CLASSES = "networking.k8s.io/ingressclasses"
_INGRESS_DEFAULT = ("ingressclass.kubernetes.io/is-default-class",)
_OLD_INGRESS_CLASS = "kubernetes.io/ingress.class"


def default_class(classes: list[Object], annotations: tuple[str, ...]) -> str:
    """The name of the default among `classes`, empty if there is none."""
    marked = [
        known["metadata"]
        for known in classes
        if any((known["metadata"].get("annotations") or {}).get(name) == "true" for name in annotations)
    ]
    marked.sort(key=lambda meta: str(meta["name"]))
    marked.sort(key=lambda meta: str(meta.get("creationTimestamp") or ""), reverse=True)
    return str(marked[0]["name"]) if marked else ""


def _claim(attempt: Attempt) -> None:
    spec, meta = attempt.item["spec"], attempt.item["metadata"]
    if spec.get("storageClassName") is not None or _OLD_CLAIM_CLASS in (meta.get("annotations") or {}):
        return
    name = default_class(attempt.scan(_STORAGE_CLASSES), _STORAGE_DEFAULT)
    if name:
        spec["storageClassName"] = name


def _ingress(attempt: Attempt) -> None:
    spec, meta = attempt.item["spec"], attempt.item["metadata"]
    if spec.get("ingressClassName") is not None or _OLD_INGRESS_CLASS in (meta.get("annotations") or {}):
        return
    name = default_class(attempt.scan(_INGRESS_CLASSES), _INGRESS_DEFAULT)
    if name:
        spec["ingressClassName"] = name


STORAGE = Plugin(
    name="DefaultStorageClass",
    operations=frozenset({CREATE}),
    resources=frozenset({"/persistentvolumeclaims"}),
    mutate=_claim,
)
INGRESS = Plugin(
    name="DefaultIngressClass",
    operations=frozenset({CREATE}),
    resources=frozenset({"networking.k8s.io/ingresses"}),
    mutate=_ingress,
)
