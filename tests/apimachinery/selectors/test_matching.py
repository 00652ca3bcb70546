"""What selectors match."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kloster.apimachinery import selectors
from kloster.apimachinery.errors import StatusError

LABELS = {"a": "b", "n": "10", "empty": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("a", True),
        ("z", False),
        ("!a", False),
        ("!z", True),
        ("a=b", True),
        ("a=c", False),
        ("z=b", False),
        ("a!=b", False),
        ("a!=c", True),
        ("z!=b", True),
        ("a in (b,c)", True),
        ("a in (c,d)", False),
        ("z in (b)", False),
        ("a notin (b)", False),
        ("z notin (b)", True),
        ("empty in ()", True),
        ("empty=", True),
        ("a=", False),
        ("n>9", True),
        ("n>10", False),
        ("n<11", True),
        ("a>1", False),
        ("z<1", False),
        ("a=b,n=10", True),
        ("a=b,n=11", False),
        ("a,n,empty", True),
        ("a,n,empty,z", False),
    ],
)
def test_labels(text: str, matches: bool) -> None:
    assert selectors.parse_labels(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("b=2,a==1", "a==1,b=2"),
        ("x notin (b,a),!y , z", "x notin (a,b),!y,z"),
        ("x in ()", "x in ()"),
        ("n > 1", "n>1"),
    ],
)
def test_canonical_text(text: str, canonical: str) -> None:
    assert str(selectors.parse_labels(text)) == canonical


KEYS = st.sampled_from(["a", "b", "in", "x.io/notin"])
VALUES = st.sampled_from(["", "v", "w", "in"])
TERMS = st.one_of(
    KEYS,
    KEYS.map("!{}".format),
    st.tuples(KEYS, st.sampled_from(["=", "==", "!="]), VALUES).map("".join),
    st.tuples(KEYS, st.sampled_from([" in ", " notin "]), st.lists(VALUES, min_size=1, max_size=3, unique=True)).map(
        lambda term: f"{term[0]}{term[1]}({','.join(term[2])})"
    ),
)


@given(st.lists(TERMS, max_size=4).map(",".join), st.dictionaries(KEYS, VALUES))
def test_the_canonical_text_means_the_same(text: str, labels: dict[str, str]) -> None:
    selector = selectors.parse_labels(text)
    again = selectors.parse_labels(str(selector))
    assert again == selector
    assert again.matches(labels) == selector.matches(labels)


@pytest.mark.parametrize(
    ("selector", "matches"),
    [
        pytest.param(None, False, id="none"),
        pytest.param({}, True, id="empty"),
        pytest.param({"matchLabels": {"a": "b"}}, True, id="labels"),
        pytest.param({"matchLabels": {"a": "b", "n": "11"}}, False, id="labels-differ"),
        pytest.param({"matchExpressions": [{"key": "a", "operator": "In", "values": ["b", "c"]}]}, True, id="in"),
        pytest.param({"matchExpressions": [{"key": "a", "operator": "NotIn", "values": ["b"]}]}, False, id="not-in"),
        pytest.param({"matchExpressions": [{"key": "a", "operator": "Exists"}]}, True, id="exists"),
        pytest.param({"matchExpressions": [{"key": "a", "operator": "DoesNotExist"}]}, False, id="does-not-exist"),
    ],
)
def test_selectors_in_objects(selector: dict[str, Any] | None, matches: bool) -> None:
    assert selectors.of_object(selector).matches(LABELS) is matches


@pytest.mark.parametrize(
    ("selector", "error"),
    [
        ({"matchExpressions": [{"key": "a", "operator": "Gt"}]}, '"Gt" is not a valid label selector operator'),
        (
            {"matchExpressions": [{"key": "a", "operator": "In"}]},
            "values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty",
        ),
        (
            {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]},
            'values: Invalid value: ["b"]: values set must be empty for exists and does not exist',
        ),
    ],
)
def test_invalid_selectors_in_objects(selector: dict[str, Any], error: str) -> None:
    with pytest.raises(StatusError) as caught:
        selectors.of_object(selector)
    assert caught.value.message == error


def test_plain_label_sets_select_what_carries_them_all() -> None:
    assert selectors.of_set({"a": "b"}).matches(LABELS)
    assert not selectors.of_set({"a": "b", "z": ""}).matches(LABELS)
    assert selectors.of_set(None).empty
    assert not selectors.NOTHING.empty


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("metadata.name=a", True),
        ("metadata.name!=a", False),
        ("metadata.name=b", False),
        ("spec.nodeName=", True),
        ("spec.nodeName!=", False),
        ("metadata.name=a,spec.nodeName!=x", True),
        ("odd=x\\,y\\=z\\\\", True),
    ],
)
def test_fields(text: str, matches: bool) -> None:
    assert selectors.parse_fields(text).matches({"metadata.name": "a", "odd": "x,y=z\\"}) is matches


def test_an_exact_field_can_be_looked_up() -> None:
    selector = selectors.parse_fields("metadata.name=a,metadata.namespace!=b")
    assert selector.exact("metadata.name") == "a"
    assert selector.exact("metadata.namespace") is None
    assert str(selectors.parse_fields("x=a\\,b")) == "x=a\\,b"
