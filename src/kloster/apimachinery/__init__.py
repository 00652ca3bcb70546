"""The arithmetic of the Kubernetes API: pure functions over objects, no I/O, no clock, no clusters.

Objects are plain dictionaries as decoded from JSON (`Object`).
"""

from typing import Any

Object = dict[str, Any]
"""A Kubernetes object, list or Status, decoded from JSON."""
