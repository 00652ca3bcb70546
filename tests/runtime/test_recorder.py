"""Events: what is written, counted, combined and dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import orjson

from kloster.aio.clock import VirtualClock
from kloster.client.client import Client
from kloster.client.recorded import RecordedTransport, answer
from kloster.client.transport import Request
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
