"""Label selectors: validity, text and matching."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kloster.apimachinery import selectors
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


EXPRESSIONS = st.lists(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from("abcd"),
            "operator": st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist", "Sometimes"]),
            "values": st.lists(st.sampled_from(["", "1", "2", "3"]), max_size=3),
        }
    ),
    max_size=8,
)
SOME_LABELS = st.dictionaries(st.sampled_from("abcde"), st.sampled_from(["", "1", "2", "9"]))


@given(EXPRESSIONS, SOME_LABELS, st.dictionaries(st.sampled_from("ab"), st.sampled_from(["", "1"])))
def test_a_long_selector_means_what_its_parts_mean(
    expressions: list[Any], labels: dict[str, str], equal: dict[str, str]
) -> None:
    wanted = equal.items() <= labels.items() and all(selector.fulfils(one, labels) for one in expressions)
    for _ in range(2):  # made, and remembered
        assert selector.matches({"matchLabels": equal, "matchExpressions": expressions}, labels) is wanted


@given(EXPRESSIONS, SOME_LABELS)
def test_the_selector_of_an_object_is_the_same(expressions: list[Any], labels: dict[str, str]) -> None:
    given_ = [
        {**one, "values": [] if one["operator"] in ("Exists", "DoesNotExist") else one["values"] or ["1"]}
        for one in expressions
        if one["operator"] != "Sometimes"
    ]
    wanted = all(selector.fulfils(one, labels) for one in given_)
    assert selectors.of_object({"matchExpressions": given_}).matches(labels) is wanted


def test_what_is_remembered_is_bounded() -> None:
    for _ in range(100):
        many = [{"key": f"k{number}", "operator": "DoesNotExist"} for number in range(2_000)]
        assert selector.matches({"matchExpressions": many}, {"a": "b"})
    assert sum(len(kept) for kept, _ in selector._arrangements.values()) <= selector._MOST_KEPT
