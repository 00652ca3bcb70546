"""The group events.k8s.io: another form of the core group's events."""
