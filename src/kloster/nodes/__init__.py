"""What plays the kubelet on the embedded host.

`agent` is a pure state machine: from a pod and what is observed of its containers to the next actions and the pod's
status. An `Executor` (see `ports`) performs the actions: `simulated` only pretends, and says so.
`node` is the thin shell that connects both to a cluster.
"""
