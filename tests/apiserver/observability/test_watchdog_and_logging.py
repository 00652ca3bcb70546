"""The loop's lag, and that no secret reaches a log."""

from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterator

import orjson
import pytest
import structlog

from kloster.aio.clock import VirtualClock, settle
from kloster.apiserver.observability.logging import HIDDEN, configure
from kloster.apiserver.observability.metrics import render
from kloster.apiserver.observability.watchdog import Watchdog


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_the_watchdog_measures_and_counts() -> None:
    async def scenario() -> None:
        clock = VirtualClock()
        watchdog = Watchdog(clock, interval=0.5, threshold=0.25)
        task = asyncio.create_task(watchdog.run())
        await clock.advance(0.5)
        assert (watchdog.last, watchdog.stalls) == (0.0, 0)
        clock._now += 1.5  # the loop was busy, nobody woke
        await clock.advance(0)
        assert watchdog.last == pytest.approx(1.0)
        assert watchdog.stalls == 1
        assert b"kloster_loop_lag_max_seconds 1.0" in render(watchdog.families)
        await clock.advance(0.5)
        render(watchdog.families)
        assert b"kloster_loop_lag_max_seconds 0.0" in render(watchdog.families)
        task.cancel()
        await settle()

    asyncio.run(scenario())


JWT = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJ4In0.c2lnbmF0dXJl"
KEY = "-----BEGIN PRIVATE KEY-----\nMIGH\n-----END PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("fields", "leak"),
    [
        pytest.param({"token": "s3cret"}, "s3cret", id="name"),
        pytest.param({"clientKey": "s3cret"}, "s3cret", id="camel-case"),
        pytest.param({"headers": {"authorization": "s3cret"}}, "s3cret", id="nested"),
        pytest.param({"items": [{"password": "s3cret"}]}, "s3cret", id="in-a-list"),
        pytest.param({"text": f"got {JWT}!"}, "c2lnbmF0dXJl", id="jwt-in-a-text"),
        pytest.param({"text": "Authorization: Bearer abc.def"}, "abc.def", id="bearer"),
        pytest.param({"data": KEY.encode()}, "MIGH", id="private-key"),
        pytest.param({"event_detail": KEY[:40]}, "MIGH", id="cut-private-key"),
    ],
)
@pytest.mark.parametrize("format", ["json", "console"])
def test_secrets_are_hidden(fields: dict[str, object], leak: str, format: str) -> None:
    stream = io.StringIO()
    configure(format, "info", stream)  # type: ignore[arg-type]
    structlog.get_logger("x").info("something", cluster="ns/a", **fields)
    assert leak not in stream.getvalue()
    assert HIDDEN in stream.getvalue()
    assert "ns/a" in stream.getvalue()


def test_secrets_in_exceptions_are_hidden() -> None:
    stream = io.StringIO()
    configure("json", "info", stream)
    try:
        raise ValueError(f"bad token {JWT}")
    except ValueError:
        structlog.get_logger("x").exception("failed")
    assert "c2lnbmF0dXJl" not in stream.getvalue()
    assert "ValueError" in stream.getvalue()


def test_json_is_one_object_a_line_also_from_the_standard_library() -> None:
    stream = io.StringIO()
    configure("json", "info", stream)
    structlog.get_logger("a").info("one", n=1)
    logging.getLogger("b").warning("two %s", JWT)
    structlog.get_logger("a").debug("not shown")
    lines = [orjson.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["event"], line["level"], line["logger"]) for line in lines] == [
        ("one", "info", "a"),
        (f"two {HIDDEN}", "warning", "b"),
    ]
    assert all(line["timestamp"].endswith("Z") for line in lines)
