"""Requests are counted by upstream's labels, watches when they begin and end."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.apiserver.world import Api, make

from kloster.apiserver.observability.metrics import exposition
from kloster.apiserver.observability.tally import Tally

POD = {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}


def counts(tally: Tally, name: str = "apiserver_request_total") -> dict[tuple[str, ...], float]:
    """(verb, resource, subresource, scope, code) → count"""
    names = ("verb", "resource", "subresource", "scope", "code")
    return {
        tuple(sample.labels.get(label, "") for label in names): sample.value
        for family in text_string_to_metric_families(exposition(tally).decode())
        for sample in family.samples
        if sample.name == name
    }


def counting(test: Callable[[Tally, Api], Awaitable[None]]) -> None:
    async def go() -> None:
        cluster = await make()
        tally = cluster.ports.tally = Tally()
        await test(tally, Api(cluster))
        await cluster.store.close()

    asyncio.run(go())


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "expected"),
    [
        pytest.param(
            "GET", "/api/v1/namespaces/default", None, {}, ("GET", "namespaces", "", "resource", "200"), id="get"
        ),
        pytest.param(
            "GET", "/api/v1/namespaces/nope", None, {}, ("GET", "namespaces", "", "resource", "404"), id="404"
        ),
        pytest.param("GET", "/api/v1/pods", None, {}, ("LIST", "pods", "", "cluster", "200"), id="list-everywhere"),
        pytest.param(
            "GET",
            "/api/v1/namespaces/default/pods",
            None,
            {},
            ("LIST", "pods", "", "namespace", "200"),
            id="list-inside",
        ),
        pytest.param(
            "POST",
            "/api/v1/namespaces/default/configmaps",
            {"metadata": {"name": "a"}},
            {},
            ("POST", "configmaps", "", "resource", "201"),
            id="create",
        ),
        pytest.param(
            "PATCH",
            "/api/v1/namespaces/default/configmaps/a?fieldManager=m",
            {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}},
            {"content-type": "application/apply-patch+yaml"},
            ("APPLY", "configmaps", "", "resource", "201"),
            id="apply",
        ),
        pytest.param(
            "DELETE",
            "/api/v1/namespaces/default/configmaps",
            None,
            {},
            ("DELETECOLLECTION", "configmaps", "", "namespace", "200"),
            id="deletecollection",
        ),
        pytest.param("GET", "/version", None, {}, ("GET", "", "/version", "", "200"), id="path"),
        pytest.param("GET", "/made/up", None, {}, ("GET", "", "", "", "404"), id="made-up-paths-are-one"),
        pytest.param(
            "GET",
            "/apis/made.up/v1/things",
            None,
            {},
            ("LIST", "unknown", "", "", "404"),
            id="made-up-resources-are-one",
        ),
    ],
)
def test_labels(method: str, path: str, body: Any, headers: dict[str, str], expected: tuple[str, ...]) -> None:
    async def test(tally: Tally, api: Api) -> None:
        await api.send(method, path, body, headers)
        assert counts(tally) == {expected: 1.0}

    counting(test)


def test_a_watch_is_counted_while_it_is_open_and_when_it_has_ended() -> None:
    async def test(tally: Tally, api: Api) -> None:
        response = await api.send("GET", "/api/v1/namespaces/default/pods?watch=true")
        assert response.stream is not None
        running = counts(tally, "apiserver_longrunning_requests")
        assert running == {("WATCH", "pods", "", "namespace", ""): 1.0}
        assert counts(tally) == {}
        await response.stream.aclose()  # type: ignore[attr-defined]
        await response.stream.aclose()  # type: ignore[attr-defined]
        assert counts(tally, "apiserver_longrunning_requests") == {}
        assert counts(tally) == {("WATCH", "pods", "", "namespace", "200"): 1.0}

    counting(test)


def test_what_waits_is_in_flight() -> None:
    async def test(tally: Tally, api: Api) -> None:
        writing = asyncio.ensure_future(
            api.send("POST", "/api/v1/namespaces/default/configmaps", {"metadata": {"name": "a"}})
        )
        await asyncio.sleep(0)
        assert (tally.mutating, tally.reading) == (1, 0)
        await writing
        assert (tally.mutating, tally.reading) == (0, 0)
        assert tally.cpu > 0

    counting(test)
