"""Who workers are on the host, and what they may do there: what syncing needs, and nothing of the fleet's own."""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from kloster.apimachinery import Object
from kloster.apiserver.authentication.tokens import bearer_token
from kloster.client.client import Client
from kloster.client.resources import CLUSTER_ROLE_BINDINGS, CLUSTER_ROLES
from kloster.client.transport import Request, User

NAME = "kloster:worker"
GROUP = "system:kloster:workers"
FOLLOWING = ["get", "list", "watch"]
KEEPING = [*FOLLOWING, "create", "update", "patch", "delete"]
CHANGES = ["pods/ephemeralcontainers", "pods/resize"]
STREAMS = ["pods/log", "pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "services/proxy"]


def user(number: int) -> User:
    """The identity of one worker."""
    return User(f"system:kloster:worker:{number}", groups=(GROUP, "system:authenticated"))


class Tokens:
    """Authenticates workers by the tokens that they were given at birth.

    Only hashes are kept, so looking one up takes the same time for any guess. Other tokens are others' business.
    """

    def __init__(self) -> None:
        self._users: dict[bytes, User] = {}

    def give(self, number: int) -> str:
        """A token for the life of one worker process."""
        token = secrets.token_urlsafe(32)
        self._users[_hash(token)] = user(number)
        return token

    def take(self, token: str) -> None:
        """The process has ended."""
        self._users.pop(_hash(token), None)

    def __call__(self, request: Request) -> User | None:
        token = bearer_token(request.headers.get("authorization", ""))
        return None if token is None else self._users.get(_hash(token))


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


def rules() -> list[dict[str, Any]]:
    """The rules of the workers' ClusterRole."""
    kept = ["pods", "services", "configmaps", "secrets", "persistentvolumeclaims"]
    return [
        {"apiGroups": [""], "resources": kept, "verbs": KEEPING},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": KEEPING},
        {
            "apiGroups": [""],
            "resources": ["pods/ephemeralcontainers", "pods/resize"],
            "verbs": ["get", "update", "patch"],
        },
        {"apiGroups": [""], "resources": STREAMS, "verbs": ["get", "create", "update", "patch", "delete"]},
        {"apiGroups": [""], "resources": ["events", "nodes", "namespaces", "persistentvolumes"], "verbs": FOLLOWING},
        {"apiGroups": ["storage.k8s.io"], "resources": ["storageclasses"], "verbs": FOLLOWING},
    ]


async def install(host: Client) -> None:
    """Create the role and its binding on the host, or bring them up to date."""
    role: Object = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": NAME},
        "rules": rules(),
    }
    binding: Object = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": NAME},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": NAME},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "Group", "name": GROUP}],
    }
    await host.apply(CLUSTER_ROLES, role, field_manager="kloster", force=True)
    await host.apply(CLUSTER_ROLE_BINDINGS, binding, field_manager="kloster", force=True)
