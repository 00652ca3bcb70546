"""A user who is no administrator: a service account with a Role in a namespace of its own, and its token."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from kloster.apimachinery.errors import StatusError
from kloster.cli.errors import CliError
from support.contender import Contender

RULES = [
    {"apiGroups": [""], "resources": ["configmaps", "pods", "secrets"], "verbs": ["*"]},
    {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["*"]},
]


@dataclass(frozen=True, slots=True)
class Tenant:
    contender: Contender
    namespace: str
    token: str

    @property
    def configmaps(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/configmaps"

    @property
    def pods(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods"


@contextmanager
def tenant(contender: Contender) -> Iterator[Tenant]:
    """Makes the namespace and removes it afterwards (which a peer without controllers only begins)."""
    api = contender.api
    namespace = f"bench-{uuid.uuid4().hex[:8]}"
    api.create("/api/v1/namespaces", {"metadata": {"name": namespace}})
    try:
        core = f"/api/v1/namespaces/{namespace}"
        rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        api.create(f"{core}/serviceaccounts", {"metadata": {"name": "tenant"}})
        api.create(f"{rbac}/roles", {"metadata": {"name": "tenant"}, "rules": RULES})
        binding = {
            "metadata": {"name": "tenant"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "tenant"},
            "subjects": [{"kind": "ServiceAccount", "name": "tenant", "namespace": namespace}],
        }
        api.create(f"{rbac}/rolebindings", binding)
        request = {"spec": {"expirationSeconds": 7200}}
        answer = api.create(f"{core}/serviceaccounts/tenant/token", request)
        yield Tenant(contender, namespace, answer["status"]["token"])
    finally:
        with suppress(CliError, StatusError):  # a busy peer may take longer than we wait
            api.delete(f"/api/v1/namespaces/{namespace}/configmaps")
            api.delete(f"/api/v1/namespaces/{namespace}")
