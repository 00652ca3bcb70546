"""Policies about what is never stored: as webhooks, they see it in place of an object."""

from __future__ import annotations

import pytest
from tests.apiserver import world
from tests.apiserver.world import Api

from kloster.apimachinery import Object
from kloster.apiserver.cluster import ServedCluster

POLICIES = "/apis/admissionregistration.k8s.io/v1"
PODS = "/api/v1/namespaces/n/pods"
POD: Object = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


@pytest.mark.parametrize(
    ("resource", "operation", "expression", "path", "body"),
    [
        pytest.param(
            "pods/exec",
            "CONNECT",
            "object.command[0] != 'sh'",
            f"{PODS}/p/exec?command=sh&stdout=true",
            None,
            id="exec",
        ),
        pytest.param(
            "pods/eviction",
            "CREATE",
            "object.kind != 'Eviction'",
            f"{PODS}/p/eviction",
            {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}},
            id="eviction",
        ),
        pytest.param(
            "pods/binding",
            "CREATE",
            "object.target.name != 'nowhere'",
            f"{PODS}/p/binding",
            {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "nowhere"}},
            id="binding",
        ),
        pytest.param(
            "serviceaccounts/token",
            "CREATE",
            "object.spec.expirationSeconds < 3600",
            "/api/v1/namespaces/n/serviceaccounts/default/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}},
            id="token",
        ),
    ],
)
def test_a_policy_refuses(resource: str, operation: str, expression: str, path: str, body: Object | None) -> None:
    async def test(cluster: ServedCluster, api: Api) -> None:
        await api.ok("POST", PODS, POD)
        rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": [operation], "resources": [resource]}
        validation = {"expression": expression, "message": "not like this"}
        spec = {"matchConstraints": {"resourceRules": [rule]}, "validations": [validation], "failurePolicy": "Fail"}
        await api.ok("POST", f"{POLICIES}/validatingadmissionpolicies", {"metadata": {"name": "p"}, "spec": spec})
        bound = {"policyName": "p", "validationActions": ["Deny"]}
        await api.ok(
            "POST", f"{POLICIES}/validatingadmissionpolicybindings", {"metadata": {"name": "b"}, "spec": bound}
        )
        answer = await api.json("POST", path, body)
        assert answer["status"] == "Failure" and "not like this" in answer["message"], answer

    world.on_cluster(test)
