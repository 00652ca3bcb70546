"""What runs controllers: one dispatcher for all clusters, keyed work queues, informers, a timer wheel.

A controller is data (what it watches, how events become keys) and one level-triggered coroutine.
"""
