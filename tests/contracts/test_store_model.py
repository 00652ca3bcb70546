"""A store against a trivial model of it, under random programs with failing commits.

The model keeps every state there ever was, by revision. What the store shows must agree with it at all times:
the present, each past that the log still reaches, what each reader was told, and what is there after reopening.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kloster.stores.api import Compacted, Event, Key, Operation, StoreFailed, Subscription, View
from kloster.stores.broadcast import LogLimits

from .storeworld import PODS, SECRETS, Backend, Freezable, Gate, key, put, remove

State = dict[Key, str]
History = list[tuple[int, Key, str | None, str | None]]

KEYS = [key(name, namespace, resource) for resource in (PODS, SECRETS) for namespace in "mn" for name in "abc"]
OPERATIONS = st.lists(
    st.tuples(st.sampled_from(KEYS), st.sampled_from(["remove", "1", "2", "3"])), min_size=0, max_size=4
)


def operation(target: Key, what: str) -> Operation:
    if what == "remove":
        return remove(target.name, target.namespace, target.resource)
    return put(target.name, what, target.namespace, target.resource)


def state_of(view: View) -> State:
    found = {}
    for resource in (PODS, SECRETS):
        for entry in view.scan(resource):
            assert view.get(entry.key) is entry
            found[entry.key] = entry.labels["value"]
    return found


def history_of(events: Sequence[Event]) -> History:
    return [
        (
            event.revision,
            event.key,
            None if event.old is None else event.old.labels["value"],
            None if event.new is None else event.new.labels["value"],
        )
        for event in events
    ]


class StoreMachine(RuleBasedStateMachine):
    """Programs over one store. `name` chooses the back end."""

    name: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = tempfile.TemporaryDirectory()
        self.executor = ThreadPoolExecutor(2)
        self.backend = Backend(self.name, Path(self.directory.name), self.executor)
        self.file = "store"
        self.gate = Gate()
        self.store: Freezable = self.run(self.backend.open(self.gate, self.limits, file=self.file))
        self.states: dict[int, State] = {0: {}}
        self.history: History = []
        self.readers: list[tuple[Subscription, str, int]] = []

    limits = LogLimits(events=25)

    def run(self, coroutine: Any) -> Any:
        return self.loop.run_until_complete(asyncio.wait_for(coroutine, 20))

    @property
    def present(self) -> State:
        return self.states[max(self.states)]

    def learn(self, events: Sequence[Event]) -> None:
        for revision, target, old, new in history_of(events):
            assert revision > max(self.states)
            assert old == self.present.get(target)
            state = dict(self.present)
            if new is None:
                del state[target]
            else:
                state[target] = new
            self.states[revision] = state
            self.history.append((revision, target, old, new))

    @rule(batch=st.lists(OPERATIONS, min_size=1, max_size=4), fail=st.booleans())
    def transact(self, batch: list[list[tuple[Key, str]]], fail: bool) -> None:
        """Several writers at once; perhaps their commit fails."""
        fail = fail and any(what != "remove" for changes in batch for _, what in changes)
        if fail:
            self.gate.failures.append(OSError("injected"))

        async def all_at_once() -> list[Any]:
            calls = [self.store.transact(lambda _, c=changes: [operation(*pair) for pair in c]) for changes in batch]
            return await asyncio.gather(*calls, return_exceptions=True)

        outcomes = self.run(all_at_once())
        assert not self.gate.failures
        if fail:
            # Those that came before the first change answered from durable state.
            failed = [isinstance(outcome, StoreFailed) for outcome in outcomes]
            assert any(failed) and failed == sorted(failed)
            assert all(list(outcome) == [] for outcome in outcomes if not isinstance(outcome, StoreFailed))
        else:
            for events in outcomes:
                self.learn(events)

    @rule(resource=st.sampled_from([PODS, SECRETS, ""]), data=st.data())
    def subscribe(self, resource: str, data: st.DataObject) -> None:
        after = data.draw(st.integers(0, self.store.revision))
        try:
            reader = self.store.subscribe(resource, after, lambda: None)
        except Compacted:
            assert after < self.store.compacted
        else:
            assert after >= self.store.compacted
            self.readers.append((reader, resource, after))

    @precondition(lambda self: self.readers)
    @rule(data=st.data(), limit=st.integers(1, 5))
    def drain(self, data: st.DataObject, limit: int) -> None:
        index = data.draw(st.integers(0, len(self.readers) - 1))
        reader, resource, seen = self.readers[index]
        missed = [item for item in self.history if item[0] > seen and resource in ("", item[1].resource)]
        try:
            events = reader.drain(limit)
        except Compacted:
            assert missed and missed[0][0] <= self.store.compacted
            del self.readers[index]
            return
        assert history_of(events) == missed[:limit]
        unseen = missed[len(events) :]
        assert reader.progress == (unseen[0][0] - 1 if unseen else max(seen, self.store.revision))
        self.readers[index] = (reader, resource, events[-1].revision if events else seen)

    @rule(data=st.data())
    def look_back(self, data: st.DataObject) -> None:
        revision = data.draw(st.sampled_from(sorted(self.states)))
        if revision < self.store.compacted:
            with pytest.raises(Compacted):
                self.store.at(revision)
        else:
            assert state_of(self.store.at(revision)) == self.states[revision]

    @rule(data=st.data())
    def compact(self, data: st.DataObject) -> None:
        self.store.compact(data.draw(st.integers(0, self.store.revision)))

    @rule()
    def freeze(self) -> None:
        self.run(self.backend.freeze(self.store))
        self.file = f"after{self.backend.opened}"

    @precondition(lambda self: self.backend.durable)
    @rule()
    def reopen(self) -> None:
        layers, revision = self.store.layers, self.store.revision
        self.run(self.store.close())
        self.store = self.run(self.backend.open(self.gate, self.limits, base=layers, file=self.file))
        self.readers.clear()
        assert self.store.revision == self.store.compacted == revision

    @invariant()
    def the_present_is_the_models(self) -> None:
        found = state_of(self.store)
        assert found == self.present
        assert list(found) == sorted(found)
        assert self.store.revision == max(self.states)

    def teardown(self) -> None:
        self.run(self.store.close())
        self.loop.close()
        self.executor.shutdown()
        self.directory.cleanup()


class MemoryMachine(StoreMachine):
    name = "memory"


class SqliteMachine(StoreMachine):
    name = "sqlite"


SETTINGS = settings(
    max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
TestMemoryStore = MemoryMachine.TestCase
TestMemoryStore.settings = SETTINGS
TestSqliteStore = SqliteMachine.TestCase
TestSqliteStore.settings = SETTINGS
