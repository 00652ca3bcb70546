"""Warnings about APIs that upstream has deprecated and still serves.

Source: https://kubernetes.io/docs/reference/using-api/deprecation-guide/
"""

from __future__ import annotations

from kloster.kinds.catalog import Kind

# api version and kind → (minor since when, text behind "is deprecated in")
_KNOWN = {
    ("v1", "ComponentStatus"): (19, "v1.19+"),
    ("v1", "Endpoints"): (33, "v1.33+; use discovery.k8s.io/v1 EndpointSlice"),
}


def warning(kind: Kind, minor: str) -> str:
    """The text of the warning that every request for `kind` gets; empty for what is not deprecated."""
    found = _KNOWN.get((kind.api_version, kind.kind))
    if found is None or int(minor.partition(".")[2]) < found[0]:
        return ""
    return f"{kind.api_version} {kind.kind} is deprecated in {found[1]}"
