"""Container image references: what decides the default pull policy.

A reference is ``[domain/]path[:tag][@digest]``; without tag and digest the tag is ``latest``.
Source: https://github.com/distribution/reference
"""

from __future__ import annotations

import re

_DOMAIN_PART = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_DOMAIN = rf"(?:{_DOMAIN_PART}(?:\.{_DOMAIN_PART})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PATH_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_TAG = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = r"[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}"
_REFERENCE = re.compile(rf"{_DOMAIN}/(?P<path>{_PATH_PART}(?:/{_PATH_PART})*)(?::(?P<tag>{_TAG}))?(?P<at>@{_DIGEST})?")
_IDENTIFIER = re.compile(r"[a-f0-9]{64}")
_LONGEST_PATH = 255
_LONGEST = 1024  # path, domain, tag and digest together are shorter; longer text is not worth matching


def tag(image: str) -> str:
    """The tag: ``latest`` where nothing is said, empty with only a digest or for a malformed reference."""
    if len(image) > _LONGEST or _IDENTIFIER.fullmatch(image):
        return ""
    domain, slash, remainder = image.partition("/")
    if not slash or not ("." in domain or ":" in domain or domain == "localhost" or domain != domain.lower()):
        domain, remainder = "docker.io", image
        if "/" not in remainder:
            remainder = f"library/{remainder}"
    repository = remainder.partition(":")[0]
    if repository != repository.lower():
        return ""
    match = _REFERENCE.fullmatch(f"{domain}/{remainder}")
    if match is None or len(match["path"]) > _LONGEST_PATH:
        return ""
    return match["tag"] or ("" if match["at"] else "latest")


def pull_policy(image: str) -> str:
    """The default of imagePullPolicy: Always for ``latest``, IfNotPresent otherwise."""
    return "Always" if tag(image) == "latest" else "IfNotPresent"
