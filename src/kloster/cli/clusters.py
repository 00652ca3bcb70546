"""VirtualCluster objects as commands see them: creating, waiting, their kubeconfigs."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import yaml

from kloster.apimachinery.errors import StatusError
from kloster.cli.errors import CliError
from kloster.cli.hostapi import HostAPI
from kloster.kinds import names

PATH = "/apis/kloster.dev/v1alpha1"
DEFAULT_NAMESPACE = "default"
REFUSALS = (
    *("InvalidName", "InvalidSpec", "PortTaken", "StoreBroken", "HostConflict"),
    *("ForkSourceMissing", "ForkRefused", "ForkFailed"),
)


class Refused(CliError):
    """The fleet says why the cluster cannot be served; waiting would not help."""


def check_name(name: str, what: str = "name") -> None:
    """Raises CliError, in upstream's words, for what is no DNS label."""
    found = names.label(name)
    if found:
        raise CliError(f'metadata.{what}: Invalid value: "{name}": {"; ".join(found)}')


def collection(namespace: str) -> str:
    return f"{PATH}/namespaces/{namespace}/virtualclusters" if namespace else f"{PATH}/virtualclusters"


def path(namespace: str, name: str) -> str:
    return f"{collection(namespace)}/{name}"


def get(host: HostAPI, namespace: str, name: str) -> dict[str, Any]:
    """The object. Raises CliError if there is none, naming those there are."""
    try:
        found: dict[str, Any] = host.get(path(namespace, name))
        return found
    except StatusError as error:
        if error.code != 404:
            raise
    present = sorted(one["metadata"]["name"] for one in host.get(collection(namespace))["items"])
    listed = f"; there are: {', '.join(present)}" if present else "; there is none yet: kloster create NAME"
    raise CliError(f'no cluster "{name}" in namespace {namespace} of the host{listed}')


def create(host: HostAPI, namespace: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Create the object (and its namespace on the host, as people expect of -n)."""
    body = {
        "apiVersion": "kloster.dev/v1alpha1",
        "kind": "VirtualCluster",
        "metadata": {"name": name, "namespace": namespace},
        "spec": dict(spec),
    }
    try:
        made: dict[str, Any] = host.create(collection(namespace), body)
        return made
    except StatusError as error:
        if error.code == 409:
            raise CliError(
                f'cluster "{name}" exists already in namespace {namespace}; '
                f"connect to it: kloster connect {name}{_option(namespace)}"
            ) from error
        if error.code != 404 or "namespaces" not in error.message:
            raise
    host.create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    created: dict[str, Any] = host.create(collection(namespace), body)
    return created


def _option(namespace: str) -> str:
    return "" if namespace == DEFAULT_NAMESPACE else f" -n {namespace}"


def condition(cluster: Mapping[str, Any], type: str) -> dict[str, Any]:
    for one in (cluster.get("status") or {}).get("conditions") or ():
        if one["type"] == type:
            found: dict[str, Any] = one
            return found
    return {}


def is_ready(cluster: Mapping[str, Any]) -> bool:
    return condition(cluster, "Ready").get("status") == "True"


def wait_ready(host: HostAPI, cluster: Mapping[str, Any], timeout: float = 60.0) -> dict[str, Any]:
    """The object once its Ready condition is true for this generation. Raises CliError with what was there instead."""
    return wait_until(host, cluster, is_ready, "was not ready", timeout)


def wait_until(
    host: HostAPI, cluster: Mapping[str, Any], so: Callable[[Mapping[str, Any]], bool], otherwise: str, timeout: float
) -> dict[str, Any]:
    """The object once `so` is true of it. Raises Refused; CliError, which says what it was (`otherwise`) instead."""
    metadata = cluster["metadata"]
    seen: Mapping[str, Any] = cluster
    versions: Iterator[Mapping[str, Any]] = iter(())
    ends = time.monotonic() + timeout
    while not so(seen):
        ready = condition(seen, "Ready")
        if ready.get("reason") in REFUSALS:
            raise Refused(ready["message"])
        left = ends - time.monotonic()
        if left <= 0:
            text = ready.get("message") or "its status says nothing"
            raise CliError(f'cluster "{metadata["name"]}" {otherwise} after {timeout:.0f} s: {text}')
        found = next(versions, None)
        if found is None:
            versions = _versions(host, metadata, seen, left)
            found = next(versions)
        seen = found
    return dict(seen)


def _versions(
    host: HostAPI, metadata: Mapping[str, Any], seen: Mapping[str, Any], timeout: float
) -> Iterator[Mapping[str, Any]]:
    """The object's next versions, as long as one watch tells of them; then what there is. Raises CliError."""
    query = {
        "fieldSelector": f"metadata.name={metadata['name']}",
        "resourceVersion": seen["metadata"]["resourceVersion"],
    }
    for type_, found in host.watch(collection(metadata["namespace"]), timeout, **query):
        if type_ == "DELETED":
            raise CliError(f'cluster "{metadata["name"]}" was deleted while waiting for it')
        if type_ == "ERROR":
            break
        yield found
    yield host.get(path(metadata["namespace"], metadata["name"]))


def wait_gone(host: HostAPI, namespace: str, name: str, timeout: float = 60.0) -> None:
    """Wait until the object has gone. Raises CliError with what holds it."""
    ends = time.monotonic() + timeout
    while True:
        try:
            seen = host.get(path(namespace, name))
        except StatusError as error:
            if error.code == 404:
                return
            raise
        left = ends - time.monotonic()
        if left <= 0:
            text = condition(seen, "Ready").get("message") or "it still has finalizers"
            raise CliError(f'cluster "{name}" was not gone after {timeout:.0f} s: {text}')
        query = {
            "fieldSelector": f"metadata.name={name}",
            "resourceVersion": seen["metadata"]["resourceVersion"],
        }
        for type_, _ in host.watch(collection(namespace), min(left, 10.0), **query):
            if type_ == "DELETED":
                return


def kubeconfig_of(host: HostAPI, namespace: str, name: str) -> dict[str, Any]:
    """The cluster's kubeconfig, from its Secret on the host."""
    secret = host.get(f"/api/v1/namespaces/{namespace}/secrets/kubeconfig-{name}")
    content: dict[str, Any] = yaml.load(base64.b64decode(secret["data"]["config"]), Loader=yaml.CSafeLoader)
    return content


def context_name(namespace: str, name: str) -> str:
    """What the cluster's kubeconfig context is called unless the spec says otherwise."""
    return f"kloster-{name}" if namespace == DEFAULT_NAMESPACE else f"kloster-{namespace}-{name}"
