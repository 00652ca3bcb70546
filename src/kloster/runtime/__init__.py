"""What runs controllers: one dispatcher for all clusters, keyed work queues, one timer, events.

A controller is data (what it watches, how events become keys) and one level-triggered coroutine.
What a controller does belongs in `controllers`; how it reads and writes, in `client`.
"""
