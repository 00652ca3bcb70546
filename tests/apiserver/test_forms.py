"""Derived forms go when nobody asks for them, when their cluster leaves, and when they are out of date."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tests.apiserver.world import make

from kloster.apiserver.cluster import ServedCluster
from kloster.apiserver.forms import FormCache
from kloster.stores.api import Entry, Key


def in_cluster(test: Callable[[ServedCluster, FormCache], Awaitable[None]]) -> None:
    async def go() -> None:
        forms = FormCache()
        cluster = await make(forms=forms)
        await test(cluster, forms)
        await cluster.store.close()

    asyncio.run(go())


def entry(cluster: ServedCluster, name: str) -> Entry:
    found = cluster.store.get(Key("/namespaces", "", name))
    assert found is not None
    return found


def test_what_is_asked_for_stays_and_what_is_not_goes() -> None:
    async def test(cluster: ServedCluster, forms: FormCache) -> None:
        asked, idle = (cluster.view.get("/namespaces", "", name) for name in ("default", "kube-system"))
        for _ in range(3):
            forms.age()
            assert cluster.view.get("/namespaces", "", "default") is asked
        assert entry(cluster, "kube-system").memo is None
        again = cluster.view.get("/namespaces", "", "kube-system")
        assert again == idle
        assert again is not idle

    in_cluster(test)


def test_ageing_says_what_it_has_set_free() -> None:
    async def test(cluster: ServedCluster, forms: FormCache) -> None:
        cluster.view.list("/namespaces")
        assert forms.age() == 0
        assert forms.age() > 1000
        assert forms.age() == 0

    in_cluster(test)


def test_a_cluster_that_leaves_takes_its_forms_along() -> None:
    async def test(cluster: ServedCluster, forms: FormCache) -> None:
        kept = cluster.view.get("/namespaces", "", "default")
        cluster.view.get("/namespaces", "", "kube-system")
        forms.forget([entry(cluster, "kube-system")])
        forms.age()
        assert cluster.view.get("/namespaces", "", "default") is kept
        forms.forget([entry(cluster, "default")])
        assert forms.age() == 0

    in_cluster(test)


def test_forgetting_is_counted_once_and_lets_go_of_the_entries() -> None:
    async def test(cluster: ServedCluster, forms: FormCache) -> None:
        names = ("default", "kube-system", "kube-public")
        for name in names:
            cluster.view.get("/namespaces", "", name)
        whole = forms._cost
        gone = entry(cluster, "kube-system")
        forms.forget([gone])
        forms.forget([gone])
        assert 0 < forms._cost < whole
        assert gone.memo is None
        left = forms._cost
        forms.tidy()
        assert forms._cost == left
        assert [one.key.name for one, _ in forms._order] == ["default", "kube-public"]
        forms.forget([entry(cluster, name) for name in names])
        assert forms._cost == 0
        cluster.view.get("/namespaces", "", "default")  # derived anew while the old pair is still there
        assert forms._cost > 0
        forms.limit = 1
        cluster.view.get("/namespaces", "", "kube-public")
        assert forms._cost == sum(memo.cost for one, memo in forms._order if one.memo is memo)

    in_cluster(test)


def test_what_is_expected_and_does_not_come_is_bounded_and_forgotten() -> None:
    async def test(_: ServedCluster, forms: FormCache) -> None:
        tails = [b"%d" % number for number in range(2000)]
        for tail in tails:
            forms.expect(tail, {})
        forms.expect(b"x" * (1 << 20), {})
        assert len(forms._expected) == 256
        forms.age()
        assert not forms._expected

    in_cluster(test)


def test_a_list_is_what_its_items_are() -> None:
    async def test(cluster: ServedCluster, forms: FormCache) -> None:
        entries = list(cluster.store.scan("/namespaces"))
        served = cluster.resources.stored_as("/namespaces")
        assert served is not None
        assert len(entries) > 2
        for one in ([], entries[:1], entries):
            assert forms.list_items(served, one) == b",".join(forms.list_item(served, entry) for entry in one)
        assert all(entry.memo is None for entry in entries), "stored bytes need no forms"
        entries[1].version = "v1@1.2"  # as if another release had stored it
        whole = forms.list_items(served, entries)
        assert whole == b",".join(forms.list_item(served, entry) for entry in entries)
        assert entries[1].memo is not None

    in_cluster(test)
