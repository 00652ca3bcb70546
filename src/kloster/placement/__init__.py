"""Whether and how well a pod fits a node: pure arithmetic, shared by the scheduler and the autoscaler."""
