"""Events: what is written, counted, combined and dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import orjson

from kloster.aio.clock import VirtualClock, settle
from kloster.client.client import Client
from kloster.client.recorded import RecordedTransport, answer
from kloster.client.transport import Request, Response
from kloster.runtime.recorder import EventRecorder

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p", "namespace": "ns", "uid": "u", "resourceVersion": "7"},
}


def record(steps: list[tuple[str, str]]) -> list[Request]:
    """Record (reason, message) pairs about one pod; returns the requests."""

    async def main() -> list[Request]:
        transport = RecordedTransport({"POST /api/v1/namespaces/ns/events": answer({}, 201)})
        clock = VirtualClock()
        work: list[Coroutine[Any, Any, Any]] = []
        recorder = EventRecorder(Client(transport), clock, lambda task, name: work.append(task))
        speaking = recorder.for_component("test-controller")
        for reason, message in steps:
            speaking.event(POD, "Normal", reason, message)
            while work:
                await work.pop()
        return transport.requests

    return asyncio.run(main())


def test_an_event_has_the_fields_of_upstreams() -> None:
    (request,) = record([("Created", "Created it")])
    event = orjson.loads(request.body)
    assert event["metadata"]["name"].startswith("p.")
    assert event["involvedObject"] == {
        "kind": "Pod", "namespace": "ns", "name": "p", "uid": "u", "apiVersion": "v1", "resourceVersion": "7",
    }  # fmt: skip
    assert event["source"] == {"component": "test-controller"}
    assert event["reportingComponent"] == "test-controller"
    assert (event["count"], event["type"], event["reason"], event["message"]) == (1, "Normal", "Created", "Created it")


def test_the_same_event_again_is_counted() -> None:
    requests = record([("Created", "same")] * 2)
    assert [request.method for request in requests] == ["POST", "PATCH", "POST"]  # the patch finds none: 404
    first, patch, again = (orjson.loads(request.body) for request in requests)
    assert patch["count"] == 2
    assert requests[1].path.endswith(first["metadata"]["name"])
    assert again["count"] == 2


def test_the_tenth_similar_event_is_combined() -> None:
    requests = record([("Created", f"number {index}") for index in range(12)])
    bodies = [orjson.loads(request.body) for request in requests]
    assert [body["message"] for body in bodies[:9]] == [f"number {index}" for index in range(9)]
    assert bodies[9]["message"] == "(combined from similar events): number 9"
    assert requests[10].method == "PATCH"


def test_a_flood_about_one_object_is_dropped() -> None:
    requests = record([(f"Reason{index}", "x") for index in range(40)])
    assert len(requests) == 25


class Slow:
    """A transport that answers when it is told to, and counts."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.requests: list[Request] = []
        self.running = self.most = 0

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        self.running += 1
        self.most = max(self.most, self.running)
        await self.open.wait()
        await asyncio.sleep(0)
        self.running -= 1
        return answer({}, 201)

    async def aclose(self) -> None:
        """Nothing is held."""


def flushed(events: list[tuple[int, str]], linger: float = 0.0) -> tuple[Slow, EventRecorder]:
    """Record (number of the pod, message) pairs, then write them."""

    async def main() -> tuple[Slow, EventRecorder]:
        slow, clock, tasks = Slow(), VirtualClock(), set[asyncio.Task[None]]()
        recorder = EventRecorder(
            Client(slow), clock, lambda work, _: tasks.add(asyncio.ensure_future(work)), linger=linger
        )
        for number, message in events:
            pod = {**POD, "metadata": {"name": f"p{number}", "namespace": "ns", "uid": f"u{number}"}}
            recorder.for_component("c").event(pod, "Normal", "Created", message)
        await settle()
        assert bool(slow.requests) is not bool(linger)
        await clock.advance(linger)
        slow.open.set()
        await asyncio.gather(*tasks)
        return slow, recorder

    return asyncio.run(main())


def test_a_few_are_written_at_once_and_in_order() -> None:
    slow, _ = flushed([(number, "x") for number in range(30)])
    assert slow.most == 8
    names = [orjson.loads(request.body)["involvedObject"]["name"] for request in slow.requests]
    assert names == [f"p{number}" for number in range(30)]


def test_an_event_is_counted_after_it_was_written() -> None:
    slow, _ = flushed([(1, "same"), (1, "same"), (2, "x")])
    assert [request.method for request in slow.requests] == ["POST", "PATCH", "POST"]
    assert slow.most == 2


def test_events_gather_before_they_are_written() -> None:
    slow, _ = flushed([(1, "x"), (2, "x")], linger=0.1)
    assert slow.most == 2


def test_what_comes_while_too_many_wait_is_dropped_and_counted() -> None:
    slow, recorder = flushed([(number, "x") for number in range(1010)])
    assert (len(slow.requests), recorder.dropped) == (1000, 10)
