"""RoleBindings: who has the permissions of a role, or of a cluster role, within a namespace."""

from __future__ import annotations

from kloster.kinds.rbac import bindings

STRATEGY = bindings.strategy(("Role", "ClusterRole"), namespaced=True)
