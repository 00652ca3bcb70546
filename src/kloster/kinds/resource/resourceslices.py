"""ResourceSlices: which devices a driver has, on one node or for many."""

from __future__ import annotations

import re
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, lifecycle, metadata, names
from kloster.kinds.podspec.scheduling import validate_node_selector
from kloster.kinds.resource import requests
from kloster.kinds.strategy import Strategy

_MOST_DEVICES = 128
_MOST_PROPERTIES = 32
_MOST_TAINTS = 4
_PLACES = ("nodeName", "nodeSelector", "allNodes", "perDeviceNodeSelection")


def _validate_new(slice_: Object) -> list[FieldError]:
    # On an update upstream reports what has changed in the midst of what is wrong (_validate_update).
    return _validate(slice_, []) if lifecycle.is_new(slice_) else []


def _validate(slice_: Object, changed: list[FieldError]) -> list[FieldError]:
    spec = slice_.get("spec") or {}
    found = requests.driver("spec.driver", checks.text(spec.get("driver")))
    found.extend(_pool("spec.pool", spec.get("pool") or {}))
    found.extend(changed)
    found.extend(_place("spec", spec))
    devices = spec.get("devices") or []
    return [*found, *requests.listed("spec.devices", devices, _MOST_DEVICES, _device, "name")]


def _pool(path: str, pool: Object) -> list[FieldError]:
    count, generation = pool.get("resourceSliceCount") or 0, pool.get("generation") or 0
    found = requests.pool(f"{path}.name", checks.text(pool.get("name")))
    if count <= 0:
        found.append(errors.invalid_value(f"{path}.resourceSliceCount", count, "must be greater than zero"))
    if generation < 0:
        text = "must be greater than or equal to zero"
        found.append(errors.invalid_value(f"{path}.generation", generation, text))
    return found


def _place(path: str, spec: Object) -> list[FieldError]:
    """Where the devices are is said in exactly one way."""
    found: list[FieldError] = []
    given = []
    for name in _PLACES:
        value = spec.get(name)
        if value is None:
            continue
        if name == "nodeName" and not value:
            text = "must be either unset or set to a non-empty string"
            found.append(errors.invalid_value(f"{path}.nodeName", value, text))
            continue
        if value is False:
            found.append(errors.invalid_value(f"{path}.{name}", value, "must be either unset or set to true"))
            continue
        given.append(f"`{name}`")
        if name == "nodeName":
            found.extend(checks.complaints(f"{path}.nodeName", value, names.subdomain(value)))
        if name == "nodeSelector":
            found.extend(validate_node_selector(value, f"{path}.nodeSelector"))
            terms = value.get("nodeSelectorTerms") or []
            if len(terms) != 1:
                text = "must have exactly one node selector term"
                found.append(errors.invalid_value(f"{path}.nodeSelector.nodeSelectorTerms", terms, text))
    text = f"exactly one of {', '.join(f'`{name}`' for name in _PLACES)} is required"
    if not given:
        found.append(errors.required(path, text))
    if len(given) > 1:
        shown = "{" + ", ".join(given) + "}"
        found.append(errors.invalid_value(path, shown, f"{text}, but multiple fields are set"))
    return found


def _device(path: str, device: Object) -> list[FieldError]:
    name = checks.text(device.get("name"))
    found = checks.complaints(f"{path}.name", name, names.label(name))
    attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
    count = len(attributes) + len(capacity)
    if count > _MOST_PROPERTIES:
        text = f"the total number of attributes and capacities must not exceed {_MOST_PROPERTIES}"
        found.append(errors.invalid_value(path, count, text))
    for key, attribute in attributes.items():
        found.extend(requests.qualified(f"{path}.attributes[{key}]", key))
        found.extend(_attribute(f"{path}.attributes[{key}]", attribute))
    for key in capacity:
        found.extend(requests.qualified(f"{path}.capacity[{key}]", key))
    taints = device.get("taints") or []
    return [*found, *requests.listed(f"{path}.taints", taints, _MOST_TAINTS, requests.validate_taint)]


_NUMBER, _WORD = "(0|[1-9][0-9]*)", "(0|[1-9][0-9]*|[0-9]*[a-zA-Z-][0-9a-zA-Z-]*)"
_semantic = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(-{_WORD}(\.{_WORD})*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?"
).fullmatch


def _attribute(path: str, attribute: Object) -> list[FieldError]:
    given = [name for name in ("bool", "int", "string", "version") if attribute.get(name) is not None]
    version = attribute.get("version")
    found = []
    if version is not None and not _semantic(version):
        text = "must be a string compatible with semver.org spec 2.0.0"
        found.append(errors.invalid_value(f"{path}.version", version, text))
    found += [
        errors.too_long(f"{path}.{name}", 64)
        for name in ("string", "version")
        if len(checks.text(attribute.get(name)).encode()) > 64
    ]
    if not given:
        found.append(errors.required(path, "exactly one value must be specified"))
    if len(given) > 1:
        fields = {"int": "IntValue", "bool": "BoolValue", "string": "StringValue", "version": "VersionValue"}
        shown = {go: attribute.get(name) for name, go in fields.items()}
        found.append(errors.invalid_value(path, shown, "exactly one value must be specified"))
    return found


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    pools = (checks.text((each.get("pool") or {}).get("name")) for each in (spec, before))
    drivers = (checks.text(each.get("driver")) for each in (spec, before))
    changed = metadata.immutable(next(pools), next(pools), "spec.pool.name")
    changed.extend(metadata.immutable(next(drivers), next(drivers), "spec.driver"))
    changed.extend(checks.fixed("spec.nodeName", new, old))
    return _validate(new, changed)


def _field(slice_: Object, name: str) -> str:
    return checks.text((slice_.get("spec") or {}).get(name))


def _cells(slice_: Object, now: float) -> list[Any]:
    pool = checks.text(((slice_.get("spec") or {}).get("pool") or {}).get("name"))
    name = slice_["metadata"]["name"]
    return [name, _field(slice_, "nodeName"), _field(slice_, "driver"), pool, table.age(slice_, now)]


STRATEGY = Strategy(
    validate=_validate_new,
    validate_update=_validate_update,
    generation=True,
    returns_deleted=True,
    cells=_cells,
    fields={
        "spec.nodeName": lambda slice_: _field(slice_, "nodeName"),
        "spec.driver": lambda slice_: _field(slice_, "driver"),
    },
)
