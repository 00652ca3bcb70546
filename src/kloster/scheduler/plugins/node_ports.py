"""NodePorts: no two pods of a node may use the same host port."""

from __future__ import annotations

from collections.abc import Iterator

from kloster.apimachinery import Object
from kloster.scheduler.cycle import Cycle
from kloster.scheduler.snapshot import NodeInfo


def _ports(pod: Object) -> Iterator[tuple[str, str, int]]:
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or ():
            if port.get("hostPort"):
                yield port.get("hostIP") or "0.0.0.0", port.get("protocol", "TCP"), port["hostPort"]


def _wanted(cycle: Cycle) -> list[tuple[str, str, int]]:
    found: list[tuple[str, str, int]] | None = cycle.memo.get("node_ports")
    if found is None:
        found = cycle.memo["node_ports"] = list(_ports(cycle.pod))
    return found


def concerns(cycle: Cycle) -> bool:
    return bool(_wanted(cycle))


def filter(cycle: Cycle, info: NodeInfo) -> str | None:
    wanted = _wanted(cycle)
    for other in info.pods.values():
        for address, protocol, port in _ports(other):
            for mine, my_protocol, my_port in wanted:
                same = port == my_port and protocol == my_protocol
                if same and (address == mine or "0.0.0.0" in (address, mine)):
                    return "node(s) didn't have free ports for the requested pod ports"
    return None
