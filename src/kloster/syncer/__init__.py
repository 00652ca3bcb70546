"""Carries objects from virtual clusters down to the host, and their status and events back up.

`names` says what things are called on the host; `translators` (one a kind) are pure functions between a virtual object
and its host object; `engine` compares, decides actions as data, and performs them with preconditions.
"""
