"""Nodes. Unlike other kinds one may be created with its status; later the kubelet writes that to /status.

Source: https://kubernetes.io/docs/concepts/architecture/nodes/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, duplicate, forbidden_field, invalid_value, required, shown
from kloster.kinds import addresses, checks, lifecycle, names, quantity, resources
from kloster.kinds import cells as table
from kloster.kinds.podspec.scheduling import validate_effect
from kloster.kinds.strategy import Strategy

_ROLE_PREFIX = "node-role.kubernetes.io/"


def _default(node: Object) -> None:
    status = node.get("status") or {}
    for name in ("capacity", "allocatable"):
        quantity.round_up_milli(status.get(name))
    if status.get("capacity") is not None and status.get("allocatable") is None:
        status["allocatable"] = dict(status["capacity"])
    spec = node.get("spec") or {}
    if spec.get("podCIDR") and (spec.get("podCIDRs") or [""])[0] != spec["podCIDR"]:
        spec["podCIDRs"] = [spec["podCIDR"]]
    elif spec.get("podCIDRs"):
        spec["podCIDR"] = spec["podCIDRs"][0]


def _prepare_create(node: Object) -> None:
    (node.get("spec") or {}).pop("configSource", None)
    (node.get("status") or {}).pop("config", None)


def _prepare_update(new: Object, old: Object) -> None:
    lifecycle.keep_status(new, old)
    (new.get("spec") or {}).pop("configSource", None)


def _validate(node: Object) -> Iterable[FieldError]:
    spec = node.get("spec") or {}
    yield from _validate_taints(spec.get("taints") or (), "metadata.taints")
    yield from _validate_resources(node)
    cidrs = spec.get("podCIDRs") or []
    for index, cidr in enumerate(cidrs):
        yield from checks.complaints(f"spec.podCIDRs[{index}]", cidr, names.cidr(cidr))
    if len(cidrs) > 1:
        wrong = next((index for index, cidr in enumerate(cidrs) if names.parse_cidr(cidr) is None), None)
        if wrong is not None:
            text = (
                "Internal error: invalid PodCIDRs. failed to check with dual stack with error:"
                f"invalid CIDR[{wrong}]: <nil> (invalid CIDR address: {cidrs[wrong]})"
            )
            yield FieldError("InternalError", "spec.podCIDRs", text)
        versions = {network.version for network in map(names.parse_cidr, cidrs) if network is not None}
        if versions != {4, 6} or len(cidrs) > 2:
            text = "may specify no more than one CIDR for each IP family"
            yield invalid_value("spec.podCIDRs", cidrs, text)


def _validate_taints(taints: Iterable[Object], path: str) -> Iterable[FieldError]:
    seen: set[tuple[str, str]] = set()
    for index, taint in enumerate(taints):
        at, key, value = f"{path}[{index}]", taint.get("key") or "", taint.get("value") or ""
        effect = taint.get("effect") or ""
        yield from checks.complaints(f"{at}.key", key, names.qualified_name(key))
        texts = names.label_value(value)
        if texts:
            yield invalid_value(f"{at}.value", value, ";".join(texts))
        if effect:
            yield from validate_effect(effect, f"{at}.effect")
        else:
            yield required(f"{at}.effect")
        if (key, effect) in seen:
            internal = {"Key": key, "Value": value, "Effect": effect, "TimeAdded": taint.get("timeAdded")}
            text = f"Duplicate value: {shown(internal)}: taints must be unique by key and effect pair"
            yield FieldError("FieldValueDuplicate", at, text)
        seen.add((key, effect))


def _validate_resources(node: Object) -> Iterable[FieldError]:
    for field in ("capacity", "allocatable"):
        for name, amount in ((node.get("status") or {}).get(field) or {}).items():
            yield from resources.validate_amount(name, amount, f"status.{field}.{name}")


def _validate_update(new: Object, old: Object) -> Iterable[FieldError]:
    yield from _validate_taints((new.get("spec") or {}).get("taints") or (), "metadata.taints")  # once more
    yield from _validate_common_update(new, old)
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    if (before.get("externalID") or "") != (spec.get("externalID") or ""):
        yield forbidden_field("spec.externalID", "may not be updated")


def _validate_status(new: Object, old: Object) -> Iterable[FieldError]:
    yield from _validate_resources(new)
    yield from _validate_common_update(new, old)


def _validate_common_update(new: Object, old: Object) -> Iterable[FieldError]:
    """Addresses are unique; pod CIDRs and provider are assigned once."""
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    seen: set[tuple[str, str]] = set()
    for index, address in enumerate((new.get("status") or {}).get("addresses") or ()):
        key = (address.get("type") or "", address.get("address") or "")
        if key in seen:
            yield duplicate(f"status.addresses[{index}]", {"Type": key[0], "Address": key[1]})
        seen.add(key)
    cidrs = before.get("podCIDRs")
    if cidrs and cidrs != (spec.get("podCIDRs") or []):
        yield forbidden_field("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid')
    if before.get("providerID") and before["providerID"] != spec.get("providerID"):
        yield forbidden_field("spec.providerID", 'node updates may not change providerID except from "" to valid')


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


def _warn(new: Object, _old: Object | None, minor: int) -> Iterator[str]:
    spec = new.get("spec") or {}
    if spec.get("configSource") is not None:
        yield "spec.configSource: the feature is removed"
    if spec.get("externalID"):
        yield "spec.externalID: this field is deprecated, and is unused by Kubernetes"
    for index, cidr in enumerate(spec.get("podCIDRs") or () if minor >= 33 else ()):
        yield from addresses.cidr_warnings(f"spec.podCIDRs[{index}]", cidr)


STRATEGY = Strategy(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=lifecycle.keep_spec,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    status=True,
    cells=_cells,
    fields={"spec.unschedulable": lambda node: str(bool((node.get("spec") or {}).get("unschedulable"))).lower()},
    warn=_warn,
)
