"""What followers of changes are handed is what decoding the stored bytes gives, and nobody changes it afterwards.

Objects are not decoded again after a write (`forms.expect`), and a new version shares with the old one what a write
leaves alone. So everything that was handed out is kept here, with what its entry says, and compared at the end.
"""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from tests.apiserver.world import Api, on_cluster

from kloster.apiserver import storage
from kloster.apiserver.cluster import ServedCluster
from kloster.stores.api import Entry

Object = dict[str, Any]

N = "/api/v1/namespaces/n"
A = "/apis/apps/v1/namespaces/n"
MERGE = {"content-type": "application/merge-patch+json"}
STRATEGIC = {"content-type": "application/strategic-merge-patch+json"}
APPLY = {"content-type": "application/apply-patch+yaml"}

CONDITION = {"type": "Ready", "status": "True", "lastProbeTime": None, "lastTransitionTime": "2026-11-25T00:00:00Z"}
CONTAINER: Object = {"name": "c", "image": "i", "args": ["<a&b>", "é"], "resources": {"limits": {"cpu": "0.5"}}}
POD: Object = {"metadata": {"name": "p", "labels": {"b": "1", "a": "2"}}, "spec": {"containers": [CONTAINER]}}
BINDING = {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "node"}}
TEMPLATE: Object = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [CONTAINER]}}
DEPLOYMENT: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "d"},
    "spec": {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE},
}

Step = tuple[str, str, Any, dict[str, str] | None]
POD_STEPS: list[Step] = [
    ("POST", f"{N}/pods", POD, None),
    ("POST", f"{N}/pods/p/binding", BINDING, None),
    ("PATCH", f"{N}/pods/p/status", {"status": {"phase": "Running", "podIP": "10.0.0.1"}}, MERGE),
    ("PATCH", f"{N}/pods/p/status", {"status": {"conditions": [CONDITION]}}, STRATEGIC),
    ("PATCH", f"{N}/pods/p/status", {"status": {"reason": "x"}, "metadata": {"annotations": {"k": "v"}}}, MERGE),
    ("PATCH", f"{N}/pods/p/status", {"status": {"reason": None}, "spec": {"hostname": "not this way"}}, MERGE),
    ("PATCH", f"{N}/pods/p", {"metadata": {"labels": {"c": "3"}}}, MERGE),
    ("PATCH", f"{N}/pods/p", {"spec": {"containers": [{"name": "c", "image": "j"}]}}, STRATEGIC),
    ("DELETE", f"{N}/pods/p", None, None),
]
DEPLOYMENT_STEPS: list[Step] = [
    ("PATCH", f"{A}/deployments/d?fieldManager=m", DEPLOYMENT, APPLY),
    ("PATCH", f"{A}/deployments/d/status", {"status": {"replicas": 3, "observedGeneration": 1}}, MERGE),
    ("PATCH", f"{A}/deployments/d/scale", {"spec": {"replicas": 2}}, MERGE),
    ("PATCH", f"{A}/deployments/d", {"spec": {"paused": True}}, STRATEGIC),
    ("PUT", f"{A}/deployments/d", DEPLOYMENT, None),
    ("DELETE", f"{A}/deployments/d", None, None),
]


@pytest.mark.parametrize(
    ("resource", "steps"),
    [pytest.param("/pods", POD_STEPS, id="pod"), pytest.param("apps/deployments", DEPLOYMENT_STEPS, id="deployment")],
)
def test_what_followers_get_is_what_is_stored(resource: str, steps: list[Step]) -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        served = cluster.resources.stored_as(resource)
        assert served is not None
        handed: list[tuple[Entry, Object]] = []
        subscription = cluster.store.subscribe(resource, cluster.store.revision, lambda: take())

        def take() -> None:
            for event in subscription.drain():
                if event.new is not None:
                    handed.append((event.new, cluster.forms.object(served, event.new)))

        for method, path, sent, headers in steps:
            await api.ok(method, path, sent, headers)
        subscription.close()
        assert len(handed) >= len(steps) - 1
        for entry, item in handed:
            # as text: the order of fields counts, too
            assert orjson.dumps(item) == orjson.dumps(storage.thaw(served, entry))

    on_cluster(body)


def test_a_status_patch_shares_the_spec() -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        await api.ok("POST", f"{N}/pods", POD)
        before = cluster.view.get("/pods", "n", "p")
        await api.ok("PATCH", f"{N}/pods/p/status", {"status": {"phase": "Running"}}, MERGE)
        after = cluster.view.get("/pods", "n", "p")
        assert before is not None and after is not None
        assert (before["status"]["phase"], after["status"]["phase"]) == ("Pending", "Running")
        assert after["spec"] is before["spec"]

    on_cluster(body)
