"""Laws of server-side apply, on custom resources with every sort of list and map."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.apimachinery.apply.custom import WIDGET, struct

from kloster.apimachinery import apply
from kloster.apimachinery.apply import fieldset, managed
from kloster.apimachinery.apply.compare import compare
from kloster.apimachinery.apply.merge import merge, remove
from kloster.apimachinery.apply.typed import fieldset_of, reconciled, whole
from kloster.apimachinery.errors import StatusError
from kloster.apimachinery.schema.model import Leaf, ListType, MapType

WORDS = st.sampled_from(["a", "b", "c"])
TEXTS = st.dictionaries(WORDS, WORDS, min_size=1, max_size=2)
PARTS = st.lists(
    st.fixed_dictionaries(
        {"name": WORDS}, optional={"port": st.sampled_from([80, 81]), "value": WORDS, "inner": TEXTS}
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda part: (part["name"], part.get("port", 80)),
)
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "name": WORDS,
        "size": st.integers(0, 3),
        "tags": st.lists(WORDS, min_size=1, unique=True),
        "plain": st.lists(WORDS, min_size=1),
        "parts": PARTS,
        "whole": TEXTS,
        "block": st.dictionaries(st.sampled_from(["a", "b"]), WORDS, min_size=1),
        "map": st.dictionaries(
            WORDS, st.fixed_dictionaries({}, optional={"x": WORDS, "y": WORDS}), min_size=1, max_size=2
        ),
        "free": st.dictionaries(WORDS, st.one_of(WORDS, st.lists(WORDS), TEXTS), min_size=1, max_size=2),
    },
)
Spec = dict[str, Any]


def widget(spec: Spec) -> dict[str, Any]:
    head = {"apiVersion": "golden.kloster.dev/v1", "kind": "Widget", "metadata": {"name": "w"}}
    return {**head, "spec": spec} if spec else head


def applied(
    live: dict[str, Any] | None, spec: Spec, manager: str, *, force: bool = False, now: str = "t1"
) -> dict[str, Any]:
    return apply.apply(
        live, widget(spec), WIDGET, manager=manager, api_version="golden.kloster.dev/v1", force=force, now=now
    )


def managers(value: dict[str, Any]) -> dict[str, Any]:
    return {entry["manager"]: entry["fieldsV1"] for entry in value["metadata"].get("managedFields", [])}


@given(SPECS)
def test_applying_twice_changes_nothing(spec: Spec) -> None:
    once = applied(None, spec, "one", now="t1")
    assert applied(once, spec, "one", now="t2") == once


@given(SPECS, SPECS)
def test_what_is_applied_is_there(first: Spec, second: Spec) -> None:
    result = applied(applied(None, first, "one"), second, "two", force=True)
    stated = fieldset_of(widget(second), WIDGET)
    changed = compare(result, merge(result, widget(second), WIDGET), WIDGET)
    assert not fieldset.intersection(stated, fieldset.union(changed.modified, changed.added))


@given(SPECS, SPECS)
def test_without_force_nobody_loses_anything(first: Spec, second: Spec) -> None:
    live = applied(None, first, "one")
    try:
        result = applied(live, second, "two")
    except StatusError as error:
        assert error.code == 409
        assert error.details is not None and error.details["causes"]
        return
    assert managers(result).get("one") == managers(live).get("one")


@given(SPECS, SPECS)
def test_disjoint_fields_never_conflict(first: Spec, second: Spec) -> None:
    others = {name: value for name, value in second.items() if name not in first}
    result = applied(applied(None, first, "one"), others, "two")
    assert {**first, **others} == result.get("spec", {})


def solid(value: Any) -> Any:
    """A value without nulls and empty objects."""
    if isinstance(value, dict):
        return {name: solid(inner) for name, inner in value.items() if solid(inner) not in (None, {})} or None
    return [solid(inner) for inner in value] if isinstance(value, list) else value


@given(SPECS, SPECS)
def test_a_single_applier_gets_what_it_applies(first: Spec, second: Spec) -> None:
    result = applied(applied(None, first, "one"), second, "one")
    afresh = applied(None, second, "one")
    assert managers(result) == managers(afresh)
    # Structs and maps that lose all they had are left behind as null, which is what upstream makes of them, too.
    assert solid(result.get("spec")) == solid(second)


@given(SPECS, SPECS)
def test_shared_fields_outlive_one_of_their_owners(first: Spec, second: Spec) -> None:
    live = applied(applied(None, first, "one"), second, "two", force=True)
    result = applied(live, {}, "one")
    kept = compare(live, result, WIDGET)
    theirs = fieldset_of(widget(second), WIDGET)
    assert not fieldset.intersection(theirs, fieldset.union(kept.removed, kept.modified))


@given(SPECS, SPECS)
def test_an_update_moves_exactly_what_it_changes(first: Spec, second: Spec) -> None:
    live = applied(None, first, "one")
    new = widget(second)
    entries = apply.track_update(live, new, WIDGET, manager="two", api_version="golden.kloster.dev/v1", now="t2")
    if not managers(live):
        assert entries == [], "objects without managers are not tracked"
        return
    changes = compare(live, new, WIDGET, frozenset({"metadata", "apiVersion", "kind"}))
    taken = fieldset.union(changes.modified, changes.added)
    owned = {entry["manager"]: entry["fieldsV1"] for entry in entries}
    assert owned.get("two", {}) == taken
    before = managers(live).get("one", {})
    gone = fieldset.union(taken, changes.removed)
    assert owned.get("one", {}) == fieldset.difference(before, gone)


def values(value: Any) -> list[Any]:
    """The scalars in a value."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return [scalar for child in inner for scalar in values(child)]
    return [value]


