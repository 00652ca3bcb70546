"""The only way in which controllers, scheduler, nodes and syncer talk to a cluster.

A `Client` speaks the Kubernetes API over a `Transport`: in-process (a served cluster beside us), HTTP (any
upstream cluster) or recorded (tests). A `Source` gives cheap, cached, read-only access to current objects.
"""
