"""Metadata of new and of changed objects."""

from __future__ import annotations

from typing import Any

import pytest

from kloster.kinds import metadata


def texts(found: list[Any]) -> list[str]:
    return [str(error) for error in found]


@pytest.mark.parametrize(
    ("meta", "namespaced", "findings"),
    [
        pytest.param({"name": "a", "namespace": "b"}, True, [], id="right"),
        pytest.param({"name": "a"}, True, ["metadata.namespace: Required value"], id="no-namespace"),
        pytest.param(
            {"name": "a", "namespace": "b"},
            False,
            ["metadata.namespace: Forbidden: not allowed on this type"],
            id="namespace",
        ),
        pytest.param({}, False, ["metadata.name: Required value: name or generateName is required"], id="no-name"),
        pytest.param(
            {"name": "a", "generation": -1},
            False,
            ["metadata.generation: Invalid value: -1: must be greater than or equal to 0"],
            id="generation",
        ),
        pytest.param(
            {"name": "a", "managedFields": [{"operation": "X", "fieldsType": "Y"}]},
            False,
            [
                'metadata.managedFields[0].operation: Invalid value: "X": must be `Apply` or `Update`',
                'metadata.managedFields[0].fieldsType: Invalid value: "Y": must be `FieldsV1`',
            ],
            id="managed-fields",
        ),
        pytest.param(
            {"name": "a", "finalizers": ["odd"]},
            False,
            [
                'metadata.finalizers[0]: Invalid value: "odd": '
                "name is neither a standard finalizer name nor is it fully qualified"
            ],
            id="finalizer",
        ),
    ],
)
def test_create(meta: dict[str, Any], namespaced: bool, findings: list[str]) -> None:
    assert texts(metadata.validate_create(meta, namespaced=namespaced)) == findings


def test_custom_resources_may_have_plain_finalizers() -> None:
    assert metadata.validate_create({"name": "a", "finalizers": ["odd"]}, namespaced=False, builtin=False) == []


def test_even_the_loosest_rule_keeps_names_out_of_paths() -> None:
    found = metadata.validate_create({"name": "a/b"}, namespaced=False, name="any")
    assert texts(found) == ["metadata.name: Invalid value: \"a/b\": may not contain '/'"]


def test_annotations_hold_256_kibibytes() -> None:
    limit = metadata.ANNOTATIONS_LIMIT
    assert metadata.validate_annotations({"a": "x" * (limit - 1)}, "at") == []
    assert texts(metadata.validate_annotations({"a": "x" * limit}, "at")) == [
        "at: Too long: may not be more than 262144 bytes"
    ]


STORED = {"name": "a", "uid": "u", "resourceVersion": "1", "creationTimestamp": "t", "generation": 2}


@pytest.mark.parametrize(
    ("change", "findings"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param({"labels": {"a": "b"}}, [], id="labels"),
        pytest.param({"uid": "v"}, ['metadata.uid: Invalid value: "v": field is immutable'], id="uid"),
        pytest.param(
            {"resourceVersion": ""},
            ['metadata.resourceVersion: Invalid value: "": must be specified for an update'],
            id="no-version",
        ),
        pytest.param(
            {"generation": 1}, ["metadata.generation: Invalid value: 1: must not be decremented"], id="generation"
        ),
        pytest.param(
            {"deletionTimestamp": "t"},
            ['metadata.deletionTimestamp: Invalid value: "t": field is immutable'],
            id="deletion",
        ),
    ],
)
def test_update(change: dict[str, Any], findings: list[str]) -> None:
    assert texts(metadata.validate_update({**STORED, **change}, STORED)) == findings


def test_no_finalizer_is_added_while_deleting() -> None:
    old = {**STORED, "deletionTimestamp": "t", "finalizers": ["a.b/c"]}
    assert metadata.validate_update({**old, "finalizers": []}, old) == []
    found = metadata.validate_update({**old, "finalizers": ["a.b/c", "a.b/e", "a.b/d"]}, old)
    assert texts(found) == [
        "metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, "
        'found new finalizers []string{"a.b/d", "a.b/e"}'
    ]


@pytest.mark.parametrize(
    ("left", "right", "same"),
    [
        (None, [], True),
        ({"a": None}, {}, True),
        ({"a": {"b": []}}, {"a": {}}, True),
        ({"a": 0}, {}, False),
        ([1], [1, 2], False),
        ({"a": ""}, {"a": "x"}, False),
    ],
)
def test_same(left: Any, right: Any, same: bool) -> None:
    assert metadata.same(left, right) is same
