"""The parts of a pod on its way to the host and back, one concern a module."""
