"""The index by owner, which must follow every change."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kloster.apimachinery import Object
from kloster.client.sources import OwnerIndex

OWNERS = ("u1", "u2", "u3")


def item(name: str, owners: dict[str, bool]) -> Object:
    references = [{"uid": uid, "controller": controls} for uid, controls in owners.items()]
    return {"metadata": {"name": name, "namespace": f"ns-{name}"[:4], "ownerReferences": references}}


changes = st.lists(
    st.tuples(st.sampled_from("abcd"), st.none() | st.dictionaries(st.sampled_from(OWNERS), st.booleans(), max_size=2)),
    max_size=20,
)


@given(changes)
def test_the_index_says_what_a_search_would(steps: list[tuple[str, dict[str, bool] | None]]) -> None:
    index, present = OwnerIndex(), dict[str, Object]()
    for name, owners in steps:
        if name in present:
            index.remove(present.pop(name))
        if owners is not None:
            present[name] = item(name, owners)
            index.add(present[name])
    for namespace in ("", "ns-a", "ns-b"):
        for uid in ("", *OWNERS):
            expected = []
            for found in present.values():
                metadata = found["metadata"]
                references = metadata["ownerReferences"]
                if namespace not in ("", metadata["namespace"]):
                    continue
                owned = any(reference["uid"] == uid for reference in references)
                if owned if uid else not any(reference["controller"] for reference in references):
                    expected.append((metadata["namespace"], metadata["name"]))
            assert index.names(namespace, uid) == sorted(expected)
