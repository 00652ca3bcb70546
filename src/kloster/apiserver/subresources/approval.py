"""certificatesigningrequests/approval: only the conditions Approved and Denied are written here."""

from __future__ import annotations

from collections.abc import Awaitable

from kloster.apiserver.call import Call
from kloster.apiserver.facets import Facet
from kloster.apiserver.verbs import get, patch, update
from kloster.client.transport import Response
from kloster.kinds.certificates import certificatesigningrequests as requests

APPROVAL = Facet(
    "approval",
    lambda _, new, old: requests.prepare_approval(new, old),
    lambda _, new, old: requests.validate_approval(new, old),
)


def serve(call: Call) -> Response | Awaitable[Response]:
    if call.target.verb == "get":
        return get.serve(call)
    return patch.serve_facet(call, APPROVAL) if call.target.verb == "patch" else update.serve_facet(call, APPROVAL)
