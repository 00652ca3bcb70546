"""Custom resource definitions (apiextensions.k8s.io)."""
