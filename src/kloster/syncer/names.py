"""What a tenant's things are called on the host.

The model: all objects of a virtual cluster live in one host namespace. A host name is
``NAME-x-NAMESPACE-x-CLUSTER``, as people know it from other virtual clusters. Joining is not injective by itself
(``a-x-b`` in ``c`` and ``a`` in ``b-x-c`` would be one), so a name is hashed as soon as any part contains
``-x-`` or the whole is longer than 63 characters: readable start, then 80 bits of SHA-256 over the length-prefixed
parts. Hashed names end in ``-x-`` + 16 characters and no CLUSTER name is ever such a suffix of a plain one,
because the plain form has exactly two separators and the hashed one has exactly one.

Labels: a tenant's label never reaches the host under its own key. ``app`` becomes ``tenant.kloster.dev/app-HASH``,
where the hash covers the cluster's host ID, so that selectors of the host, or of another tenant, cannot meet it.

Identity: every host object carries the cluster's immutable host ID and the virtual object's namespace, name and UID as
annotations. They, not the names, say what belongs to what.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

from kloster.apimachinery import Object

SEPARATOR = "-x-"
LONGEST = 63

CLUSTER = "kloster.dev/cluster"  # label: the cluster's host ID
NAMESPACE = "kloster.dev/namespace"  # label and annotation: the virtual namespace
NAME = "kloster.dev/name"
UID = "kloster.dev/uid"
KIND = "kloster.dev/kind"
LABELS = "kloster.dev/labels"
ANNOTATIONS = "kloster.dev/annotations"
TOKENS_OF = "kloster.dev/tokens-of"  # annotation of a token Secret: NAMESPACE/NAME of the virtual pod
SERVICE_ACCOUNT = "kloster.dev/service-account"
TENANT_LABEL_PREFIX = "tenant.kloster.dev/"


def short_hash(parts: Iterable[str]) -> str:
    """80 bits as 16 lower-case characters; parts are length-prefixed, so that no two lists look alike."""
    digest = hashlib.sha256("".join(f"{len(part)}:{part}" for part in parts).encode()).digest()
    return base64.b32encode(digest[:10]).decode().lower()


@lru_cache(maxsize=32768)
def join(*parts: str) -> str:
    """A host name from its parts (see the module's text)."""
    plain = SEPARATOR.join(parts)
    if len(plain) <= LONGEST and not any(SEPARATOR in f"-{part}-" for part in parts):
        return plain
    digest = short_hash(parts)
    start = parts[0].replace(".", "-")[: LONGEST - len(SEPARATOR) - len(digest)].strip("-") or "x"
    while SEPARATOR in f"{start}-":
        start = start.replace(SEPARATOR, "-").removesuffix("-x").strip("-") or "x"
    return f"{start}{SEPARATOR}{digest}"


@dataclass(frozen=True, slots=True)
class Tenancy:
    """One virtual cluster as the host knows it.

    host_id     immutable: the VirtualCluster's UID on the host
    cluster     its display name, used in host names
    namespace   the host namespace that holds its objects
    """

    host_id: str
    cluster: str
    namespace: str

    def name(self, name: str, namespace: str) -> str:
        """The host name of a virtual object."""
        return join(name, namespace, self.cluster)

    def token_name(self, pod: str, namespace: str, uid: str) -> str:
        """The host Secret with the service-account tokens of one virtual pod: four parts, as no virtual object's
        name has, so that no tenant's Secret can take its place."""
        return join(pod, namespace, self.cluster, uid[:8])

    def identity(self, kind: str, virtual: Object) -> Object:
        """Metadata of the host object: name, labels that the host needs, annotations that say what it is."""
        metadata = virtual["metadata"]
        namespace = metadata.get("namespace", "")
        return {
            "name": self.name(metadata["name"], namespace),
            "namespace": self.namespace,
            "labels": {
                **self.labels(metadata.get("labels") or {}),
                CLUSTER: self.host_id,
                NAMESPACE: namespace,
            },
            "annotations": {
                KIND: kind,
                NAME: metadata["name"],
                NAMESPACE: namespace,
                UID: metadata["uid"],
            },
        }

    def labels(self, labels: Mapping[str, str]) -> dict[str, str]:
        """A tenant's labels under keys of its own."""
        return {label_key(self.host_id, key): value for key, value in labels.items()}

    def scope(self, namespaces: Iterable[str] | None = None) -> list[Object]:
        """Match expressions that confine a host selector to this cluster (and to some of its namespaces)."""
        confined: list[Object] = [{"key": CLUSTER, "operator": "In", "values": [self.host_id]}]
        if namespaces is not None:
            confined.append({"key": NAMESPACE, "operator": "In", "values": sorted(namespaces)})
        return confined

    def selector(self, selector: Object | None, namespaces: Iterable[str] | None) -> Object | None:
        """A metav1.LabelSelector of the tenant as the host must see it. None (selects nothing) stays None."""
        if selector is None:
            return None
        translated: Object = {}
        if selector.get("matchLabels"):
            translated["matchLabels"] = self.labels(selector["matchLabels"])
        expressions = [
            {**one, "key": label_key(self.host_id, one["key"])} for one in selector.get("matchExpressions") or ()
        ]
        translated["matchExpressions"] = expressions + self.scope(namespaces)
        return translated

    def marks(self, host: Object) -> bool:
        """Whether a host object carries this cluster's marks. Enough for one that was looked up by its right name."""
        metadata = host["metadata"]
        return (
            metadata.get("namespace") == self.namespace
            and (metadata.get("labels") or {}).get(CLUSTER) == self.host_id
            and UID in (metadata.get("annotations") or {})
        )

    def owns(self, host: Object) -> bool:
        """Whether a host object is this cluster's: marked as such, and called what its marks say.

        The marks alone are not enough, because people copy manifests with all their labels and annotations.
        """
        if not self.marks(host):
            return False
        metadata = host["metadata"]
        annotations = metadata["annotations"]
        if TOKENS_OF in annotations:
            namespace, _, name = annotations[TOKENS_OF].partition("/")
            return bool(metadata["name"] == self.token_name(name, namespace, annotations[UID]))
        name = annotations.get(NAME, "")
        return bool(name and metadata["name"] == self.name(name, annotations.get(NAMESPACE, "")))


@lru_cache(maxsize=16384)
def label_key(host_id: str, key: str) -> str:
    """A tenant's label key on the host."""
    readable = key.rpartition("/")[2][:46].strip("-_.")
    return f"{TENANT_LABEL_PREFIX}{readable}-{short_hash((host_id, key))}"


def virtual_key(host: Object) -> tuple[str, str] | None:
    """(namespace, name) of the virtual object that a host object stands for."""
    annotations = host["metadata"].get("annotations") or {}
    if NAME not in annotations:
        return None
    return annotations.get(NAMESPACE, ""), annotations[NAME]
