"""Endpoints: the older list of a Service's addresses, by subsets that share ports.

Source: https://kubernetes.io/docs/reference/kubernetes-api/service-resources/endpoints-v1/
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object
from kloster.kinds import cells as table
from kloster.kinds import defaulting
from kloster.kinds.strategy import Strategy


def _default(endpoints: Object) -> None:
    for subset in endpoints.get("subsets") or ():
        for port in subset.get("ports") or ():
            defaulting.empty(port, protocol="TCP")


def _joined(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _addresses(endpoints: Object) -> str:
    if not endpoints.get("subsets"):
        return "<none>"
    listed: list[str] = []
    for subset in endpoints["subsets"]:
        ips = [address.get("ip", "") for address in subset.get("addresses") or ()]
        ports = subset.get("ports")
        if not ports:  # headless services need none
            listed.extend(ips)
        for port in ports or ():
            listed.extend(_joined(ip, port.get("port", 0)) for ip in ips)
    return table.listed(listed) if listed else ""


def _cells(endpoints: Object, now: float) -> list[Any]:
    return [endpoints["metadata"]["name"], _addresses(endpoints), table.age(endpoints, now)]


STRATEGY = Strategy(default=_default, create_on_update=True, cells=_cells)
