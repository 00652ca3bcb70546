"""Workloads: deployments and what they are made of."""
