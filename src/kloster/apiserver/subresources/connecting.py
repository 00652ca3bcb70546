"""Connections as admission webhooks see them: operation CONNECT, with the request's parameters as an object.

``kubectl exec`` becomes a PodExecOptions of which a webhook can say no, or change the container. What it has changed
becomes the request's parameters again, since those are what goes on to the pod's node.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Awaitable, Callable, Mapping

from kloster.apimachinery import Object
from kloster.apimachinery.schema.model import StructType
from kloster.apiserver import asking
from kloster.apiserver.admission.api import CONNECT, Shape
from kloster.apiserver.call import Call
from kloster.client.transport import Response

Answer = Response | Awaitable[Response]

KINDS: Mapping[tuple[str, str], str] = {
    ("/pods", "exec"): "PodExecOptions",
    ("/pods", "attach"): "PodAttachOptions",
    ("/pods", "portforward"): "PodPortForwardOptions",
    ("/pods", "proxy"): "PodProxyOptions",
    ("/services", "proxy"): "ServiceProxyOptions",
    ("/nodes", "proxy"): "NodeProxyOptions",
}
_PORT = re.compile("[0-9]{1,5}")
_ABOUT = ("kind", "apiVersion")


def admitted(call: Call, path: str, connect: Callable[[Call], Answer]) -> Answer:
    """What `connect` answers, once webhooks and policies have agreed. `path` is what stands behind ``proxy``."""
    if not asking.anybody(call):
        return connect(call)
    return _admitted(call, path, connect)


async def _admitted(call: Call, path: str, connect: Callable[[Call], Answer]) -> Response:
    kind = KINDS[call.resource.id, call.target.subresource]
    type_ = call.cluster.catalog.type("", "v1", kind)
    assert type_ is not None
    options = _options(kind, type_, call.request.query, path)
    left = await asking.asked(call, options, Shape("", "v1", kind, type_), None, operation=CONNECT)
    if left != options:
        call.request = dataclasses.replace(call.request, query=_query(type_, call.request.query, left))
    answer = connect(call)
    return answer if isinstance(answer, Response) else await answer


def _options(kind: str, type: StructType, query: list[tuple[str, str]], path: str) -> Object:
    """The parameters that the kind has, as its fields."""
    given: dict[str, list[str]] = {}
    for name, value in query:
        given.setdefault(name, []).append(value)
    if path:
        given["path"] = [path]
    found: Object = {"kind": kind, "apiVersion": "v1"}
    for field in type.fields:
        values = given.get(field)
        if field in _ABOUT or not values:
            continue
        if field == "command":
            found[field] = values
        elif field == "ports":
            found[field] = [int(one) for text in values for one in text.split(",") if _PORT.fullmatch(one)]
        elif field in ("stdin", "stdout", "stderr", "tty"):
            if values[0].lower() not in ("false", "0"):
                found[field] = True
        elif values[0]:
            found[field] = values[0]
    return found


def _query(type: StructType, query: list[tuple[str, str]], options: Object) -> list[tuple[str, str]]:
    """The parameters with those of the kind as `options` has them."""
    kept = [(name, value) for name, value in query if name not in type.fields]
    for name, value in options.items():
        if name in _ABOUT or name == "path":
            continue
        values = value if isinstance(value, list) else [value]
        kept += [(name, ("true" if one else "false") if isinstance(one, bool) else str(one)) for one in values]
    return kept
