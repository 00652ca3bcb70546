"""Custom resources and their definitions: Kloster's answers, compared with those of a real kube-apiserver 1.34.4."""

from __future__ import annotations

import json

import pytest
from tests.apiserver import hurry, world
from tests.apiserver.customresources import sequences
from tests.differential.model import AGENT, Answer, Session, first_difference, shown

from kloster.apiserver.customresources.kinds import builder


@pytest.mark.parametrize("name", sequences.NAMES)
def test_answers_as_upstream(name: str) -> None:
    differences = hurry.run(_replay(name))
    assert not differences, "\n\n".join(differences)


async def _replay(name: str) -> list[str]:
    cluster = await world.make()
    cluster.serve_custom_resources(builder(cluster.catalog))
    session = Session(f"custom-{name}-0")
    api = world.Api(cluster, agent=AGENT)
    await api.ok("POST", "/api/v1/namespaces", {"metadata": {"name": session.namespace}})
    wanted = json.loads((sequences.HERE / "golden" / f"{name}.json").read_text())
    steps = sequences.load(name)
    assert [each["name"] for each in wanted] == [label for label, _ in steps], "record the sequence again"
    differences = []
    for (label, step), expected in zip(steps, wanted, strict=True):
        response = await api.send(
            step.method, session.fill(step.path), session.body(step) or None, session.headers(step)
        )
        answer = Answer(response.status, response.headers, await world.read(response))
        found = {"name": label, **sequences.normal(session, step, answer, sequences.has_owners(name))}
        if not step.differs and shown(found) != shown(expected):
            lines = first_difference(shown(expected), shown(found))
            differences.append("\n".join([f"{label}: {step.method} {step.path}  (- upstream, + Kloster)", *lines]))
    return differences
