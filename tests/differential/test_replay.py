"""Kloster's answers, compared with those of a real kube-apiserver 1.34.4."""

from __future__ import annotations

import pytest
from tests.apiserver import hurry, world
from tests.differential.model import AGENT, Answer, Session, first_difference, golden, load, names, shown

from kloster.apiserver.customresources.kinds import builder


@pytest.mark.parametrize("name", names())
def test_answers_as_upstream(name: str) -> None:
    differences = hurry.run(_replay(name))
    assert not differences, "\n\n".join(differences)


async def _replay(name: str) -> list[str]:
    cluster = await world.make()
    cluster.serve_custom_resources(builder(cluster.catalog))
    session = Session(f"diff-{name}-0")
    await world.namespace(cluster, session.namespace, AGENT)
    api = world.Api(cluster, agent=AGENT)
    differences = []
    wanted = golden(name)
    steps = load(name)
    assert len(wanted) == len(steps), "record the sequence again"
    for step, expected in zip(steps, wanted, strict=True):
        response = await api.send(
            step.method, session.fill(step.path), session.body(step) or None, session.headers(step)
        )
        answer = Answer(response.status, response.headers, await world.read(response))
        found = session.normal(step, answer)
        if not step.differs and shown(found) != shown(expected):
            lines = first_difference(shown(expected), shown(found))
            differences.append("\n".join([f"{step.method} {step.path}  (- upstream, + Kloster)", *lines]))
        session.keep(step, answer)
    return differences
