"""Merging an applied configuration into the live object, and removing owned paths from an object."""

from __future__ import annotations

from typing import Any

from kloster.apimachinery.apply.fieldset import SELF, FieldSet
from kloster.apimachinery.apply.typed import ABSENT, deduce, field_type, is_leaf, stepper
from kloster.apimachinery.cloning import clone
from kloster.apimachinery.schema.model import ListType, MapType, StructType, Type


def merge(live: Any, config: Any, type: Type) -> Any:
    """`live` with what `config` says. What is owned as a whole is replaced, lists of type map and set are merged item
    by item, in the order of `config` as far as it goes. The result shares nothing with either."""
    if live is ABSENT:
        return clone(config)
    if config is ABSENT:
        return clone(live)
    type = deduce(type, live, config)
    if is_leaf(type) or not (live or config):
        return clone(config)
    if isinstance(type, ListType):
        return _merge_items(live if isinstance(live, list) else [], config if isinstance(config, list) else [], type)
    if isinstance(type, StructType | MapType):
        return _merge_fields(live if isinstance(live, dict) else {}, config if isinstance(config, dict) else {}, type)
    return clone(config)


def _merge_fields(live: dict[str, Any], config: dict[str, Any], type: StructType | MapType) -> dict[str, Any]:
    out = {}
    for name, value in live.items():
        if name in config:
            out[name] = merge(value, config[name], field_type(type, name))
        else:
            out[name] = clone(value)
    for name, value in config.items():
        if name not in live:
            out[name] = clone(value)
    return out


def _merge_items(live: list[Any], config: list[Any], type: ListType) -> list[Any]:
    """Walks both lists side by side: items of one list alone stay where they are, items of both come in the order of
    `config`. Duplicates in the live list are not merged but replaced by the configured item, if there is one."""
    step = stepper(type)
    live_steps = [step(item) for item in live]
    wanted_steps = [step(item) for item in config]
    wanted = dict(zip(wanted_steps, config, strict=True))
    present: dict[str, Any] = {}
    for key, item in zip(live_steps, live, strict=True):
        present[key] = None if key in present else item
    shared = [key for key in wanted_steps if key in present]
    out: list[Any] = []
    position = 0
    upcoming = 0
    for key in wanted_steps:
        # Live items before the place of `key`: those of the live list alone are kept here, those that are configured
        # for later are left out until their turn.
        while position < len(live):
            current = live_steps[position]
            if current == key:
                position += 1
                break
            if current in wanted:
                if upcoming == len(shared):
                    position += 1
                elif shared[upcoming] != current:
                    position += 1
                    continue
                break
            out.append(clone(live[position]))
            position += 1
        out.append(merge(present.get(key, ABSENT), wanted[key], type.item))
        if upcoming < len(shared) and shared[upcoming] == key:
            upcoming += 1
    out.extend(clone(live[index]) for index in range(position, len(live)) if live_steps[index] not in wanted)
    return out


def remove(value: Any, doomed: FieldSet, type: Type) -> Any:
    """`value` without the paths of `doomed`. What loses everything becomes null, as does what is owned as a whole and
    has doomed paths inside. Unchanged parts are shared with `value`."""
    type = deduce(type, value)
    if isinstance(type, ListType):
        return _remove_items(value, doomed, type)
    if isinstance(type, StructType | MapType):
        return _remove_fields(value, doomed, type)
    return value


def _remove_items(items: Any, doomed: FieldSet, type: ListType) -> list[Any] | None:
    if not isinstance(items, list) or type.kind == "atomic":
        return None
    step = stepper(type)
    out = []
    for item in items:
        below = doomed.get(step(item))
        if below is None:
            out.append(item)
        elif below and SELF not in below:
            out.append(remove(item, below, type.item))
    return out or None


def _remove_fields(value: Any, doomed: FieldSet, type: StructType | MapType) -> dict[str, Any] | None:
    if not isinstance(value, dict) or type.atomic:
        return None
    out = {}
    for name, inner in value.items():
        below = doomed.get("f:" + name)
        if below is None:
            out[name] = inner
        elif below and SELF not in below:
            out[name] = remove(inner, below, field_type(type, name))
    return out or None
