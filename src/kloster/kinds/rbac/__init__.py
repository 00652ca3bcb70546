"""Roles and their bindings (rbac.authorization.k8s.io)."""
