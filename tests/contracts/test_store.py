"""The contract of every store (`kloster.stores.api`), run on each back end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from kloster.stores.api import (
    Compacted,
    Decision,
    FutureRevision,
    Operation,
    StoreClosed,
    StoreFailed,
    View,
)
from kloster.stores.broadcast import LogLimits

from .storeworld import (
    PODS,
    SECRETS,
    Backend,
    Gate,
    in_loop,
    key,
    names,
    put,
    remove,
    told,
    values,
    writes,
)


def no_wake() -> None:
    """For readers that poll."""


@in_loop
async def test_a_write_is_read_back_whole(backend: Backend) -> None:
    store = await backend.open()
    (event,) = await store.transact(writes(put("a")))
    entry = store.get(key("a"))
    assert entry is event.new and entry is not None
    assert (entry.head, entry.tail) == (b'{"name":"a","value":"1","rv":"', b'"}')
    assert (entry.labels, entry.fields, entry.version) == ({"value": "1"}, {"metadata.name": "a"}, "v1")
    assert (entry.revision, event.revision, store.revision) == (1, 1, 1)
    await store.close()


SCANS = [
    pytest.param("", None, ["a/x", "a/y", "a-b/x", "ab/x", "b/ä"], id="all, in key order"),
    pytest.param("a", None, ["a/x", "a/y"], id="one namespace, not those it is a prefix of"),
    pytest.param("zz", None, [], id="a namespace without objects"),
    pytest.param("", ("a", "x"), ["a/y", "a-b/x", "ab/x", "b/ä"], id="after an object"),
    pytest.param("", ("a", "xx"), ["a/y", "a-b/x", "ab/x", "b/ä"], id="after a place where nothing is"),
    pytest.param("a", ("a", "x"), ["a/y"], id="after an object in its namespace"),
    pytest.param("b", ("a", "x"), ["b/ä"], id="after an object of an earlier namespace"),
    pytest.param("a", ("b", ""), [], id="after an object of a later namespace"),
    pytest.param("", ("b", "ä"), [], id="after the last"),
]


@pytest.mark.parametrize("layered", [False, True], ids=["overlay", "layers"])
@pytest.mark.parametrize(("namespace", "after", "expected"), SCANS)
@in_loop
async def test_scan(
    backend: Backend, layered: bool, namespace: str, after: tuple[str, str] | None, expected: list[str]
) -> None:
    store = await backend.open()
    spots = [("b", "ä"), ("a", "y"), ("ab", "x"), ("a-b", "x"), ("a", "x")]
    for place, name in spots:
        await store.transact(writes(put(name, namespace=place), put(name, namespace=place, resource=SECRETS)))
        if layered:
            await backend.freeze(store)
    found = [f"{e.key.namespace}/{e.key.name}" for e in store.scan(PODS, namespace, after)]
    assert found == expected
    await store.close()


@in_loop
async def test_each_operation_has_its_revision_and_sees_those_before_it(backend: Backend) -> None:
    store = await backend.open()
    events = await store.transact(
        writes(put("a", "1"), put("a", "2"), remove("a"), remove("a"), put("b", "1"), put("a", "3"))
    )
    assert told(events) == [("a", None, "1"), ("a", "1", "2"), ("a", "2", None), ("b", None, "1"), ("a", None, "3")]
    assert [event.revision for event in events] == [1, 2, 3, 4, 5]
    assert values(store) == {"default/a": "3", "default/b": "1"}
    await store.close()


@in_loop
async def test_removing_nothing_changes_nothing(backend: Backend) -> None:
    store = await backend.open()
    assert list(await store.transact(writes(remove("a")))) == []
    assert list(await store.transact(writes())) == []
    assert store.revision == 0
    await store.close()


@in_loop
async def test_an_error_of_the_decision_is_the_answer(backend: Backend) -> None:
    store = await backend.open()

    def refuse(view: View) -> Sequence[Operation]:
        raise LookupError("no")

    with pytest.raises(LookupError, match="no"):
        await store.transact(refuse)
    assert store.revision == 0
    await store.close()


@in_loop
async def test_nothing_is_visible_or_acknowledged_before_it_is_durable(backend: Backend) -> None:
    gate = Gate()
    store = await backend.open(gate)
    woken: list[int] = []
    reader = store.subscribe(PODS, 0, lambda: woken.append(store.revision))
    gate.shut = True
    first = asyncio.create_task(store.transact(writes(put("a"))))
    await gate.wait_arrival()
    second = asyncio.create_task(store.transact(writes(put("b"))))
    await asyncio.sleep(0.01)
    assert not first.done() and not second.done()
    assert values(store) == {} and store.get(key("a")) is None
    assert (store.revision, reader.progress, list(reader.drain()), woken) == (0, 0, [], [])
    assert values(store.at(0)) == {}
    gate.open()
    await first
    await second
    assert woken == [1]
    assert told(reader.drain()) == [("a", None, "1"), ("b", None, "1")]
    await store.close()


@in_loop
async def test_a_batch_is_published_before_it_is_acknowledged(backend: Backend) -> None:
    store = await backend.open()
    order: list[str] = []
    store.subscribe(PODS, 0, lambda: order.append("published"))
    task = asyncio.create_task(store.transact(writes(put("a"))))
    task.add_done_callback(lambda _: order.append("acknowledged"))
    await task
    await asyncio.sleep(0)
    assert order == ["published", "acknowledged"]
    await store.close()


@in_loop
async def test_decisions_see_what_is_in_flight_and_what_is_gathered(backend: Backend) -> None:
    gate = Gate()
    store = await backend.open(gate)
    await store.transact(writes(put("published"), put("gone")))
    gate.shut = True
    in_flight = asyncio.create_task(store.transact(writes(put("in-flight"), remove("gone"))))
    await gate.wait_arrival()
    gathered = asyncio.create_task(store.transact(writes(put("gathered", "1"))))
    await asyncio.sleep(0)
    seen: list[str] = []

    def look(view: View) -> Sequence[Operation]:
        seen.extend(names(view.scan(PODS)))
        assert view.get(key("gone")) is None
        assert view.get(key("in-flight")) is not None
        return [put("gathered", "2")]

    looker = asyncio.create_task(store.transact(look))
    await asyncio.sleep(0)
    assert seen == ["gathered", "in-flight", "published"]
    gate.open()
    await asyncio.gather(in_flight, gathered)
    assert told(await looker) == [("gathered", "1", "2")]
    await store.close()


def refuse_existing(view: View) -> Sequence[Operation]:
    if view.get(key("a")) is not None:
        raise FileExistsError("a")
    return [put("a")]


def keep_existing(view: View) -> Sequence[Operation]:
    return [] if view.get(key("a")) is not None else [put("a")]


DERIVED = [pytest.param(refuse_existing, id="an error"), pytest.param(keep_existing, id="no change")]
STAGES = [pytest.param(False, id="in flight"), pytest.param(True, id="gathered")]


@pytest.mark.parametrize("decide", DERIVED)
@pytest.mark.parametrize("gathered", STAGES)
@pytest.mark.parametrize("fails", [False, True], ids=["then durable", "then failed"])
@in_loop
async def test_an_answer_from_uncommitted_state_shares_its_fate(
    backend: Backend, decide: Decision, gathered: bool, fails: bool
) -> None:
    gate = Gate()
    store = await backend.open(gate)
    gate.shut = True
    tasks = []
    if gathered:
        tasks.append(asyncio.create_task(store.transact(writes(put("earlier")))))
        await gate.wait_arrival()
    tasks.append(asyncio.create_task(store.transact(writes(put("a")))))
    await gate.wait_arrival()
    derived = asyncio.create_task(store.transact(decide))
    await asyncio.sleep(0.01)
    assert not derived.done()
    if fails:
        gate.failures.append(OSError("disk"))
    gate.open()
    outcomes = await asyncio.gather(*tasks, derived, return_exceptions=True)
    if fails:
        assert [type(outcome) for outcome in outcomes] == [StoreFailed] * len(outcomes)
        assert values(store) == {}
    elif decide is refuse_existing:
        assert isinstance(outcomes[-1], FileExistsError)
    else:
        assert outcomes[-1] == ()
    await store.close()


@in_loop
async def test_an_answer_from_durable_state_does_not_wait(backend: Backend) -> None:
    store = await backend.open()
    await store.transact(writes(put("a")))
    answer = store.transact(keep_existing)
    with pytest.raises(StopIteration):  # done without ever having been suspended
        answer.send(None)  # type: ignore[attr-defined]
    await store.close()


@in_loop
async def test_a_failed_commit_aborts_what_is_stacked_on_it_and_the_store_goes_on(backend: Backend) -> None:
    gate = Gate()
    store = await backend.open(gate)
    await store.transact(writes(put("a", "1"), put("b", "1")))
    reader = store.subscribe("", 0, no_wake)
    reader.drain()
    gate.shut = True
    doomed = [asyncio.create_task(store.transact(writes(put("a", "2"), remove("b"))))]
    await gate.wait_arrival()
    doomed += [asyncio.create_task(store.transact(writes(put(name)))) for name in "cd"]
    await asyncio.sleep(0)
    gate.failures.append(OSError(28, "No space left on device"))
    gate.open()
    outcomes = await asyncio.gather(*doomed, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [StoreFailed] * 3
    assert "No space left" in str(outcomes[0])
    assert len({id(outcome) for outcome in outcomes}) == 3
    assert values(store) == {"default/a": "1", "default/b": "1"} and store.revision == 2
    assert list(reader.drain()) == []
    (event,) = await store.transact(writes(put("e")))
    assert event.revision > 6, "a revision that was promised to somebody is not used again"
    assert values(store) == {"default/a": "1", "default/b": "1", "default/e": "1"}
    assert told(reader.drain()) == [("e", None, "1")]
    await store.close()


@in_loop
async def test_a_cancelled_caller_does_not_cancel_the_commit(backend: Backend) -> None:
    gate = Gate()
    store = await backend.open(gate)
    gate.shut = True
    caller = asyncio.create_task(store.transact(writes(put("a"))))
    await gate.wait_arrival()
    gathered = asyncio.create_task(store.transact(writes(put("b"))))
    await asyncio.sleep(0)
    for task in (caller, gathered):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    gate.open()
    await store.close()
    assert values(store) == {"default/a": "1", "default/b": "1"}


@in_loop
async def test_concurrent_writes_share_commits(backend: Backend) -> None:
    gate = Gate()
    store = await backend.open(gate)
    results = await asyncio.gather(*(store.transact(writes(put(f"{index:03}"))) for index in range(300)))
    assert [events[0].revision for events in results] == list(range(1, 301))
    assert len(gate.commits) == 1
    await store.close()


@in_loop
async def test_concurrent_increments_lose_nothing(backend: Backend) -> None:
    store = await backend.open()

    def increment(view: View) -> Sequence[Operation]:
        entry = view.get(key("counter"))
        return [put("counter", str(1 + (0 if entry is None else int(entry.labels["value"]))))]

    async def client() -> None:
        for _ in range(20):
            await store.transact(increment)

    await asyncio.gather(*(client() for _ in range(10)))
    assert values(store) == {"default/counter": "200"}
    await store.close()


@in_loop
async def test_a_reader_is_woken_for_its_resource_only_and_once_until_it_comes(backend: Backend) -> None:
    store = await backend.open()
    woken: list[str] = []
    pods = store.subscribe(PODS, 0, lambda: woken.append("pods"))
    store.subscribe(SECRETS, 0, lambda: woken.append("secrets"))
    everything = store.subscribe("", 0, lambda: woken.append("everything"))
    await store.transact(writes(put("a"), put("b")))
    await store.transact(writes(put("c")))
    assert sorted(woken) == ["everything", "pods"]
    assert told(pods.drain(2)) == [("a", None, "1"), ("b", None, "1")]
    woken.clear()
    await store.transact(writes(put("s", resource=SECRETS)))
    assert woken == ["secrets"], "a reader that has not come yet is not woken again"
    assert [event.key.name for event in everything.drain()] == ["a", "b", "c", "s"]
    woken.clear()
    await store.transact(writes(put("d")))
    assert sorted(woken) == ["everything", "pods"]
    assert [event.key.name for event in pods.drain()] == ["c", "d"]
    pods.close()
    woken.clear()
    everything.drain()
    await store.transact(writes(put("e")))
    assert woken == ["everything"]
    await store.close()


@in_loop
async def test_progress_is_what_a_bookmark_may_promise(backend: Backend) -> None:
    store = await backend.open()
    await store.transact(writes(put("a"), put("s", resource=SECRETS), put("b")))
    reader = store.subscribe(PODS, 0, no_wake)
    assert reader.progress == 0
    reader.drain(1)
    assert reader.progress == 2, "b, at 3, is still to come"
    reader.drain()
    assert reader.progress == 3
    await store.transact(writes(put("t", resource=SECRETS)))
    assert reader.progress == 4, "other resources move a reader that has seen everything"
    await store.transact(writes(put("c")))
    assert reader.progress == 4
    await store.close()


@in_loop
async def test_a_reader_resumes_after_a_revision(backend: Backend) -> None:
    store = await backend.open()
    await store.transact(writes(put("a"), put("b"), put("c")))
    assert [event.key.name for event in store.subscribe(PODS, 1, no_wake).drain()] == ["b", "c"]
    assert list(store.subscribe(PODS, 3, no_wake).drain()) == []
    future = store.subscribe(PODS, 4, no_wake)
    await store.transact(writes(put("d"), put("e")))
    assert [event.key.name for event in future.drain()] == ["e"]
    await store.close()


@in_loop
async def test_a_reader_that_raises_harms_nobody(backend: Backend) -> None:
    store = await backend.open()
    reported: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
    woken: list[str] = []

    def broken() -> None:
        raise RuntimeError("tenant")

    store.subscribe(PODS, 0, broken)
    store.subscribe(PODS, 0, lambda: woken.append("other"))
    await store.transact(writes(put("a")))
    assert woken == ["other"]
    assert [str(context["exception"]) for context in reported] == ["tenant"]
    await store.close()


LIMITS = [
    pytest.param(LogLimits(events=5), id="by number"),
    pytest.param(LogLimits(bytes=5 * 240), id="by bytes"),
]


@pytest.mark.parametrize("limits", LIMITS)
@in_loop
async def test_the_log_is_bounded_and_slow_readers_are_told(backend: Backend, limits: LogLimits) -> None:
    store = await backend.open(limits=limits)
    slow = store.subscribe(PODS, 0, no_wake)
    quiet = store.subscribe(SECRETS, 0, no_wake)
    for index in range(20):
        await store.transact(writes(put("a", str(index))))
    assert 10 <= store.compacted < 20
    with pytest.raises(Compacted) as caught:
        slow.drain()
    assert caught.value.oldest == store.compacted
    assert list(quiet.drain()) == [], "nothing that it reads was lost"
    with pytest.raises(Compacted):
        store.subscribe(PODS, store.compacted - 1, no_wake)
    with pytest.raises(Compacted):
        store.at(store.compacted - 1)
    resumed = store.subscribe(PODS, store.compacted, no_wake).drain()
    assert resumed[0].revision == store.compacted + 1 and resumed[-1].revision == 20
    await store.close()


@in_loop
async def test_compact_forgets_up_to_and_including(backend: Backend) -> None:
    store = await backend.open()
    await store.transact(writes(*(put(name) for name in "abcd")))
    store.compact(2)
    assert store.compacted == 2
    assert [event.key.name for event in store.subscribe(PODS, 2, no_wake).drain()] == ["c", "d"]
    assert values(store.at(2)) == {"default/a": "1", "default/b": "1"}
    store.compact(1)
    assert store.compacted == 2
    store.compact(99)
    assert store.compacted == 4 and values(store) == values(store.at(4))
    await store.close()


@in_loop
async def test_the_past_stays_what_it_was_while_the_present_moves_on(backend: Backend) -> None:
    store = await backend.open()
    await store.transact(writes(put("a", "1"), put("b", "1")))
    await store.transact(writes(put("a", "2"), remove("b"), put("c", "1")))
    past = store.at(2)
    assert values(past) == {"default/a": "1", "default/b": "1"}
    scan = past.scan(PODS)
    first = next(scan)
    await store.transact(writes(remove("a"), put("b", "9"), put("aa", "1")))
    assert [first.labels["value"], *(entry.key.name for entry in scan)] == ["1", "b"]
    assert values(past) == {"default/a": "1", "default/b": "1"}
    old = past.get(key("b"))
    assert old is not None and old.labels == {"value": "1"} and past.get(key("aa")) is None
    assert list(past.scan(PODS, "default", ("default", "a"))) == [old]
    store.compact(3)
    with pytest.raises(Compacted):
        past.get(key("a"))
    with pytest.raises(FutureRevision):
        store.at(store.revision + 1)
    await store.close()


@in_loop
async def test_a_scan_is_a_snapshot(backend: Backend) -> None:
    store = await backend.open()
    await store.transact(writes(*(put(f"{index:04}") for index in range(1000))))
    scan, untouched = store.scan(PODS), store.scan(PODS)
    begun = [next(scan).key.name for _ in range(10)]
    await store.transact(writes(remove("0005"), remove("0500"), put("0700", "2"), put("00005"), put("9")))
    rest = [(entry.key.name, entry.labels["value"]) for entry in scan]
    assert begun + [name for name, _ in rest] == [f"{index:04}" for index in range(1000)]
    assert {value for _, value in rest} == {"1"}
    assert len(list(untouched)) == 1000
    assert len(list(store.scan(PODS))) == 1000 and values(store)["default/0700"] == "2"
    await store.close()


@in_loop
async def test_closing_finishes_what_was_accepted(backend: Backend) -> None:
    gate = Gate()
    store = await backend.open(gate)
    gate.shut = True
    woken: list[str] = []
    reader = store.subscribe(PODS, 0, lambda: woken.append("reader"))
    accepted = [asyncio.create_task(store.transact(writes(put("a"))))]
    await gate.wait_arrival()
    accepted.append(asyncio.create_task(store.transact(writes(put("b")))))
    await asyncio.sleep(0)
    closing = [asyncio.create_task(store.close()) for _ in range(2)]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in closing)
    with pytest.raises(StoreClosed):
        await store.transact(writes(put("c")))
    gate.open()
    await asyncio.gather(*closing)
    assert [len(task.result()) for task in accepted] == [1, 1]
    assert told(reader.drain()) == [("a", None, "1"), ("b", None, "1")]
    with pytest.raises(StoreClosed):
        reader.drain()
    with pytest.raises(StoreClosed):
        store.subscribe(PODS, 2, no_wake)
    await store.close()


@in_loop
async def test_a_cancelled_close_closes_all_the_same(backend: Backend) -> None:
    gate = Gate()
    store = await backend.open(gate)
    gate.shut = True
    write = asyncio.create_task(store.transact(writes(put("a"))))
    await gate.wait_arrival()
    closing = asyncio.create_task(store.close())
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    gate.open()
    await write
    await store.close()
    with pytest.raises(StoreClosed):
        await store.transact(writes(put("b")))


@in_loop
async def test_a_fork_shares_the_past_and_nothing_else(backend: Backend) -> None:
    store = await backend.open()
    await store.transact(writes(put("a", "1"), put("b", "1"), put("c", "1")))
    frozen = await backend.freeze(store)
    fork = await backend.open(base=store.layers, file="fork")
    assert values(fork) == values(store) and fork.revision == store.revision == frozen.revision == 3
    await store.transact(writes(put("a", "store"), remove("b")))
    await fork.transact(writes(remove("a"), put("d", "fork")))
    assert values(store) == {"default/a": "store", "default/c": "1"}
    assert values(fork) == {"default/b": "1", "default/c": "1", "default/d": "fork"}
    events = await fork.transact(writes(put("a", "again"), remove("b"), put("b", "again")))
    assert told(events) == [("a", None, "again"), ("b", "1", None), ("b", None, "again")]
    assert values(fork.at(4)) == {"default/b": "1", "default/c": "1"}
    await fork.close()
    await store.close()


@in_loop
async def test_freezing_waits_its_turn_and_loses_no_write(backend: Backend) -> None:
    gate = Gate()
    store = await backend.open(gate)
    gate.shut = True
    tasks = [asyncio.create_task(store.transact(writes(put("a"))))]
    await gate.wait_arrival()
    tasks.append(asyncio.create_task(store.transact(writes(put("b"), remove("a")))))
    freezing = asyncio.create_task(backend.freeze(store))
    await asyncio.sleep(0)
    gate.open()
    layer = await freezing
    await asyncio.gather(*tasks)
    assert values(store) == {"default/b": "1"}
    assert [entry for _, entry in layer.entries()], "a was durable before the freeze"
    await store.close()


@in_loop
async def test_what_a_durable_store_holds_survives_reopening(backend: Backend) -> None:
    store = await backend.open()
    await store.transact(writes(put("a"), put("b"), put("s", resource=SECRETS)))
    await store.transact(writes(put("a", "2"), remove("b")))
    await store.close()
    again = await backend.open()
    if not backend.durable:
        assert not values(again) and not values(again, SECRETS), "it holds nothing beyond its process"
        await again.close()
        return
    assert values(again) == {"default/a": "2"} and values(again, SECRETS) == {"default/s": "1"}
    entry = again.get(key("a"))
    assert entry is not None
    assert (entry.revision, entry.labels, entry.fields, entry.version) == (
        4,
        {"value": "2"},
        {"metadata.name": "a"},
        "v1",
    )
    assert again.revision == 5 and again.compacted == 5, "the deletion had the newest revision"
    (event,) = await again.transact(writes(put("c")))
    assert event.revision == 6
    await again.close()
