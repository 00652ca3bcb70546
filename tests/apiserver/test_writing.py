"""Writes beyond what the comparison with a real server covers: atomicity, allocation, admission, limits."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.apiserver import world
from tests.apiserver.world import Api, on_cluster

from kloster.apiserver.authorization.escalation import Escalation
from kloster.apiserver.authorization.rbac import Rbac
from kloster.apiserver.authorization.stored import StoredRoles
from kloster.apiserver.cluster import ServedCluster
from kloster.client.transport import User
from kloster.stores.api import Key

N = "/api/v1/namespaces/n"
POD = {"containers": [{"name": "c", "image": "i"}]}


def test_concurrent_patches_all_take_effect() -> None:
    async def body(_: ServedCluster, api: Api) -> None:
        await api.ok("POST", f"{N}/configmaps", {"metadata": {"name": "a"}})
        patches = [api.ok("PATCH", f"{N}/configmaps/a", {"data": {f"k{n}": "v"}}) for n in range(20)]
        versions = {found["metadata"]["resourceVersion"] for found in await asyncio.gather(*patches)}
        assert len(versions) == 20
        assert len((await api.ok("GET", f"{N}/configmaps/a"))["data"]) == 20

    on_cluster(body)


def test_concurrent_creations_of_a_name_give_one_object() -> None:
    async def body(_: ServedCluster, api: Api) -> None:
        sent = [api.send("POST", f"{N}/configmaps", {"metadata": {"name": "a"}}) for _ in range(5)]
        answers = await asyncio.gather(*sent)
        assert sorted(answer.status for answer in answers) == [201, 409, 409, 409, 409]

    on_cluster(body)


def test_what_comes_when_its_cluster_ends_is_unavailable(capsys: pytest.CaptureFixture[str]) -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        await cluster.store.close()
        answer = await api.send("POST", f"{N}/configmaps", {"metadata": {"name": "a"}})
        assert answer.status == 503

    on_cluster(body)
    assert "Traceback" not in capsys.readouterr().out


def test_services_created_at_once_get_different_addresses() -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        specs = {"type": "NodePort", "ports": [{"port": 80}]}
        made = await asyncio.gather(
            *(api.ok("POST", f"{N}/services", {"metadata": {"name": f"s{n}"}, "spec": specs}) for n in range(20))
        )
        assert len({service["spec"]["clusterIP"] for service in made}) == 20
        assert len({service["spec"]["ports"][0]["nodePort"] for service in made}) == 20
        recorded = await api.ok("GET", "/apis/networking.k8s.io/v1/ipaddresses")
        assert len(recorded["items"]) == 21  # and the kubernetes Service's
        await asyncio.gather(*(api.ok("DELETE", f"{N}/services/s{n}") for n in range(20)))
        assert len((await api.ok("GET", "/apis/networking.k8s.io/v1/ipaddresses"))["items"]) == 1

    on_cluster(body)


def test_a_full_range_is_told_and_nothing_is_written() -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        for number in range(2, 255):
            spec = {"clusterIP": f"10.0.0.{number}", "ports": [{"port": 80}]}
            await api.ok("POST", f"{N}/services", {"metadata": {"name": f"s{number}"}, "spec": spec})
        revision = cluster.store.revision
        full = {"metadata": {"name": "full"}, "spec": {"ports": [{"port": 80}]}}
        answer = await api.json("POST", f"{N}/services", full)
        assert (answer["code"], answer["message"].endswith("range is full")) == (500, True)
        assert cluster.store.revision == revision

    on_cluster(body)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", f"{N}/configmaps?dryRun=All", {"metadata": {"name": "b"}}),
        ("PUT", f"{N}/configmaps/a?dryRun=All", {"metadata": {"name": "a"}, "data": {"k": "v"}}),
        ("PATCH", f"{N}/configmaps/a?dryRun=All", {"data": {"k": "v"}}),
        ("DELETE", f"{N}/configmaps/a?dryRun=All", None),
        ("POST", f"{N}/services?dryRun=All", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}),
        ("DELETE", f"{N}/configmaps?dryRun=All", None),
    ],
    ids=["create", "update", "patch", "delete", "service", "collection"],
)
def test_a_dry_run_stores_nothing(method: str, path: str, body: Any) -> None:
    async def run(cluster: ServedCluster, api: Api) -> None:
        await api.ok("POST", f"{N}/configmaps", {"metadata": {"name": "a"}})
        revision = cluster.store.revision
        await api.ok(method, path, body)
        assert cluster.store.revision == revision

    on_cluster(run)


def test_a_body_over_three_mebibytes_is_refused() -> None:
    async def body(_: ServedCluster, api: Api) -> None:
        large = {"metadata": {"name": "a"}, "data": {"k": "v" * (3 << 20)}}
        assert (await api.json("POST", f"{N}/configmaps", large))["code"] == 413

    on_cluster(body)


def test_a_pod_waits_for_the_account_that_is_about_to_be_made() -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": "new"}})
        pod = {"metadata": {"name": "p"}, "spec": POD}
        waiting = asyncio.ensure_future(api.send("POST", "/api/v1/namespaces/new/pods", pod))
        await asyncio.sleep(0.02)
        assert not waiting.done()
        await api.ok("POST", "/api/v1/namespaces/new/serviceaccounts", {"metadata": {"name": "default"}})
        assert (await asyncio.wait_for(waiting, 5)).status == 201

    on_cluster(body)


def budget(**status: int) -> dict[str, Any]:
    return {"observedGeneration": 1, "currentHealthy": 1, "desiredHealthy": 1, "expectedPods": 1, **status}


@pytest.mark.parametrize(
    ("status", "phase", "code"),
    [
        (budget(disruptionsAllowed=1), "Running", 201),
        (budget(disruptionsAllowed=0), "Running", 429),
        (budget(disruptionsAllowed=0), "Pending", 201),
        (budget(disruptionsAllowed=1, observedGeneration=0), "Running", 429),
    ],
    ids=["allowed", "none-left", "not-started", "not-observed"],
)
def test_eviction_asks_the_budget(status: dict[str, Any], phase: str, code: int) -> None:
    budgets = "/apis/policy/v1/namespaces/n/poddisruptionbudgets"

    async def body(_: ServedCluster, api: Api) -> None:
        await api.ok("POST", budgets, {"metadata": {"name": "b"}, "spec": {"minAvailable": 1, "selector": {}}})
        await api.ok("PATCH", f"{budgets}/b/status", {"status": status})
        await api.ok("POST", f"{N}/pods", {"metadata": {"name": "p"}, "spec": POD})
        ready = {"phase": phase, "conditions": [{"type": "Ready", "status": "True"}]}
        await api.ok("PATCH", f"{N}/pods/p/status", {"status": ready})
        answer = await api.json("POST", f"{N}/pods/p/eviction", {"metadata": {"name": "p"}})
        assert answer["code"] == code
        found = await api.ok("GET", f"{budgets}/b")
        counted = code == 201 and phase == "Running"
        assert list(found["status"].get("disruptedPods") or {}) == (["p"] if counted else [])
        assert (await api.send("GET", f"{N}/pods/p")).status == (404 if code == 201 else 200)

    on_cluster(body)


def test_nobody_grants_what_they_do_not_have() -> None:
    async def body(cluster: ServedCluster, admin: Api) -> None:
        roles = "/apis/rbac.authorization.k8s.io/v1/namespaces/n/roles"
        rbac = Rbac(StoredRoles(cluster.store, lambda entry: cluster.view.object(entry) or {}))
        rule = {"apiGroups": ["rbac.authorization.k8s.io"], "resources": ["roles"], "verbs": ["create"]}
        await admin.ok("POST", roles, {"metadata": {"name": "r"}, "rules": [rule]})
        binding = {
            "metadata": {"name": "r"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
            "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "u"}],
        }
        await admin.ok("POST", roles.replace("roles", "rolebindings"), binding)
        cluster.authorizer, cluster.ports.escalation = rbac, Escalation(rbac, rbac)
        user = Api(cluster, User("u", groups=("system:authenticated",)))
        more = [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
        refused = await user.json("POST", roles, {"metadata": {"name": "more"}, "rules": more})
        assert (refused["code"], "attempting to grant RBAC permissions not currently held" in refused["message"]) == (
            403,
            True,
        )
        assert (await user.send("POST", roles, {"metadata": {"name": "same"}, "rules": [rule]})).status == 201

    on_cluster(body)


def test_a_namespace_goes_when_its_last_finalizer_does() -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        assert (await api.ok("DELETE", N))["status"]["phase"] == "Terminating"
        refused = await api.json("POST", f"{N}/configmaps", {"metadata": {"name": "late"}})
        assert refused["details"]["causes"][0]["reason"] == "NamespaceTerminating"
        await api.ok("PUT", f"{N}/finalize", {"metadata": {"name": "n"}, "spec": {}})
        assert cluster.store.get(Key("/namespaces", "", "n")) is None

    on_cluster(body)


def test_the_requester_of_a_certificate_is_recorded_not_believed() -> None:
    path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"

    async def body(cluster: ServedCluster, _: Api) -> None:
        user = Api(cluster, User("u", "7", ("g", "system:authenticated"), {"k": ("v",)}))
        request = {
            "metadata": {"name": "r"},
            "spec": {
                "request": world.CERTIFICATE_REQUEST,
                "signerName": "example.com/signer",
                "usages": ["client auth"],
                "username": "somebody-else",
            },
        }
        made = await user.ok("POST", path, request)
        spec = made["spec"]
        assert (spec["username"], spec["uid"], spec["groups"]) == ("u", "7", ["g", "system:authenticated"])
        decided = {"status": {"conditions": [{"type": "Approved", "status": "True", "reason": "R"}]}}
        approved = await user.ok("PATCH", f"{path}/r/approval", decided)
        assert approved["status"]["conditions"][0]["lastUpdateTime"]

    on_cluster(body)
