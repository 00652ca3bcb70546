"""The client's requests and how it reads answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import aclosing
from typing import Any

import orjson
import pytest

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError, not_found
from kloster.client.client import Client
from kloster.client.inprocess import InProcessTransport
from kloster.client.recorded import RecordedTransport, answer
from kloster.client.resources import DEPLOYMENTS, NODES, PODS
from kloster.client.transport import Request, Response, User

PATH = "/api/v1/namespaces/ns/pods"


def asked(call: Any, path: str = PATH, method: str = "GET", body: Object | None = None) -> tuple[Request, Any]:
    """(the request that `call` makes, what it returns)."""

    async def main() -> tuple[Request, Any]:
        transport = RecordedTransport({f"{method} {path}": answer(body or {})})
        result = await call(Client(transport, user_agent="me/1"))
        return transport.requests[-1], result

    return asyncio.run(main())


def test_paths() -> None:
    assert PODS.path("ns", "p", "log") == "/api/v1/namespaces/ns/pods/p/log"
    assert DEPLOYMENTS.path() == "/apis/apps/v1/deployments"
    assert NODES.path("ignored", "n") == "/api/v1/nodes/n"


def test_a_list_fills_in_what_items_lack() -> None:
    body = {"metadata": {"resourceVersion": "7", "continue": "c"}, "items": [{"metadata": {"name": "p"}}]}
    request, found = asked(
        lambda client: client.list(PODS, "ns", label_selector="a=b", limit=5, continue_="t"), body=body
    )
    assert request.query == [("labelSelector", "a=b"), ("limit", "5"), ("continue", "t")]
    assert request.headers == {"accept": "application/json", "user-agent": "me/1"}
    assert found.items == [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}]
    assert (found.resource_version, found.continue_) == ("7", "c")


@pytest.mark.parametrize(
    ("kind", "media"),
    [
        ("json", "application/json-patch+json"),
        ("merge", "application/merge-patch+json"),
        ("strategic", "application/strategic-merge-patch+json"),
        ("apply", "application/apply-patch+yaml"),
    ],
)
def test_patches(kind: Any, media: str) -> None:
    def call(client: Client) -> Awaitable[Object]:
        return client.patch(PODS, "ns", "p", {"a": 1}, type=kind, subresource="status", field_manager="m", force=True)

    request, _ = asked(call, f"{PATH}/p/status", "PATCH")
    assert request.headers["content-type"] == media
    assert request.query == [("fieldManager", "m"), ("force", "true")]
    assert orjson.loads(request.body) == {"a": 1}


def test_delete_options() -> None:
    def call(client: Client) -> Awaitable[Object]:
        return client.delete(PODS, "ns", "p", uid="u", grace_period_seconds=0, propagation_policy="Orphan")

    request, _ = asked(call, f"{PATH}/p", "DELETE")
    options = orjson.loads(request.body)
    assert options["preconditions"] == {"uid": "u"}
    assert (options["gracePeriodSeconds"], options["propagationPolicy"]) == (0, "Orphan")


def test_errors_carry_the_status() -> None:
    async def main() -> None:
        status = not_found("", "pods", "p")
        client = Client(RecordedTransport({f"GET {PATH}/p": answer(status.status(), 404)}))
        with pytest.raises(StatusError) as raised:
            await client.get(PODS, "ns", "p")
        assert raised.value.status() == status.status()
        with pytest.raises(StatusError) as raised:
            await client.get(PODS, "ns", "unprepared")
        assert (raised.value.code, raised.value.message) == (404, "404 page not found")

    asyncio.run(main())


def test_all_pages_are_read() -> None:
    async def main() -> None:
        pages = [
            answer({"metadata": {"resourceVersion": "7", "continue": "next"}, "items": [{"metadata": {"name": "a"}}]}),
            answer({"metadata": {"resourceVersion": "7"}, "items": [{"metadata": {"name": "b"}}]}),
        ]
        transport = RecordedTransport({f"GET {PATH}": pages})
        found = await Client(transport).list_all(PODS, "ns", page=1)
        assert [item["metadata"]["name"] for item in found.items] == ["a", "b"]
        assert found.resource_version == "7"
        assert ("continue", "next") in transport.requests[1].query

    asyncio.run(main())


@pytest.mark.parametrize("size", [1, 7, 40, 1000])
def test_a_watch_reads_lines_whatever_the_chunks(size: int) -> None:
    events = [{"type": "ADDED", "object": {"metadata": {"name": f"p{number}"}}} for number in range(5)]
    data = b"".join(orjson.dumps(event) + b"\n" for event in events) + b'{"type":"cut off'
    closed: list[bool] = []

    async def chunks() -> AsyncIterator[bytes]:
        try:
            for start in range(0, len(data), size):
                yield data[start : start + size]
        finally:
            closed.append(True)

    async def main() -> list[str]:
        client = Client(RecordedTransport({f"GET {PATH}": Response(200, stream=chunks())}))
        async with aclosing(client.watch(PODS, "ns", resource_version="5")) as watch:
            return [event.object["metadata"]["name"] async for event in watch]

    assert asyncio.run(main()) == [f"p{number}" for number in range(5)]
    assert closed == [True]


def test_an_error_event_is_raised() -> None:
    async def main() -> None:
        line = orjson.dumps({"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}})
        client = Client(RecordedTransport({f"GET {PATH}": Response(200, body=line + b"\n")}))
        with pytest.raises(StatusError, match="too old") as raised:
            _ = [event async for event in client.watch(PODS, "ns")]
        assert raised.value.code == 410

    asyncio.run(main())


@pytest.mark.parametrize("asynchronous", [False, True])
def test_in_process_requests_have_an_identity(asynchronous: bool) -> None:
    seen: list[User | None] = []

    def handle(request: Request) -> Response | Awaitable[Response]:
        seen.append(request.user)

        async def later() -> Response:
            return answer({"ok": True})

        return later() if asynchronous else answer({"ok": True})

    async def main() -> Any:
        return await Client(InProcessTransport(handle, User("controller"))).json("GET", "/version")

    assert asyncio.run(main()) == {"ok": True}
    assert seen == [User("controller")]
