"""What happens to a virtual cluster: one module for each."""
