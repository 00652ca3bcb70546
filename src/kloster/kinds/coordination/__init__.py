"""Leases (coordination.k8s.io)."""
