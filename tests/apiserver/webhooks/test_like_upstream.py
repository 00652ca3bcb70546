"""What webhooks are asked, and what comes of their answers, as a real API server has it (``golden.json``)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.apiserver import world
from tests.apiserver.webhooks import model
from tests.apiserver.webhooks.model import Case, Webhooks

from kloster.apiserver.callouts import Callouts
from kloster.apiserver.customresources.kinds import builder
from kloster.client.outgoing import Reach

CASES = model.load()
RECORDED: dict[str, Any] = json.loads(model.GOLDEN.read_text())


@pytest.fixture(scope="module")
def webhooks() -> Iterator[Webhooks]:
    with model.serving() as found:
        yield found


def replay(case: Case, webhooks: Webhooks) -> dict[str, Any]:
    async def main() -> dict[str, Any]:
        cluster = await world.make()
        cluster.serve_custom_resources(builder(cluster.catalog))
        cluster.ports.webhooks = Callouts(Reach.ANYWHERE)
        await world.namespace(cluster, case.namespace)
        api = world.Api(cluster, agent="webhooks/1.0")

        async def send(one: Any) -> tuple[int, str, bytes]:
            method, _, path = case.fill(one["request"]).partition(" ")
            headers = {"content-type": one["type"]} if "type" in one else {}
            answer = await api.send(method, path, case.fill(one.get("body")), headers)
            return answer.status, answer.headers.get("warning", ""), await world.read(answer)

        for one in case.setup:
            status, _, body = await send(one)
            assert status < 400, body.decode()
        for path, document in case.configurations(webhooks.url, webhooks.bundle):
            await api.ok("POST", path, document)
        webhooks.begin(case)
        answers = []
        for webhooks.step, one in enumerate(case.do):
            answers.append(model.answered(*await send(one)))
        cluster.close()
        await asyncio.sleep(0.02)  # the connections end
        return {"asked": model.asked(webhooks, case), "answers": answers}

    return asyncio.run(main())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_it_is_as_upstream(case: Case, webhooks: Webhooks) -> None:
    found, wanted = replay(case, webhooks), RECORDED[case.name]
    assert found["answers"] == wanted["answers"]
    assert found["asked"] == wanted["asked"]


def test_every_case_is_recorded() -> None:
    assert sorted(RECORDED) == sorted(case.name for case in CASES)
