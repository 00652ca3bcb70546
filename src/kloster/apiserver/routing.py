"""What a request asks for: upstream's RequestInfo, read off the method, the path and a few parameters.

Resource paths are ``/api/VERSION/…`` and ``/apis/GROUP/VERSION/…``, then optionally ``namespaces/NAME``, then
``RESOURCE[/NAME[/SUBRESOURCE…]]``. A path that ends before a resource is a non-resource path (discovery). Old
clients put ``watch/`` in front of the resource. Authorization works on this reading, whether or not the resource
is served.

Source: k8s.io/apiserver/pkg/endpoints/request, https://kubernetes.io/docs/reference/access-authn-authz/authorization/
"""

from __future__ import annotations

from functools import lru_cache

from kloster.apiserver.ports import Target
from kloster.client.transport import Request

VERBS = {"POST": "create", "GET": "get", "HEAD": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}

# Subresources of a namespace; any other word after a namespace's name is a resource in that namespace.
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})

_LONG = 512  # characters of a path that is not remembered: strangers choose them


def target(request: Request) -> Target:
    """The request's target. Never fails: what cannot be a resource path is a non-resource path."""
    path = request.path
    cut = path.rfind("/") + 1
    shape = _shape(request.method, path[:cut]) if len(path) < _LONG else None
    if shape is not None and cut < len(path):
        verb, group, version, resource, namespace = shape
        return Target(verb, path, True, group, version, resource, "", namespace, path[cut:])
    return _parsed(request)


@lru_cache(maxsize=4096)
def _shape(method: str, prefix: str) -> tuple[str, str, str, str, str] | None:
    """What the paths of single objects below `prefix` have in common, so that most requests are not parsed at all.

    (verb, group, version, resource, namespace); None where the last part of a path is not just an object's name.
    """
    parts = prefix.split("/")[1:-1]
    if parts[:1] == ["api"]:
        parts.insert(1, "")
    elif parts[:1] != ["apis"]:
        return None
    if len(parts) == 4 and parts[3] not in ("namespaces", "watch"):
        namespace, resource = "", parts[3]
    elif len(parts) == 6 and parts[3] == "namespaces" and parts[5] not in _NAMESPACE_SUBRESOURCES:
        namespace, resource = parts[4], parts[5]
    else:
        return None
    return VERBS.get(method, ""), parts[1], parts[2], resource, namespace


def _parsed(request: Request) -> Target:
    path = request.path
    parts = path.split("/")
    # "/api/v1/x" → ["", "api", "v1", "x"]
    if len(parts) > 3 and parts[1] == "api":
        return _resource(request, "", parts[2], parts[3:])
    if len(parts) > 4 and parts[1] == "apis":
        return _resource(request, parts[2], parts[3], parts[4:])
    return _other(request)


def _other(request: Request) -> Target:
    return Target(request.method.lower(), request.path)


def _resource(request: Request, group: str, version: str, parts: list[str]) -> Target:
    verb = VERBS.get(request.method, "")
    if parts[-1] == "":
        parts = parts[:-1]
    if parts and parts[0] == "watch" and len(parts) > 1:
        verb, parts = "watch", parts[1:]
    if not parts:
        return _other(request)
    namespace = ""
    if parts[0] == "namespaces" and len(parts) > 1:
        namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
            parts = parts[2:]
    name = parts[1] if len(parts) > 1 else ""
    # Only a proxy's path goes on behind the subresource; elsewhere there is nothing of such a name.
    subresource = "proxy" if parts[2:3] == ["proxy"] else "/".join(parts[2:])
    if not name and verb in ("get", "delete"):
        verb = "deletecollection" if verb == "delete" else "list"
    if verb == "list":
        verb, name = _collection(request)
    elif verb == "watch" and not name:
        name = _single_name(request)
    return Target(verb, request.path, True, group, version, parts[0], subresource, namespace, name)


def _collection(request: Request) -> tuple[str, str]:
    """A GET of a collection: list or watch, narrowed to one name by a field selector (authorization sees the name)."""
    verb, name = "list", ""
    for key, value in request.query:
        if key == "watch":
            if is_true(value):
                verb = "watch"
        elif key == "fieldSelector":
            name = _selected_name(value)
    return verb, name


def _single_name(request: Request) -> str:
    return _selected_name(request.param("fieldSelector"))


def _selected_name(selector: str) -> str:
    for term in selector.split(","):
        key, found, value = term.partition("=")
        if found and key == "metadata.name":
            return value.removeprefix("=")
    return ""


def is_true(value: str) -> bool:
    """How upstream reads a boolean parameter: anything but "false" and "0" is true, even nothing at all."""
    return value.lower() not in ("false", "0")
