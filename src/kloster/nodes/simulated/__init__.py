"""Nodes that only pretend: pods go through honest phases, but no process runs.

The node says so (`containerRuntimeVersion: simulated://`), and logs and exec answer with what to do instead.
"""
