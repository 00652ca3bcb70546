"""Label selectors: validity, text and matching."""

from __future__ import annotations

from typing import Any

import pytest

from kloster.kinds import selector

LABELS = {"app": "web", "tier": "front", "empty": ""}


def one(key: str, operator: str, *values: str) -> dict[str, Any]:
    expression = {"key": key, "operator": operator, "values": list(values)}
    return {"matchExpressions": [expression]}


@pytest.mark.parametrize(
    ("value", "matches", "text"),
    [
        pytest.param({}, True, "<none>", id="empty"),
        pytest.param({"matchLabels": {"tier": "front", "app": "web"}}, True, "app=web,tier=front", id="labels"),
        pytest.param({"matchLabels": {"app": "db"}}, False, "app=db", id="other"),
        pytest.param(
            {"matchExpressions": [{"key": "app", "operator": "In", "values": ["z", "web"]}]},
            True,
            "app in (web,z)",
            id="in",
        ),
        pytest.param(
            {"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["a"]}]},
            True,
            "x notin (a)",
            id="notin-absent",
        ),
        pytest.param(
            {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]},
            False,
            "app notin (web)",
            id="notin",
        ),
        pytest.param(one("empty", "Exists"), True, "empty", id="exists"),
        pytest.param(one("app", "DoesNotExist"), False, "!app", id="exists-not"),
    ],
)
def test_selector(value: dict[str, Any], matches: bool, text: str) -> None:
    assert selector.validate(value, "at") == []
    assert selector.matches(value, LABELS) is matches
    assert selector.text(value) == text


@pytest.mark.parametrize(
    ("expression", "finding"),
    [
        (
            {"key": "a", "operator": "In"},
            "at[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        ),
        (
            {"key": "a", "operator": "Exists", "values": ["b"]},
            "at[0].values: Forbidden: may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
        ),
        ({"key": "a", "operator": "Gt"}, 'at[0].operator: Invalid value: "Gt": not a valid selector operator'),
    ],
)
def test_wrong_expression(expression: dict[str, Any], finding: str) -> None:
    found = selector.validate({"matchExpressions": [expression]}, "x")
    assert [str(error).replace("x.matchExpressions", "at") for error in found] == [finding]
    assert selector.text({"matchExpressions": [expression]}) == "<error>"


def test_wrong_values_can_be_tolerated() -> None:
    value = {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b c"]}]}
    assert selector.validate(value, "at") != []
    assert selector.validate(value, "at", invalid_values=True) == []


def test_emptiness() -> None:
    assert selector.is_empty(None)
    assert selector.is_empty({"matchLabels": {}})
    assert not selector.is_empty({"matchLabels": {"a": "b"}})
