"""Subresources: one module each, and resources that exist only as questions (reviews). The tables say who answers.

A handler gets calls whose verb discovery lists for the subresource; everything else is answered here.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

from kloster.apimachinery import errors
from kloster.apiserver import storage
from kloster.apiserver.call import Call
from kloster.apiserver.reviews import access, components, identity
from kloster.apiserver.subresources import (
    approval,
    binding,
    connect,
    eviction,
    finalize,
    pods,
    proxy,
    scale,
    status,
    token,
)
from kloster.client.transport import Response

Handler = Callable[[Call], Response | Awaitable[Response]]

# name, or (storage id, name) where kinds differ
HANDLERS: Mapping[str | tuple[str, str], Handler] = {
    "status": status.serve,
    "scale": scale.serve,
    ("/namespaces", "finalize"): finalize.serve,
    ("/pods", "binding"): binding.serve,
    ("/pods", "eviction"): eviction.serve,
    ("/pods", "ephemeralcontainers"): pods.ephemeralcontainers,
    ("/pods", "resize"): pods.resize,
    ("/pods", "log"): connect.pod,
    ("/pods", "exec"): connect.pod,
    ("/pods", "attach"): connect.pod,
    ("/pods", "portforward"): connect.pod,
    ("/pods", "proxy"): proxy.pod,
    ("/nodes", "proxy"): proxy.node,
    ("/services", "proxy"): proxy.service,
    ("/serviceaccounts", "token"): token.serve,
    ("certificates.k8s.io/certificatesigningrequests", "approval"): approval.serve,
}

# (group, plural) of resources without objects
VIRTUAL: Mapping[tuple[str, str], Handler] = {
    ("", "bindings"): binding.serve,
    ("", "componentstatuses"): components.serve,
    ("authorization.k8s.io", "subjectaccessreviews"): access.subject,
    ("authorization.k8s.io", "localsubjectaccessreviews"): access.local_subject,
    ("authorization.k8s.io", "selfsubjectaccessreviews"): access.own,
    ("authorization.k8s.io", "selfsubjectrulesreviews"): access.rules,
    ("authentication.k8s.io", "tokenreviews"): identity.token,
    ("authentication.k8s.io", "selfsubjectreviews"): identity.own,
}


def serve(call: Call) -> Response | Awaitable[Response]:
    """The answer of the subresource's module. Raises StatusError 404, 405."""
    target, served = call.target, call.resource
    name = target.subresource
    described = served.kind.subresources.get(name)
    handler = HANDLERS.get((served.id, name)) or HANDLERS.get(name)
    if described is None or handler is None:
        if not served.kind.builtin:
            raise storage.missing(served, target.name)
        raise errors.path_not_found()
    if target.verb not in described.verbs:
        raise errors.method_not_allowed()
    return handler(call)
