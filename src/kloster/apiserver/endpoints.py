"""Paths that are no resources: versions, health, discovery, documents, keys."""

from __future__ import annotations

from collections.abc import Awaitable

import orjson

from kloster.apimachinery import errors
from kloster.apiserver import answers, discovery, health
from kloster.apiserver.call import Call
from kloster.client.transport import Response

_INDENT = orjson.OPT_INDENT_2
_READ_ALONE = frozenset({"/version", "/version/", "/openid/v1/jwks", "/.well-known/openid-configuration"})
"""Routes of upstream for GET and nothing else, HEAD included. Its other paths take any method."""


def serve(call: Call) -> Response | Awaitable[Response]:
    """The answer to a path outside the resources."""
    path = call.target.path
    cluster = call.cluster
    if path in _READ_ALONE and call.request.method != "GET":
        raise errors.method_not_allowed()
    if path == "/version" or path == "/version/":
        return raw_json(call, orjson.dumps(cluster.catalog.version, option=_INDENT))
    if path.startswith("/api"):
        return discovery.serve(call)
    if path.startswith(health.ROOTS):
        return health.serve(call)
    if path.startswith("/openapi/"):
        documents = cluster.ports.openapi
        return answers.not_found_text(call) if documents is None else documents.answer(cluster, call.request)
    if path == "/openid/v1/jwks" and cluster.ports.tokens is not None:
        return raw_json(call, orjson.dumps(cluster.ports.tokens.keys.jwks()), "application/jwk-set+json")
    if path == "/.well-known/openid-configuration" and cluster.ports.tokens is not None:
        return raw_json(call, _openid(call, cluster.ports.tokens.keys.algorithms))
    if path == "/metrics" and cluster.ports.metrics is not None:
        return answers.text(call, cluster.ports.metrics().decode(), 200, "text/plain; version=0.0.4; charset=utf-8")
    if path == "/":
        return answers.value(call, {"paths": discovery.paths(call)})
    return answers.not_found_text(call)


def raw_json(call: Call, body: bytes, content_type: str = "application/json") -> Response:
    return Response(200, answers.headers(call, content_type), body)


def _openid(call: Call, algorithms: list[str]) -> bytes:
    settings = call.cluster.settings
    body = {
        "issuer": settings.issuer,
        "jwks_uri": f"https://{settings.external_address}/openid/v1/jwks",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": algorithms,
    }
    return orjson.dumps(body)
