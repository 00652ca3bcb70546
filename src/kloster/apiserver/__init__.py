"""Serves Kubernetes APIs: one pipeline for any number of clusters. `pipeline.py` is the way of a request.

From the bottom up: what a cluster serves (`resources`, `customresources`, `storage`, `forms`) and what it is
(`cluster`); one request (`call`), what is read from it and written to it (`options`, `bodies`, `answers`); admission
and writes; verbs, subresources, reviews; the pipeline. `http` knows none of them. Nothing here knows of more than one
cluster at a time or runs on its own: that is the fleet's.
"""
