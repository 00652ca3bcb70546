"""What the recorded patches do not cover: the standards' own examples, limits, and laws."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kloster.apimachinery.errors import StatusError
from kloster.apimachinery.patches import json_patch, merge, strategic
from kloster.apimachinery.schema.model import Field, Leaf, ListType, MapType, StructType


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
        ({"a": 1}, {"a": [{"b": None}, None]}, {"a": [{}, None]}),
        ({"a": {"x": 1}}, {"a": [{"b": None}]}, {"a": [{"b": None}]}),
    ],
)
def test_merge_patch(document: Any, patch: Any, expected: Any) -> None:
    assert merge.apply(document, patch) == expected


def test_a_merge_patch_has_to_be_an_object() -> None:
    with pytest.raises(StatusError, match=r"^Invalid JSON Patch$"):
        merge.apply({}, None)


JSON = st.recursive(
    st.one_of(st.booleans(), st.integers(0, 3), st.sampled_from(["", "x"])),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(st.sampled_from("abc"), inner, max_size=3)),
    max_leaves=6,
)
OBJECTS = st.dictionaries(st.sampled_from("abc"), JSON, max_size=3)


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_applied_twice_changes_nothing(document: Any, patch: Any) -> None:
    once = merge.apply(document, patch)
    assert merge.apply(once, patch) == once


@given(OBJECTS, st.sampled_from("abc"), JSON)
def test_a_json_patch_undoes_itself(document: Any, key: str, value: Any) -> None:
    path = f"/{key}"
    undo = {"op": "add", "path": path, "value": document[key]} if key in document else {"op": "remove", "path": path}
    assert json_patch.apply(document, [{"op": "add", "path": path, "value": value}, undo]) == document


def test_a_copied_value_is_a_copy() -> None:
    operations = [
        {"op": "copy", "from": "/a", "path": "/b"},
        {"op": "add", "path": "/b/x", "value": 1},
    ]
    assert json_patch.apply({"a": {}}, operations) == {"a": {}, "b": {"x": 1}}


@pytest.mark.parametrize(
    ("document", "operation", "passes"),
    [
        ({"a": 1}, {"op": "test", "path": "/a", "value": 1}, True),
        ({"a": 1}, {"op": "test", "path": "/a", "value": True}, False),
        ({"a": 1}, {"op": "test", "path": "/a", "value": 1.0}, False),
        ({"a": [1, {"b": 2}]}, {"op": "test", "path": "", "value": {"a": [1, {"b": 2}]}}, True),
        ({"a": [1]}, {"op": "test", "path": "/a", "value": [1, 2]}, False),
        ({"~1": 1}, {"op": "test", "path": "/~01", "value": 1}, True),
        ({"a/b": 1}, {"op": "test", "path": "/a~1b", "value": 1}, True),
    ],
)
def test_equality_in_json_patches(document: Any, operation: Any, passes: bool) -> None:
    if passes:
        assert json_patch.apply(document, [operation]) == document
        return
    with pytest.raises(StatusError) as caught:
        json_patch.apply(document, [operation])
    assert caught.value.code == 422


def test_a_json_patch_has_a_most_number_of_operations() -> None:
    step = {"op": "test", "path": "/a", "value": None}
    json_patch.apply({}, [step] * json_patch.MOST_OPERATIONS)
    with pytest.raises(StatusError) as caught:
        json_patch.apply({}, [step] * (json_patch.MOST_OPERATIONS + 1))
    text = "The allowed maximum operations in a JSON patch is 10000, got 10001"
    assert (caught.value.code, caught.value.message) == (413, text)


def test_unknown_fields_of_a_json_patch() -> None:
    operations = [{"op": "add", "path": "/a", "value": 1}, {"op": "remove", "path": "/a", "foo": 1}]
    assert json_patch.unknown_fields(operations) == ['json patch unknown field "[1].foo"']


def _struct(name: str, *fields: Field) -> StructType:
    made = StructType(name)
    made.fields = {field.name: field for field in fields}
    return made


ITEM = _struct("test.Item", Field("name", Leaf.STRING), Field("value", Leaf.STRING), Field("on", Leaf.BOOL))
THING = _struct(
    "test.Thing",
    Field("items", ListType(ITEM), merge_key="name", strategies=("merge",)),
    Field("flags", ListType(ITEM), merge_key="on", strategies=("merge",)),
    Field("keyless", ListType(ITEM), strategies=("merge",)),
    Field("words", ListType(Leaf.STRING), strategies=("merge",)),
    Field("map", MapType(MapType(Leaf.STRING))),
    Field("whole", ITEM, strategies=("replace",)),
)
ITEMS = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abcd")}, optional={"value": st.sampled_from("xy")}),
    unique_by=lambda item: item["name"],
)


@given(ITEMS, ITEMS)
def test_lists_of_objects_merge_by_key(live: Any, patch: Any) -> None:
    result = strategic.apply({"items": live}, {"items": patch}, THING)["items"]
    before = {item["name"]: item for item in live}
    after = {item["name"]: item for item in result}
    assert len(after) == len(result)
    assert after == {**before, **{item["name"]: {**before.get(item["name"], {}), **item} for item in patch}}
    # Each list keeps its own order.
    named = [item["name"] for item in patch]
    assert [item["name"] for item in result if item["name"] in named] == named
    rest = [item["name"] for item in live if item["name"] not in named]
    assert [item["name"] for item in result if item["name"] not in named] == rest


@given(st.lists(st.sampled_from("abcd"), unique=True), st.lists(st.sampled_from("abcd"), unique=True))
def test_lists_of_values_merge_as_sets(live: list[str], patch: list[str]) -> None:
    result = strategic.apply({"words": live}, {"words": patch}, THING)["words"]
    assert sorted(result) == sorted({*live, *patch})


@given(ITEMS, st.permutations("abcd"))
def test_an_order_for_all_is_the_order(live: Any, order: Any) -> None:
    patch = {"$setElementOrder/items": [{"name": name} for name in order]}
    if not live:
        return
    result = strategic.apply({"items": live}, patch, THING)["items"]
    assert [item["name"] for item in result] == [name for name in order if any(item["name"] == name for item in live)]


@pytest.mark.parametrize(
    ("document", "patch", "expected"),
    [
        pytest.param(
            {"whole": {"name": "a", "value": "b"}}, {"whole": {"name": "c"}}, {"whole": {"name": "c"}}, id="replace"
        ),
        pytest.param(
            {"flags": [{"on": True, "value": "a"}]},
            {"flags": [{"on": 1, "value": "b"}]},
            {"flags": [{"on": 1, "value": "b"}, {"on": True, "value": "a"}]},
            id="true-is-not-1",
        ),
        pytest.param(
            {}, {"map": {"a": {"$patch": "delete"}, "b": {"c": "d"}}}, {"map": {"b": {"c": "d"}}}, id="dropped"
        ),
        pytest.param({"map": {"a": "text"}}, {"map": {"a": {"$patch": "delete"}}}, {"map": {}}, id="over-a-scalar"),
    ],
)
def test_strategic_merge(document: Any, patch: Any, expected: Any) -> None:
    assert strategic.apply(document, patch, THING) == expected


@pytest.mark.parametrize(
    ("document", "patch", "code", "text"),
    [
        pytest.param(
            {"keyless": [{"name": "a"}]},
            {"keyless": [{"name": "b"}]},
            500,
            "cannot merge lists without merge key for struct",
            id="no-merge-key",
        ),
        pytest.param(
            {"map": {"a": {"b": "c"}}},
            {"map": {"a": {"b": "d"}}},
            500,
            "merging an object in json but data type is not struct, instead is: map",
            id="an-object-in-a-map",
        ),
        pytest.param(
            {"extra": {"a": "b"}},
            {"extra": {"a": "c"}},
            500,
            'unable to find api field in struct Thing for the json field "extra"',
            id="an-unknown-object",
        ),
    ],
)
def test_strategic_merges_that_fail(document: Any, patch: Any, code: int, text: str) -> None:
    with pytest.raises(StatusError) as caught:
        strategic.apply(document, patch, THING)
    assert (caught.value.code, caught.value.message) == (code, text)
