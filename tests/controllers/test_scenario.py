"""Our controllers leave what kube-controller-manager 1.34 left after each step of the recorded scenario."""

from __future__ import annotations

import difflib
import json

import pytest

from kloster.apimachinery import Object
from kloster.client.resources import NAMESPACES

from . import habits, scenario
from .scenario import Player, Script, Snapshot, changed, snapshot
from .world import World, world


def difference(recorded: Object, ours: Object) -> str:
    """A readable difference by kind; empty if there is none."""
    found: list[str] = []
    for kind in recorded:
        old, new = (json.dumps(side[kind], indent=1, sort_keys=True).splitlines() for side in (recorded, ours))
        found += difflib.unified_diff(old, new, f"{kind} recorded", f"{kind} ours", n=3, lineterm="")
    return "\n".join(found)


@pytest.mark.parametrize("script", [scenario.SCRIPT, habits.SCRIPT], ids=["scenario", "habits"])
def test_it_goes_as_recorded(script: Script) -> None:
    @world
    async def run(cluster: World) -> None:
        recorded = json.loads(script.golden.read_text())
        cluster.run("*", "-podgc")
        await cluster.create(NAMESPACES, "scenario")
        await cluster.settle()

        async def settle() -> None:
            await cluster.settle()
            await cluster.advance(1)

        player = Player(cluster.client, "scenario", settle, cluster.clock.now, script.binds)
        steps = 0
        upstream: Snapshot = {resource.kind: [] for resource in script.compared}
        async for step in script.play(player):
            upstream = changed(upstream, recorded[step])
            found = difference(upstream, await snapshot(player, script.compared))
            assert not found, f"after {step!r}:\n{found}"
            steps += 1
        assert steps == len(recorded)

    run()
