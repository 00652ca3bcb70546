"""Aggregated APIs (apiregistration.k8s.io)."""
