"""What a cluster does by itself, found out by doing it: how long each took, or that it did not happen."""

from __future__ import annotations

import time
from collections.abc import Callable

from kloster.apimachinery.errors import StatusError
from kloster.client.blocking import Blocking

CORE = "/api/v1/namespaces"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NO = float("inf")
Look = Callable[[], bool | None]
"""Whether it is so now; None: it will never be."""


def observe(api: Blocking, patience: float) -> dict[str, float]:
    """What → seconds until it was so, NO if it was not so after `patience` seconds."""
    return {name: _seconds(begin(api), patience) for name, begin in CHECKS.items()}


def _seconds(look: Look, patience: float) -> float:
    began = time.monotonic()
    while (so := look()) is not True:
        if so is None or time.monotonic() - began > patience:
            return NO
        time.sleep(0.01)
    return time.monotonic() - began


def _account(api: Blocking) -> Look:
    api.create(CORE, {"metadata": {"name": "with-account"}})
    return lambda: _there(api, f"{CORE}/with-account/serviceaccounts/default")


def _namespace(api: Blocking) -> Look:
    api.create(CORE, {"metadata": {"name": "short-lived"}})
    api.create(f"{CORE}/short-lived/configmaps", {"metadata": {"name": "inside"}})
    api.delete(f"{CORE}/short-lived")
    return lambda: not _there(api, f"{CORE}/short-lived")


def _garbage(api: Blocking) -> Look:
    path = f"{CORE}/default/configmaps"
    owner = api.create(path, {"metadata": {"name": "owner"}})["metadata"]
    reference = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": owner["uid"]}
    api.create(path, {"metadata": {"name": "owned", "ownerReferences": [reference]}})
    api.delete(f"{path}/owner")
    return lambda: not _there(api, f"{path}/owned")


def _deployment(api: Blocking) -> Look:
    pod = {
        "metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": "registry.k8s.io/pause:3.10"}]},
    }
    spec = {"selector": {"matchLabels": {"app": "web"}}, "template": pod}
    api.create(DEPLOYMENTS, {"metadata": {"name": "web"}, "spec": spec})
    return lambda: api.get(f"{DEPLOYMENTS}/web").get("status", {}).get("availableReplicas") == 1


def _cel(api: Blocking) -> Look:
    rule = {"rule": "self.least <= self.most", "message": "least is more than most"}
    numbers = {"least": {"type": "integer"}, "most": {"type": "integer"}}
    spec = {"type": "object", "properties": numbers, "x-kubernetes-validations": [rule]}
    schema = {"type": "object", "properties": {"spec": spec}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "ranges", "singular": "range", "kind": "Range"}
    definition = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    api.create(DEFINITIONS, {"metadata": {"name": "ranges.example.com"}, "spec": definition})
    path = "/apis/example.com/v1/namespaces/default/ranges"
    wrong = {
        "apiVersion": "example.com/v1",
        "kind": "Range",
        "metadata": {"generateName": "wrong-"},
        "spec": {"least": 2, "most": 1},
    }

    def refused() -> bool | None:
        try:
            api.create(path, wrong)
        except StatusError as error:
            return error.code == 422  # 404 until the definition is served
        return None

    return refused


CHECKS: dict[str, Callable[[Blocking], Look]] = {
    "a new namespace has its default service account": _account,
    "a deleted namespace ends": _namespace,
    "what a deleted object owned goes": _garbage,
    "a deployment becomes available": _deployment,
    "a custom resource's CEL rule is enforced": _cel,
}


def _there(api: Blocking, path: str) -> bool:
    try:
        api.get(path)
    except StatusError as error:
        if error.code == 404:
            return False
        raise
    return True
