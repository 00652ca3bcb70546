"""What a creation owns is remembered by shape: the same for equal shapes, computed anew for others."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kloster.apimachinery import apply
from kloster.apimachinery.apply import created
from kloster.kinds.catalog import catalog

Object = dict[str, Any]

POD: Object = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}},
    "spec": {
        "containers": [{"name": "main", "image": "app:1"}],
        "restartPolicy": "Always",
        "securityContext": {},
    },
    "status": {},
}


def owned(pod: Object) -> Object:
    type_ = catalog("1.34").type("", "v1", "Pod")
    assert type_ is not None
    (entry,) = apply.track_update(None, pod, type_, manager="m", api_version="v1", now="2026-11-25T00:00:00Z")
    found: Object = entry["fieldsV1"]
    return found


def changed(*path: Any, value: Any) -> Object:
    pod = copy.deepcopy(POD)
    place = pod
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    return pod


def test_objects_of_one_shape_share_what_they_own() -> None:
    other = changed("metadata", "name", value="db")
    other["metadata"]["labels"] = {"app": "db"}
    assert owned(POD) is owned(other)


@pytest.mark.parametrize(
    ("pod", "owns", "not_owned"),
    [
        pytest.param(
            changed("metadata", "labels", value={"tier": "web"}),
            ("f:metadata", "f:labels", "f:tier"),
            ("f:metadata", "f:labels", "f:app"),
            id="another label",
        ),
        pytest.param(
            changed("spec", "containers", value=[{"name": "side", "image": "app:1"}]),
            ("f:spec", "f:containers", 'k:{"name":"side"}'),
            ("f:spec", "f:containers", 'k:{"name":"main"}'),
            id="another container",
        ),
        pytest.param(
            changed("spec", "hostNetwork", value=True),
            ("f:spec", "f:hostNetwork"),
            ("f:spec", "f:hostPID"),
            id="a field",
        ),
        pytest.param(
            changed("spec", "terminationGracePeriodSeconds", value=0),
            ("f:spec", "f:terminationGracePeriodSeconds"),
            ("f:spec", "f:hostPID"),
            id="a field that is empty",
        ),
    ],
)
def test_another_shape_owns_something_else(pod: Object, owns: tuple[str, ...], not_owned: tuple[str, ...]) -> None:
    owned(POD)

    def has(path: tuple[str, ...]) -> bool:
        place: Any = owned(pod)
        for step in path:
            if step not in place:
                return False
            place = place[step]
        return True

    assert has(owns)
    assert not has(not_owned)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param({"a": 1}, {"a": 0}, id="empty number"),
        pytest.param({"a": "x"}, {"a": ""}, id="empty text"),
        pytest.param({"a": 0}, {"a": False}, id="zero and false"),
        pytest.param({"a": ""}, {"a": None}, id="empty and null"),
        pytest.param({"a": {}}, {"a": []}, id="object and list"),
        pytest.param({"a": {"b": 1}}, {"a": {"c": 1}}, id="other names"),
        pytest.param({"a": {"b": 1}}, {"a": {}, "b": 1}, id="nested and not"),
        pytest.param({"a": ["x"]}, {"a": ["y"]}, id="other items"),
    ],
)
def test_shapes_differ(one: Object, other: Object) -> None:
    assert created.shape(one) != created.shape(other)


def test_what_is_remembered_is_bounded() -> None:
    type_ = catalog("1.34").type("", "v1", "Pod")
    assert type_ is not None
    for number in range(1000):
        owned(changed("metadata", "labels", value={f"label-{number}": "x"}))
    assert len(type_.compiled["apply.created"]) <= 256
