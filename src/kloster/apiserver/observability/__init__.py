"""What one can see of a running process: metrics, logs, and whether its event loop keeps up."""
