"""Making forks, and setting them back: what the fleet's reconciler does for a VirtualCluster with ``spec.from``.

Who may fork what. Whoever may create VirtualClusters in a namespace of the host reads there what clusters hold, so a
fork is made of a cluster in the same namespace. Another namespace's cluster says who may fork it, by an annotation;
otherwise somebody would get at the Secrets of strangers by naming their cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import structlog

from kloster.aio.together import both
from kloster.apimachinery import Object
from kloster.apiserver.cluster import Settings
from kloster.client.api import Source
from kloster.fleet.identity import Identity
from kloster.fleet.layerfiles import LayerFiles
from kloster.fleet.lifecycle import create, fork, reset
from kloster.fleet.lifecycle.fork import Frozen, NotServed
from kloster.fleet.record import Record
from kloster.fleet.shared import Shared
from kloster.fleet.spec import Origin
from kloster.fleet.virtualcluster import FORKABLE, VIRTUAL_CLUSTERS, condition
from kloster.fleet.wish import Wish
from kloster.stores.api import StoreError

log = structlog.get_logger(__name__)

SOON = 1.0
LATER = 10.0


class Freezing(Protocol):
    """Where clusters are served."""

    async def freeze(self, wish: Wish) -> Frozen:
        """The cluster's state of now as layers. Raises StoreFailed, StoreBroken, DataDirError."""
        ...


class ForkError(Exception):
    """There can be no fork, for now. `reason` is the condition's; `after`: seconds until it is worth another try."""

    def __init__(self, reason: str, message: str, after: float = LATER) -> None:
        super().__init__(message)
        self.reason = reason
        self.after = after


@dataclass(frozen=True, slots=True)
class Begun:
    """A fork that is about to be made: the state that it is to have, and keys of its own."""

    original: Wish
    frozen: Frozen
    keys: Identity


@dataclass(slots=True)
class Branches:
    """For one fleet. `layers` counts who stands on what."""

    shared: Shared
    serving: Freezing
    layers: LayerFiles
    settings: Settings

    async def load_or_make(self, source: Source, wish: Wish) -> Record:
        """The cluster's record; if there is none, it is made now. Raises what `begin` and `finish` raise."""
        with self.layers.forking():
            made = await self.finish(wish, await self.begin(source, wish))
        await self.layers.tidy()
        return made

    async def begin(self, source: Source, wish: Wish) -> Record | Begun | None:
        """What there is: the cluster's record, or what a fork is about to stand on, or nothing.

        Nothing is written that would be the cluster's own. Until `finish` is over no layer may be deleted
        (`LayerFiles.forking`). Raises ForkError, DataDirError.
        """
        await self.layers.look()
        found = await create.load_record(self.shared, wish.id)
        if found is not None or wish.spec.origin is None:
            return found
        original = self._original(source, wish, wish.spec.origin)
        if wish.spec.minor:
            await self._check_version(wish, original)
        keys = create.make_keys(self.shared, wish.namespace, wish.name, self.settings)
        frozen, own = await both(self._freeze(original), keys)
        return Begun(original, frozen, own)

    async def _freeze(self, original: Wish) -> Frozen:
        try:
            return await self.serving.freeze(original)
        except NotServed as error:
            raise ForkError("ForkPending", str(error), SOON) from error
        except StoreError as error:
            raise ForkError("ForkFailed", f"{original.display} cannot be forked: {error}", SOON) from error

    async def finish(self, wish: Wish, begun: Record | Begun | None) -> Record:
        """The cluster's record, durable. Raises DataDirError, and OSError if it cannot be written."""
        if isinstance(begun, Record):
            made = begun
        elif begun is None:
            spec = wish.spec
            made = await create.make_record(self.shared, wish.id, wish.namespace, wish.name, spec.minor, self.settings)
        else:
            made = await fork.make_record(self.shared, wish, begun.original, begun.frozen, begun.keys)
            source, revision = begun.original.display, begun.frozen.revision
            log.info("cluster forked", cluster=wish.display, source=source, revision=revision)
        self.layers.set(wish.id, made.needed)
        return made

    def _original(self, source: Source, wish: Wish, origin: Origin) -> Wish:
        """The cluster that is to be forked. Raises ForkError."""
        namespace = origin.namespace or wish.namespace
        display = f"{namespace}/{origin.name}"
        if (namespace, origin.name) == (wish.namespace, wish.name):
            raise ForkError("ForkRefused", "spec.from: a cluster cannot be a fork of itself")
        found = source.get(VIRTUAL_CLUSTERS, namespace, origin.name)
        if found is None or (namespace != wish.namespace and not _allows(found, wish.namespace)):
            # One answer for both: who may not fork it shall not learn by this whether it is there.
            hint = (
                "" if namespace == wish.namespace else f", or it does not allow forks in {wish.namespace} ({FORKABLE})"
            )
            raise ForkError("ForkSourceMissing", f'spec.from: there is no cluster "{display}" on the host{hint}', SOON)
        if found["metadata"].get("deletionTimestamp"):
            raise ForkError("ForkSourceMissing", f'spec.from: the cluster "{display}" is being deleted')
        ready = condition(found, "Ready")
        if ready is None or ready["status"] != "True":
            why = f": {ready['message']}" if ready else ""
            raise ForkError("ForkPending", f"waiting for {display} to be served{why}", SOON)
        return Wish.of(found)

    async def _check_version(self, wish: Wish, original: Wish) -> None:
        """A fork has the version of its source: what lies in the layers is as that version stores it."""
        record = await create.load_record(self.shared, original.id)
        if record is None:
            raise ForkError("ForkPending", f"waiting for {original.display} to be made", SOON)
        if wish.spec.minor != record.minor:
            raise ForkError(
                "ForkRefused",
                f"spec.kubernetesVersion: {original.display} has Kubernetes {record.minor}, and a fork has the version "
                f"of its source; ask for {record.minor} or for none, not for {wish.spec.minor}",
            )

    async def reset(self, wish: Wish, made: Record) -> Record:
        """Go back to the state at the fork. Nothing serves the cluster, nothing of it is on the host."""
        done = await reset.reset_state(self.shared, made, wish.reset)
        self.layers.set(wish.id, done.needed)
        await self.layers.tidy()
        log.info("cluster reset", cluster=wish.display)
        return done

    async def forget(self, id: str) -> None:
        """The cluster is gone."""
        await self.layers.look()
        self.layers.remove(id)
        await self.layers.tidy()

    def restacked(self, id: str, layers: frozenset[str]) -> None:
        """A cluster has come to stand on other layers."""
        self.layers.set(id, layers)
        self.shared.dispatcher.spawn(self.layers.tidy(), "tidy layers")


def _allows(cluster: Object, namespace: str) -> bool:
    """Whether a cluster says that it may be forked in `namespace`."""
    text = (cluster["metadata"].get("annotations") or {}).get(FORKABLE, "")
    return bool({"*", namespace} & {part.strip() for part in text.split(",")})
