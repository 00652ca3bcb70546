"""ServiceAccount: every pod runs as an account of its namespace and is given a token for it.

The token comes as a projected volume ``kube-api-access-…`` (token, CA, namespace), mounted where in-cluster clients
look, unless pod or account say no or something is mounted there already.

A namespace's account ``default`` is made by a controller a moment after the namespace: a pod that comes in between
waits for it (`settle`), as upstream's does.

Source: https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
"""

from __future__ import annotations

from collections.abc import Iterator

from kloster.apimachinery import Object, errors
from kloster.apiserver.admission.api import CREATE, Attempt, Plugin
from kloster.apiserver.cluster import ServedCluster
from kloster.apiserver.names import suffix
from kloster.stores.api import Key

NAME = "ServiceAccount"
DEFAULT = "default"
MOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
_VOLUME_PREFIX = "kube-api-access-"
_TOKEN_SECONDS = 3607
_ATTEMPTS, _INTERVAL = 20, 0.05
_MIRROR = "kubernetes.io/config.mirror"


async def settle(cluster: ServedCluster, namespace: str, pod: Object) -> None:
    """Waits, not long, for the account that a new pod will run as."""
    if NAME in cluster.settings.plugins_off:
        return
    if (pod.get("spec") or {}).get("serviceAccountName") not in (None, "", DEFAULT):
        return
    account, home = Key("/serviceaccounts", namespace, DEFAULT), Key("/namespaces", "", namespace)
    for _ in range(_ATTEMPTS):
        if cluster.store.get(account) is not None or cluster.store.get(home) is None:
            return
        await cluster.clock.sleep(_INTERVAL)


def mutate(attempt: Attempt) -> None:
    pod = attempt.item
    if _MIRROR in (pod["metadata"].get("annotations") or {}):
        return
    spec = pod["spec"]
    if not spec.get("serviceAccountName"):
        spec["serviceAccountName"] = DEFAULT
    spec["serviceAccount"] = spec["serviceAccountName"]
    name = spec["serviceAccountName"]
    account = attempt.read("/serviceaccounts", attempt.namespace, name)
    if account is None:
        text = f'error looking up service account {attempt.namespace}/{name}: serviceaccount "{name}" not found'
        raise errors.forbidden("", "pods", attempt.name, text)
    if _mounts_token(spec, account):
        _mount(attempt, spec)
    if not spec.get("imagePullSecrets") and account.get("imagePullSecrets"):
        spec["imagePullSecrets"] = [dict(secret) for secret in account["imagePullSecrets"]]


def _mounts_token(spec: Object, account: Object) -> bool:
    for holder in (spec, account):
        wish = holder.get("automountServiceAccountToken")
        if wish is not None:
            return bool(wish)
    return True


def _containers(spec: Object) -> Iterator[Object]:
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


def _mount(attempt: Attempt, spec: Object) -> None:
    volumes = spec.setdefault("volumes", [])
    present = [volume["name"] for volume in volumes if volume["name"].startswith(_VOLUME_PREFIX)]
    name = present[0] if present else _VOLUME_PREFIX + suffix(attempt.cluster.random)
    needed = False
    for container in _containers(spec):
        mounts = container.setdefault("volumeMounts", [])
        if any(mount.get("mountPath") == MOUNT_PATH for mount in mounts):
            continue
        mounts.append({"name": name, "readOnly": True, "mountPath": MOUNT_PATH})
        needed = True
    if needed and not present:
        volumes.append({"name": name, "projected": {"sources": _sources(), "defaultMode": 0o644}})
    if not volumes:
        del spec["volumes"]


def _sources() -> list[Object]:
    namespace = {"path": "namespace", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.namespace"}}
    return [
        {"serviceAccountToken": {"expirationSeconds": _TOKEN_SECONDS, "path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [namespace]}},
    ]


PLUGIN = Plugin(name=NAME, operations=frozenset({CREATE}), resources=frozenset({"/pods"}), mutate=mutate)
