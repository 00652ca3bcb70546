"""Nodes. Unlike other kinds one may be created with its status; later the kubelet writes that to /status.

Source: https://kubernetes.io/docs/concepts/architecture/nodes/
"""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object
from kloster.kinds import cells as table
from kloster.kinds import lifecycle, quantity
from kloster.kinds.strategy import Strategy

_ROLE_PREFIX = "node-role.kubernetes.io/"


def _default(node: Object) -> None:
    status = node.get("status") or {}
    for name in ("capacity", "allocatable"):
        quantity.round_up_milli(status.get(name))
    if status.get("capacity") is not None and status.get("allocatable") is None:
        status["allocatable"] = dict(status["capacity"])
    spec = node.get("spec") or {}
    if spec.get("podCIDR") and not spec.get("podCIDRs"):
        spec["podCIDRs"] = [spec["podCIDR"]]
    elif spec.get("podCIDRs"):
        spec["podCIDR"] = spec["podCIDRs"][0]


def _prepare_create(node: Object) -> None:
    (node.get("spec") or {}).pop("configSource", None)
    (node.get("status") or {}).pop("config", None)


def _prepare_update(new: Object, old: Object) -> None:
    lifecycle.keep_status(new, old)
    (new.get("spec") or {}).pop("configSource", None)


def _status(node: Object) -> str:
    parts = [
        "Ready" if condition.get("status") == "True" else "NotReady"
        for condition in (node.get("status") or {}).get("conditions") or ()
        if condition.get("type") == "Ready"
    ]
    parts = parts[-1:] or ["Unknown"]
    if (node.get("spec") or {}).get("unschedulable"):
        parts.append("SchedulingDisabled")
    return ",".join(parts)


def _roles(node: Object) -> str:
    roles = set()
    for key, value in (node["metadata"].get("labels") or {}).items():
        if key.startswith(_ROLE_PREFIX):
            roles.add(key.removeprefix(_ROLE_PREFIX))
        elif key == "kubernetes.io/role":
            roles.add(value)
    return ",".join(sorted(roles - {""})) or "<none>"


def _address(node: Object, kind: str) -> str:
    for address in (node.get("status") or {}).get("addresses") or ():
        if address.get("type") == kind:
            return str(address.get("address", ""))
    return "<none>"


def _cells(node: Object, now: float) -> list[Any]:
    info = (node.get("status") or {}).get("nodeInfo") or {}
    return [
        node["metadata"]["name"],
        _status(node),
        _roles(node),
        table.age(node, now),
        info.get("kubeletVersion", ""),
        _address(node, "InternalIP"),
        _address(node, "ExternalIP"),
        info.get("osImage") or "<unknown>",
        info.get("kernelVersion") or "<unknown>",
        info.get("containerRuntimeVersion") or "<unknown>",
    ]


STRATEGY = Strategy(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=lifecycle.keep_spec,
    status=True,
    cells=_cells,
    fields={"spec.unschedulable": lambda node: str(bool((node.get("spec") or {}).get("unschedulable"))).lower()},
)
