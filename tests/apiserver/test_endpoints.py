"""Which methods paths that are no resources take, as a real API server answers them."""

from __future__ import annotations

import pytest
from tests.apiserver.world import Api, on_cluster

from kloster.apiserver.cluster import ServedCluster

METHODS = ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        *((path, 405) for path in ("/version", "/version/", "/api", "/api/v1", "/api/v1/", "/apis/apps/v1")),
        *((path, 200) for path in ("/", "/apis", "/apis/apps", "/healthz", "/livez", "/readyz/ping")),
        *((path, 404) for path in ("/nope", "/apis/nope", "/apis/apps/v9", "/api/v2")),
    ],
)
def test_methods_that_do_not_read(path: str, expected: int) -> None:
    async def body(_: ServedCluster, api: Api) -> None:
        assert {(await api.send(method, path)).status for method in METHODS} == {expected}
        assert (await api.send("GET", path)).status == (404 if expected == 404 else 200)

    on_cluster(body)
