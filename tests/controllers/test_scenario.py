"""Our controllers leave what kube-controller-manager 1.34 left after each step of the recorded scenario."""

from __future__ import annotations

import difflib
import json

from kloster.apimachinery import Object
from kloster.client.resources import NAMESPACES

from .scenario import GOLDEN, Player, play, snapshot
from .world import World, world


def difference(recorded: Object, ours: Object) -> str:
    """A readable difference by kind; empty if there is none."""
    found: list[str] = []
    for kind in recorded:
        old, new = (json.dumps(side[kind], indent=1, sort_keys=True).splitlines() for side in (recorded, ours))
        found += difflib.unified_diff(old, new, f"{kind} recorded", f"{kind} ours", n=3, lineterm="")
    return "\n".join(found)


@world
async def test_the_scenario_goes_as_recorded(cluster: World) -> None:
    recorded = json.loads(GOLDEN.read_text())
    cluster.run("*", "-podgc")
    await cluster.create(NAMESPACES, "scenario")
    await cluster.settle()

    async def settle() -> None:
        await cluster.settle()
        await cluster.advance(1)

    player = Player(cluster.client, "scenario", settle, cluster.clock.now)
    steps = 0
    async for step in play(player):
        found = difference(recorded[step], await snapshot(player))
        assert not found, f"after {step!r}:\n{found}"
        steps += 1
    assert steps == len(recorded)
