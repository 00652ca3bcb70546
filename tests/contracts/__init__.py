"""Contract suites: one per port, run on every implementation of it."""
