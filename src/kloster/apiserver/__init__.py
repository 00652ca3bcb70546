"""Serves Kubernetes APIs: one pipeline for any number of clusters. `pipeline.py` is the way of a request."""
