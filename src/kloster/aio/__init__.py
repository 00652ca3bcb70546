"""Small asynchronous building blocks without knowledge of Kubernetes: clock, back-off, supervision, signals.

Nothing here imports another part of Kloster.
"""
