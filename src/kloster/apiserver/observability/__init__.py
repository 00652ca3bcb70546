"""What one can see of a running process: metrics, logs, and whether its event loop keeps up.

Requests are counted where they pass (`kloster.apiserver.counting`); here is what the counts are kept in and shown as.
"""
