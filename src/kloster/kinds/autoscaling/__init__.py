"""Autoscalers (the Scale subresource belongs to the kinds that have it)."""
