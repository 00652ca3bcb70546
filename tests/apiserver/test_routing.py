"""What a path asks for, and that paths of single objects, which are not parsed, are read no differently."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kloster.apiserver import routing
from kloster.apiserver.ports import Target
from kloster.client.transport import Request

WORDS = ["", "api", "apis", "v1", "apps", "namespaces", "watch", "pods", "nodes", "status", "finalize", "log", "a", "b"]
paths = st.lists(st.sampled_from(WORDS), max_size=9).map(lambda parts: "/" + "/".join(parts))
methods = st.sampled_from([*routing.VERBS, "OPTIONS", "TRACE"])


@given(methods, st.one_of(paths, paths.map(lambda path: f"/api{path}"), paths.map(lambda path: f"/apis/apps/v1{path}")))
def test_remembered_shapes_read_as_parsed_paths(method: str, path: str) -> None:
    request = Request(method, path)
    assert routing.target(request) == routing._parsed(request)


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        pytest.param(
            "GET",
            "/api/v1/namespaces/a/pods/p",
            Target("get", "/api/v1/namespaces/a/pods/p", True, "", "v1", "pods", "", "a", "p"),
            id="object in a namespace",
        ),
        pytest.param(
            "DELETE",
            "/api/v1/nodes/n",
            Target("delete", "/api/v1/nodes/n", True, "", "v1", "nodes", "", "", "n"),
            id="node",
        ),
        pytest.param(
            "GET",
            "/api/v1/namespaces/a",
            Target("get", "/api/v1/namespaces/a", True, "", "v1", "namespaces", "", "a", "a"),
            id="a namespace is in itself",
        ),
        pytest.param(
            "PUT",
            "/api/v1/namespaces/a/finalize",
            Target("update", "/api/v1/namespaces/a/finalize", True, "", "v1", "namespaces", "finalize", "a", "a"),
            id="subresource of a namespace",
        ),
        pytest.param(
            "GET",
            "/apis/apps/v1/namespaces/a/deployments/",
            Target("list", "/apis/apps/v1/namespaces/a/deployments/", True, "apps", "v1", "deployments", "", "a", ""),
            id="trailing slash",
        ),
        pytest.param("GET", "/healthz/ping", Target("get", "/healthz/ping"), id="no resource"),
    ],
)
def test_target(method: str, path: str, expected: Target) -> None:
    assert routing.target(Request(method, path)) == expected
    assert routing.target(Request(method, path)) == expected, "remembered"