@given(SPECS)
def test_removing_everything_that_is_owned_leaves_no_value(spec: Spec) -> None:
    type = WIDGET.fields["spec"].type
    assert set(values(remove(spec, fieldset_of(spec, type), type))) <= {None}


@given(SPECS, SPECS)
def test_comparison_is_antisymmetric(first: Spec, second: Spec) -> None:
    there, back = compare(widget(first), widget(second), WIDGET), compare(widget(second), widget(first), WIDGET)
    assert (there.added, there.removed, there.modified) == (back.removed, back.added, back.modified)


@given(SPECS)
def test_a_whole_value_is_a_superset_of_what_its_applier_owns(spec: Spec) -> None:
    type = WIDGET.fields["spec"].type
    assert not fieldset.difference(fieldset_of(spec, type), whole(spec, type))


def test_a_type_that_becomes_atomic_is_owned_as_a_whole() -> None:
    old = fieldset.from_paths(("f:a", "f:x"), ("f:a", "f:y"), ("f:l", 'k:{"n":"1"}', "f:n"), ("f:s",), ("f:f", "f:any"))
    item = struct("Item", {"n": Leaf.STRING})
    new = struct(
        "New",
        {
            "a": MapType(Leaf.STRING, atomic=True),
            "l": ListType(item),
            "s": Leaf.STRING,
            "f": struct("F", {}, open=True),
        },
    )
    assert reconciled(old, new) == fieldset.from_paths(("f:a",), ("f:l",), ("f:s",), ("f:f", "f:any"))
    assert reconciled(old, WIDGET) is old


ENTRY = {
    "manager": "m",
    "operation": "Update",
    "apiVersion": "v1",
    "time": "t1",
    "fieldsType": "FieldsV1",
    "fieldsV1": {},
}


@pytest.mark.parametrize(
    ("new", "kept"),
    [
        pytest.param([{**ENTRY, "time": "t2"}], True, id="time-alone"),
        pytest.param([{**ENTRY, "time": "t2", "fieldsV1": {"f:a": {}}}], False, id="fields-too"),
        pytest.param([{**ENTRY, "time": "t2"}, ENTRY], False, id="another-entry"),
        pytest.param([], False, id="none"),
    ],
)
def test_times_alone_are_no_change(new: list[dict[str, Any]], kept: bool) -> None:
    assert managed.keep_times([ENTRY], new) == ([ENTRY] if kept else new)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"operation": "Nonsense"}, "operation must be `Apply` or `Update`"),
        ({"apiVersion": ""}, "apiVersion must not be empty"),
        ({"fieldsType": ""}, "missing fieldsType in managed fields entry 0"),
        ({"fieldsType": "FieldsV2"}, 'invalid fieldsType "FieldsV2" in managed fields entry 0'),
    ],
)
def test_entries_that_say_nothing(change: dict[str, str], text: str) -> None:
    with pytest.raises(ValueError, match="^" + text.replace("`", ".") + "$"):
        managed.decode([{**ENTRY, **change}])
