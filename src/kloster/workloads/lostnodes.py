"""Nodes that a test has lost: for its cluster alone, whatever the host's node does.

The annotation on the cluster's own view of the node says since when nothing has been heard of it. It means something
only in clusters that are rehearsed with (``spec.testing``).
"""

from __future__ import annotations

from kloster.aio.clock import parse_rfc3339
from kloster.apimachinery import Object

LOST = "simulated.kloster.dev/lost"


def silent_since(node: Object | None) -> float | None:
    """When the node was last heard of, in seconds since 1970; None if it is not lost."""
    text = ((node or {}).get("metadata", {}).get("annotations") or {}).get(LOST)
    if not text:
        return None
    try:
        return parse_rfc3339(text)
    except ValueError:
        return None
