"""Ingresses, network policies, and the bookkeeping of service addresses."""
