"""ClusterRoleBindings: who has the permissions of a cluster role everywhere."""

from __future__ import annotations

from kloster.kinds.rbac import bindings

STRATEGY = bindings.strategy(("ClusterRole",), namespaced=False)
