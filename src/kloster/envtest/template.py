"""What every fresh cluster of a version holds, without what controllers would have made of it: aggregated roles are as
empty as under a kube-apiserver that runs alone."""

from __future__ import annotations

from kloster.apiserver import bootstrap
from kloster.kinds.catalog import catalog
from kloster.stores.api import Entry
from kloster.stores.layers import Layer


def build(minor: str, now: float) -> Layer:
    """The layer (about 30 ms, which etcd's process spends before anybody asks)."""
    puts = bootstrap.template(catalog(minor), now)
    entries = [
        Entry(put.key, revision, put.head, put.tail, put.labels, put.fields, put.version)
        for revision, put in enumerate(puts, start=1)
    ]
    return Layer.of(f"envtest-{minor}", len(entries), entries)
