"""Where a cluster's objects are kept.

A store is a sorted map from `Key` to immutable `Entry` values with one writer, a cluster-wide revision and a
log of what changed. `api` is the contract; `memory` and `sqlite` implement it; `broadcast` is the log that
watches read. What the bytes of an entry mean is not known here.
"""
