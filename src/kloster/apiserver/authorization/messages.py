"""The texts in which upstream refuses."""

from __future__ import annotations

from kloster.apimachinery import errors, golang
from kloster.apimachinery.errors import StatusError
from kloster.apiserver.ports import Target
from kloster.client.transport import User


def quote_list(texts: list[str] | tuple[str, ...]) -> str:
    """A list as Go's %q prints it: ``["a" "b"]``."""
    return f"[{' '.join(golang.quoted(text) for text in texts)}]"


def forbidden(user: User, target: Target, reason: str = "") -> StatusError:
    """403 for a request that was not authorized.

    The markup characters are replaced because upstream takes care that no error looks like HTML; the answer also
    carries ``X-Content-Type-Options: nosniff`` (the pipeline adds it).
    """
    text = cannot(user, target).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    if reason:
        text += f": {reason}"
    return errors.forbidden(target.group, target.resource, target.name, text)


def cannot(user: User, target: Target) -> str:
    who = f"User {golang.quoted(user.name)} cannot {target.verb}"
    if not target.is_resource:
        return f"{who} path {golang.quoted(target.path)}"
    resource = f"{target.resource}/{target.subresource}" if target.subresource else target.resource
    text = f"{who} resource {golang.quoted(resource)} in API group {golang.quoted(target.group)}"
    if target.namespace:
        return f"{text} in the namespace {golang.quoted(target.namespace)}"
    return f"{text} at the cluster scope"
