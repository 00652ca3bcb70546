"""The texts in which upstream refuses."""

from __future__ import annotations

from kloster.apimachinery import errors
from kloster.apimachinery.errors import StatusError
from kloster.apiserver.ports import Target
from kloster.client.transport import User

_ESCAPES = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    '"': '\\"',
    "\\": "\\\\",
}


def quote(text: str) -> str:
    """Text as Go's %q prints it."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(_escaped(character) for character in text) + '"'


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def quote_list(texts: list[str] | tuple[str, ...]) -> str:
    """A list as Go's %q prints it: ``["a" "b"]``."""
    return f"[{' '.join(quote(text) for text in texts)}]"


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
    who = f"User {quote(user.name)} cannot {target.verb}"
    if not target.is_resource:
        return f"{who} path {quote(target.path)}"
    resource = f"{target.resource}/{target.subresource}" if target.subresource else target.resource
    text = f"{who} resource {quote(resource)} in API group {quote(target.group)}"
    if target.namespace:
        return f"{text} in the namespace {quote(target.namespace)}"
    return f"{text} at the cluster scope"
