"""Whatever is asked, nothing breaks: no error that nobody thought of, none without an answer, nothing left over."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest
from tests.apiserver import world
from tests.attacks.bounds import bounded
from tests.attacks.nonsense import Source
from tests.attacks.test_exhaustion import FREE, MAPS, cluster, define

from kloster.client.transport import Response

UNEXPECTED = b"an unexpected error occurred"
YAML = {"content-type": "application/yaml"}


async def _read(answer: Response) -> bytes:
    """What has come of it; of a stream that may go on, its beginning."""
    if answer.stream is None:
        return answer.body
    found = b""
    try:
        async with asyncio.timeout(0.02):
            async for chunk in answer.stream:
                found += chunk
    except TimeoutError:
        pass
    finally:
        close: Any = getattr(answer.stream, "aclose", None)
        if close is not None:
            await close()
    return found


@pytest.mark.parametrize("seed", range(4))
def test_nothing_breaks(seed: int) -> None:
    async def go() -> None:
        made, api = await cluster()
        await define(api, FREE)
        await api.ok("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        source, tasks = Source(made, seed), asyncio.all_tasks()
        with bounded(60.0):
            for number in range(800):
                asked = source.request()
                async with asyncio.timeout(30):
                    answer = await api.send(asked.method, asked.target, asked.body or None, asked.headers)
                    body = await _read(answer)
                assert UNEXPECTED not in body, (seed, number, asked)
        assert (await api.send("GET", MAPS)).status == 200
        assert asyncio.all_tasks() == tasks

    asyncio.run(go())


BROKE: dict[str, tuple[str, str, bytes, dict[str, str]]] = {
    "options that are no YAML": ("DELETE", MAPS + "/a", b"a: [b", YAML),
    "options with control characters": ("DELETE", MAPS + "/a", b"\x00", YAML),
    "a binding of nothing": (
        "POST",
        "/api/v1/namespaces/default/bindings",
        b'{"apiVersion":"v1","target":{"name":"a"},"kind":"Binding","metadata":{}}',
        {},
    ),
    "binary keys": ("POST", MAPS, b"metadata: {name: x}\ndata: {!!binary aGk=: x}", YAML),
    "a tag that does not fit": ("POST", MAPS, b"metadata: {name: x}\ndata: !!float [1]", YAML),
}


@pytest.mark.parametrize(("method", "target", "body", "headers"), BROKE.values(), ids=BROKE.keys())
def test_what_has_broken_once(method: str, target: str, body: bytes, headers: dict[str, str]) -> None:
    async def go() -> None:
        _, api = await cluster()
        await api.ok("POST", MAPS, {"metadata": {"name": "a"}})
        answer = await api.send(method, target, body, headers)
        assert UNEXPECTED not in await world.read(answer)

    asyncio.run(go())


def test_options_that_cannot_be_read_are_told_as_upstream_tells_them() -> None:
    async def go() -> None:
        _, api = await cluster()
        await api.ok("POST", MAPS, {"metadata": {"name": "a"}})
        for body, text in (
            (b"\x00", "yaml: control characters are not allowed"),
            (b"[]", "couldn't get version/kind; json parse error: json: cannot unmarshal array into Go value of type"),
        ):
            answer = await api.send("DELETE", MAPS + "/a", body, YAML)
            assert answer.status == 500
            assert orjson.loads(answer.body)["message"].startswith(text)
        assert (await api.send("GET", MAPS + "/a")).status == 200

    asyncio.run(go())
