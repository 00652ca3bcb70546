"""What several controllers of workloads share: states of pods, ownership, revisions, writing pods and statuses.

Mostly arithmetic over objects. The few coroutines write through a controller's `Context`. A single controller's own
logic does not belong here.
"""
