"""The clusters that one process serves: opened when they are asked for, parked when nobody uses them.

A shard has no task, timer or connection of its own for a cluster that is parked. One look around every few seconds
finds those that have become idle; one timer wheel holds when parked ones are due; one subscription for each kind on the
host tells what happens in their namespaces there.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog
from prometheus_client.core import GaugeMetricFamily, Metric

from kloster.aio.clock import Clock, ShiftedClock
from kloster.aio.supervision import Supervisor
from kloster.apiserver.cluster import NodeConnector, Settings
from kloster.apiserver.expiry import expire_events
from kloster.apiserver.http.tls import Material
from kloster.apiserver.rehearsal import Rehearsal
from kloster.client.api import Change
from kloster.client.portforward import PortForward
from kloster.client.resources import EVENTS
from kloster.controllers import REHEARSED_TABLE, select
from kloster.fleet import identity, memory, parked, record
from kloster.fleet.assembly import Assembled, assemble
from kloster.fleet.lifecycle import flatten, fork
from kloster.fleet.lifecycle.create import serving_names
from kloster.fleet.lifecycle.fork import Frozen, NotServed
from kloster.fleet.shared import Shared
from kloster.fleet.slot import Slot
from kloster.fleet.wish import Wish
from kloster.runtime.api import Controller
from kloster.runtime.timers import Timers
from kloster.stores.api import StoreBroken, StoreClosed, StoreError
from kloster.syncer.controllers import syncer_controllers
from kloster.syncer.dialer import HostDialer
from kloster.syncer.engine import Syncer
from kloster.syncer.hub import HostHub
from kloster.syncer.names import Tenancy

log = structlog.get_logger(__name__)

PAST = 150.0
"""Seconds of changes that are kept at least; twice as many at most."""


LARGE = 3000
"""Objects below a cluster's own changes from which on its controllers' beginning would hold up others for long."""
FIRST_ANSWERS = 0.1
"""Seconds for which the controllers of a large cluster wait, so that whoever had it opened is answered first."""


FORK = 0.02
"""The same for forks: somebody waits for them, and beginning is a third of the work that a small one takes."""
POSTPONED = 25
"""How often controllers wait that long again because somebody is being answered just then: a long list, perhaps."""


@dataclass(frozen=True, slots=True)
class Parking:
    """When clusters are parked.

    after    seconds that a cluster must have been idle; 0 for never
    room     how many may stay awake so long; of more than that, those that have been idle longest are parked after
             `hurry` seconds, so that a burst of clusters does not leave the process large for ever
    """

    after: float = 30.0
    room: int = 8
    hurry: float = 1.0

    @property
    def every(self) -> float:
        """How often the shard looks around."""
        return min(max(self.after / 4, 0.05), 1.0)


@dataclass(slots=True)
class Shard:
    """Use `running`.

    hub         the host, as this process sees it
    connector   the way to a cluster's pods, for logs and exec
    on_quiet    told when clusters were parked: a good moment to forget what can be had again
    on_failure  told when a parked cluster could not be opened again
    on_layers   told when a cluster has come to stand on other layers: its ID, and all that it needs now
    """

    shared: Shared
    hub: HostHub
    connector: Callable[[Tenancy], NodeConnector | None]
    settings: Settings
    parking: Parking
    supervisor: Supervisor
    on_failure: Callable[[Wish], None] = lambda wish: None
    on_quiet: Callable[[], None] = lambda: None
    on_layers: Callable[[str, frozenset[str]], None] = field(default=lambda id, layers: None)
    slots: dict[str, Slot] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    rehearsals: dict[str, Rehearsal] = field(default_factory=dict)
    clock: Clock = field(init=False)
    timers: Timers = field(init=False)

    def __post_init__(self) -> None:
        self.clock = self.shared.clock
        self.timers = Timers(self.clock, self.spawn)

    def spawn(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        return self.supervisor.spawn(work, name=name)

    # -- what the fleet asks for ------------------------------------------------------------------------------------

    async def serve(self, wish: Wish, listening: Callable[[], socket.socket]) -> int:
        """See to it that the cluster is served as wished; it may be parked. Returns its port.

        `listening` gives the socket of its own port, bound; it is asked once.
        Raises StoreError, DataDirError, and what `listening` raises: then nothing is served.
        """
        self.asked.add(wish.id)
        try:
            return await self._serve(wish, listening)
        finally:
            self.asked.discard(wish.id)

    async def _serve(self, wish: Wish, listening: Callable[[], socket.socket]) -> int:
        slot = self.slots.get(wish.id)
        if slot is not None:
            if slot.wish != wish:
                await self._change_wish(slot, wish)
            elif slot.broken:
                await slot.wake()
            return slot.port
        slot = Slot(self, wish, lambda: self._material(wish))
        self.slots[wish.id] = slot
        try:
            rest = await self._in_thread(lambda: parked.load(self.shared.data_dir.cluster(wish.id)))
            if rest is not None and rest.host == parked.fingerprint(self.hub.source, wish.tenancy):
                slot.wait(rest.due)
            else:
                await slot.wake()
            slot.listener = self.shared.server.listen_bound(listening())
        except BaseException:
            self.slots.pop(wish.id, None)
            await slot.close()
            raise
        slot.port = slot.listener.port
        self.shared.sites.add(wish.namespace, wish.name, slot.port, slot.site)
        log.info("cluster open", cluster=wish.display, port=slot.port, parked=slot.cluster is None)
        return slot.port

    async def drop(self, id: str) -> None:
        """Serve the cluster no longer. Idempotent."""
        slot = self.slots.pop(id, None)
        self.rehearsals.pop(id, None)
        if slot is None:
            return
        if slot.listener is not None:
            self.shared.server.stop_listening(slot.listener)
            self.shared.sites.remove(slot.wish.namespace, slot.wish.name, slot.port)
        await self.shared.server.close_site(slot.site.name)
        await slot.close()

    def report_layers(self, told: Callable[[str, frozenset[str]], None]) -> None:
        self.on_layers = told

    async def freeze(self, wish: Wish) -> Frozen:
        """The state of a cluster that is served here, for a fork to stand on. Raises StoreFailed, StoreBroken."""
        slot = self.slots.get(wish.id)
        if slot is None:
            raise NotServed(f"{wish.display} is not being served yet")
        while True:
            cluster = await slot.wake()
            with contextlib.suppress(StoreClosed):  # parked in this moment
                frozen = await fork.freeze(self.shared, cluster)
                self.on_layers(wish.id, cluster.record.needed)
                self._lessen(wish, cluster)
                rehearsal = self.rehearsals.get(wish.id)
                return frozen if rehearsal is None else dataclasses.replace(frozen, ahead=rehearsal.clock.ahead)

    def _lessen(self, wish: Wish, cluster: Assembled) -> None:
        """Have a cluster on many layers stand on few, in the background."""
        if flatten.is_deep(cluster):
            self.spawn(self._flatten(wish, cluster), f"flatten {wish.display}")

    async def _flatten(self, wish: Wish, cluster: Assembled) -> None:
        try:
            if await flatten.lessen(self.shared, cluster):
                log.info("layers merged", cluster=wish.display, layers=len(cluster.record.layers))
        except StoreClosed:
            return  # parked meanwhile; it is looked at again when it is opened
        except StoreError as error:
            log.warning("layers could not be merged", cluster=wish.display, error=str(error))
        self.on_layers(wish.id, cluster.record.needed)

    async def forget(self, id: str) -> None:
        """The cluster is deleted; a shard remembers nothing of it."""

    async def _change_wish(self, slot: Slot, wish: Wish) -> None:
        """Another spec: the cluster's controllers start anew."""
        old, slot.wish = slot.wish, wish
        await slot.settled()
        cluster = slot.cluster
        if cluster is None:
            await slot.wake()
        elif wish.spec.testing != old.spec.testing:  # the cluster's clock is another now
            await slot.park()
            await slot.wake()
        else:
            await cluster.detach()
            cluster.attach(self._controllers(wish))

    # -- what slots ask for -----------------------------------------------------------------------------------------

    async def bring(self, wish: Wish) -> Assembled:
        """Open the cluster and set its controllers to work."""
        directory = self.shared.data_dir.cluster(wish.id)
        names = serving_names(wish.namespace, wish.name, self.settings, self.shared.bind)
        layers = self.shared.data_dir.layers
        found = await self._in_thread(lambda: _load(directory, layers, names, self.clock.now()))
        if found is None:
            raise StoreBroken(
                f"{directory / 'cluster.json'} is missing; restore it from a backup or delete the cluster"
            )
        rehearsal = self._rehearsal(wish, found.origin.ahead if found.origin is not None else 0.0)
        clock = rehearsal.clock if rehearsal is not None else self.clock
        dialer = HostDialer(self.hub, wish.tenancy, PortForward(self.hub.client.transport))
        cluster = await assemble(self.shared, found, self.settings, self.connector(wish.tenancy), clock, dialer)
        cluster.served.ports.rehearsal = rehearsal
        # The first answers need not wait for the controllers: they begin with everything that there is.
        large = sum(layer.size for layer in cluster.store.layers) > LARGE
        patience = FIRST_ANSWERS if large else FORK if found.origin is not None else 0
        asyncio.get_running_loop().call_later(patience, self._attach, wish, cluster)
        if len(found.layers) > 1:
            self.on_layers(wish.id, found.needed)  # a fork that a crash had interrupted may have been finished just now
        self._lessen(wish, cluster)
        return cluster

    def _rehearsal(self, wish: Wish, ahead: float) -> Rehearsal | None:
        """What a test has recorded and asked for; it stays when the cluster is parked.

        ahead   how far the cluster's time is ahead to begin with, as its source's was
        """
        if not wish.spec.testing:
            self.rehearsals.pop(wish.id, None)
            return None
        found = self.rehearsals.get(wish.id)
        if found is None:
            found = Rehearsal(ShiftedClock(self.clock, ahead), lambda: self._look_again(wish.id))
            self.rehearsals[wish.id] = found
        return found

    async def _look_again(self, id: str) -> None:
        """The cluster's time was moved on: its controllers start anew, events that are old enough go."""
        slot = self.slots.get(id)
        cluster = slot.cluster if slot is not None else None
        if slot is not None and cluster is not None:
            await cluster.detach()
            cluster.attach(self._controllers(slot.wish))
            await expire_events(cluster.served)

    def _attach(self, wish: Wish, cluster: Assembled, left: int = POSTPONED) -> None:
        if cluster.closed or cluster.attachments:  # another wish may have come first
            return
        slot = self.slots.get(wish.id)
        if slot is not None and slot.busy and left:
            asyncio.get_running_loop().call_later(FORK, self._attach, wish, cluster, left - 1)
        else:
            cluster.attach(self._controllers(wish))

    def _controllers(self, wish: Wish) -> list[Controller]:
        spec = wish.spec
        syncer = Syncer(self.hub, wish.tenancy, spec.policy, rehearsed=spec.testing)
        crossing = spec.to_host | spec.from_host
        if wish.resting:
            crossing -= {"pods"}
        rehearsed = REHEARSED_TABLE if spec.testing else ()
        return [*select(spec.controllers), *rehearsed, *syncer_controllers(syncer, crossing)]

    async def put_away(self, wish: Wish, cluster: Assembled, due: float | None) -> None:
        await cluster.close()
        rest = parked.Rest(due, parked.fingerprint(self.hub.source, wish.tenancy))
        directory = self.shared.data_dir.cluster(wish.id)
        await self._in_thread(lambda: parked.save(directory, rest))
        log.debug("cluster parked", cluster=wish.display, due=due)

    def watch_over(self, slot: Slot, due: float | None) -> list[Callable[[], None]]:
        def changed(change: Change) -> None:
            if change.resource != EVENTS or change.new is not None:  # events that expire are nobody's business
                slot.wake_soon()

        ends = [self.hub.on_change(slot.wish.tenancy, changed)]
        if due is not None:
            ends.append(self.timers.after(due - self.clock.now(), slot.wake_soon).cancel)
        return ends

    def failed(self, wish: Wish, error: Exception) -> None:
        if wish.id not in self.asked:  # else whoever asked is told
            log.error("cluster cannot be opened", cluster=wish.display, error=str(error))
            self.on_failure(wish)

    def _material(self, wish: Wish) -> Material:
        """Keys are read when a handshake needs them."""
        found = record.load(self.shared.data_dir.cluster(wish.id))
        if found is None:
            raise StoreBroken(f"the record of {wish.display} is missing")
        return found.identity.material()

    async def _in_thread(self, work: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.shared.executor, work)

    def awake(self) -> Iterator[Assembled]:
        """The clusters that are in memory."""
        return (slot.cluster for slot in self.slots.values() if slot.cluster is not None)

    def families(self) -> Iterator[Metric]:
        """For the process's metrics."""
        awake = sum(slot.cluster is not None for slot in self.slots.values())
        states = GaugeMetricFamily("kloster_served_clusters", "Clusters that are served, by state.", labels=("state",))
        states.add_metric(("awake",), awake)
        states.add_metric(("parked",), len(self.slots) - awake)
        yield states

    # -- looking around ---------------------------------------------------------------------------------------------

    async def forget_past(self) -> None:
        """Keep no more than five minutes of changes, as upstream's etcd does. Runs until it is cancelled."""
        while True:
            await self.clock.sleep(PAST)
            for slot in list(self.slots.values()):
                if slot.cluster is not None:
                    await slot.cluster.forget_past()

    async def look_around(self) -> None:
        """Park what has become idle. Runs until it is cancelled."""
        while True:
            await self.clock.sleep(self.parking.every)
            await self.park_idle(self.parking.after)

    async def park_idle(self, after: float) -> int:
        """Park every cluster that has been idle for `after` seconds, and those that there is no room for.

        Returns how many were parked.
        """
        now = self.clock.monotonic()
        awake = sorted((slot for slot in self.slots.values() if slot.cluster is not None), key=lambda slot: slot.used)
        idle = [slot for slot in awake if slot.is_idle(now, after)]
        surplus = len(awake) - len(idle) - self.parking.room
        if surplus > 0:
            idle += [slot for slot in awake if slot not in idle and slot.is_idle(now, self.parking.hurry)][:surplus]
        for slot in idle:
            await slot.park()
        if idle:
            self.on_quiet()
            self.shared.forms.tidy()
            memory.give_back()
        return len(idle)

    async def close(self) -> None:
        """Serve nothing any longer; everything is kept."""
        await asyncio.gather(*(self.drop(id) for id in list(self.slots)))


def _load(directory: Path, layers: Path, names: tuple[str, ...], now: float) -> record.Record | None:
    """The record of a cluster that is about to be opened: what a crash interrupted is finished, and its certificate
    renewed if it is time."""
    parked.forget(directory)
    found = record.load(directory)
    if found is None:
        return None
    found = fork.recover(directory, layers, found)
    keys = identity.renewed(found.identity, names, now)
    if keys is not found.identity:
        found = dataclasses.replace(found, identity=keys)
        record.save(directory, found)
    return found


@contextlib.asynccontextmanager
async def running(
    shared: Shared,
    hub: HostHub,
    connector: Callable[[Tenancy], NodeConnector | None],
    settings: Settings,
    parking: Parking,
    on_failure: Callable[[Wish], None] = lambda wish: None,
) -> AsyncIterator[Shard]:
    """A shard of this process."""
    async with Supervisor() as supervisor:
        shard = Shard(shared, hub, connector, settings, parking, supervisor, on_failure)
        shared.metrics.add(shard.families)
        shard.spawn(shard.forget_past(), "forgetting")
        if parking.after > 0:
            shard.spawn(shard.look_around(), "parking")
        try:
            yield shard
        finally:
            await shard.close()
