"""/status: the object with everything but its status protected."""

from __future__ import annotations

from collections.abc import Awaitable

from kloster.apiserver.call import Call
from kloster.apiserver.facets import STATUS
from kloster.apiserver.verbs import get, patch, update
from kloster.client.transport import Response


def serve(call: Call) -> Response | Awaitable[Response]:
    if call.target.verb == "get":
        return get.serve(call)
    if call.target.verb == "patch":
        return patch.serve_facet(call, STATUS)
    return update.serve_facet(call, STATUS)
