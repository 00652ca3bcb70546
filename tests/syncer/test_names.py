"""Names on the host: readable, valid, and never the same for two different things."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kloster.syncer import names

LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?")
PART = st.text(alphabet="abx-", min_size=1, max_size=12).filter(lambda text: LABEL.fullmatch(text) is not None)
LONG = st.text(alphabet="ab", min_size=1, max_size=63)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        pytest.param(("web", "shop", "dev"), "web-x-shop-x-dev", id="plain"),
        pytest.param(("kube-root-ca.crt", "shop", "dev"), "kube-root-ca.crt-x-shop-x-dev", id="dots"),
    ],
)
def test_ordinary_names_stay_readable(parts: tuple[str, ...], expected: str) -> None:
    assert names.join(*parts) == expected


def test_names_chosen_to_collide_do_not() -> None:
    collisions = [
        ("a-x-b", "c", "dev"),
        ("a", "b-x-c", "dev"),
        ("a", "b", "c-x-dev"),
        ("a-x", "b", "dev"),
        ("a", "x-b", "dev"),
    ]
    found = {names.join(*parts) for parts in collisions}
    assert len(found) == len(collisions)


@given(st.lists(st.tuples(PART | LONG, PART | LONG, PART), min_size=2, max_size=2, unique=True))
def test_different_parts_give_different_names(pair: list[tuple[str, str, str]]) -> None:
    one, other = (names.join(*parts) for parts in pair)
    assert one != other


@given(PART | LONG, PART | LONG, PART)
def test_names_are_valid_labels(name: str, namespace: str, cluster: str) -> None:
    joined = names.join(name, namespace, cluster)
    assert len(joined) <= 63
    assert LABEL.fullmatch(joined)


def test_a_hashed_name_cannot_be_written_by_hand() -> None:
    hashed = names.join("a-x-b", "c", "dev")
    start, _, digest = hashed.rpartition("-x-")
    # The nearest plain name has three parts, a hashed one looks like two.
    assert names.join(start, digest, "dev") != hashed


@given(st.text(min_size=1, max_size=80), st.text(min_size=1, max_size=80))
def test_label_keys_of_two_clusters_never_meet(key: str, other: str) -> None:
    assert names.label_key("id-1", key) != names.label_key("id-2", other)
    if key != other:
        assert names.label_key("id-1", key) != names.label_key("id-1", other)


@pytest.mark.parametrize("key", ["app", "app.kubernetes.io/name", "a" * 63, "x.io/" + "b" * 63, "A_b.c"])
def test_label_keys_are_valid(key: str) -> None:
    prefix, _, name = names.label_key("host-id", key).partition("/")
    assert prefix == "tenant.kloster.dev"
    assert len(name) <= 63
    assert re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?", name)


def test_only_marked_objects_of_the_own_namespace_are_owned() -> None:
    tenancy = names.Tenancy("id-1", "dev", "vc-dev")
    virtual = {"metadata": {"name": "web", "namespace": "shop", "uid": "u"}}
    host = {"metadata": tenancy.identity("Pod", virtual)}
    assert tenancy.owns(host)
    assert not names.Tenancy("id-2", "dev", "vc-dev").owns(host)
    assert not names.Tenancy("id-1", "dev", "vc-other").owns(host)
    del host["metadata"]["annotations"][names.UID]
    assert not tenancy.owns(host)


def test_selectors_are_confined() -> None:
    tenancy = names.Tenancy("id-1", "dev", "vc-dev")
    assert tenancy.selector(None, ("shop",)) is None
    assert tenancy.selector({}, ("shop",)) == {
        "matchExpressions": [
            {"key": "kloster.dev/cluster", "operator": "In", "values": ["id-1"]},
            {"key": "kloster.dev/namespace", "operator": "In", "values": ["shop"]},
        ]
    }
