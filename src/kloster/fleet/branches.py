"""Making forks, and setting them back: what the fleet's reconciler does for a VirtualCluster with ``spec.from``.

Who may fork what. Whoever may create VirtualClusters in a namespace of the host reads there what clusters hold, so a
fork is made of a cluster in the same namespace. Another namespace's cluster says who may fork it, by an annotation;
otherwise somebody would get at the Secrets of strangers by naming their cluster.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import structlog

from kloster.apimachinery import Object
from kloster.apiserver.cluster import Settings
from kloster.client.api import Source
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


@dataclass(slots=True)
class Branches:
    """For one fleet. `layers` counts who stands on what."""

    shared: Shared
    serving: Freezing
    layers: LayerFiles
    settings: Settings

    async def load_or_make(self, source: Source, wish: Wish) -> Record:
        """The cluster's record; if there is none, and the spec says what it is a fork of, it is forked now.

        Raises ForkError, and what `create.load_or_make_record` raises.
        """
        await self.layers.look()
        if wish.spec.origin is None:
            made = await create.load_or_make_record(
                self.shared, wish.id, wish.namespace, wish.name, wish.spec.minor, self.settings
            )
        else:
            made = await create.load_record(self.shared, wish.id) or await self._fork(source, wish, wish.spec.origin)
        self.layers.set(wish.id, made.needed)
        return made

    async def _fork(self, source: Source, wish: Wish, origin: Origin) -> Record:
        original = self._original(source, wish, origin)
        with self.layers.forking():
            await self._check_version(wish, original)
            try:
                frozen = await self.serving.freeze(original)
            except NotServed as error:
                raise ForkError("ForkPending", str(error), SOON) from error
            except StoreError as error:
                raise ForkError("ForkFailed", f"{original.display} cannot be forked: {error}", SOON) from error
            made = await fork.make_record(self.shared, wish, original, frozen, self.settings)
            self.layers.set(wish.id, made.needed)
        await self.layers.tidy()
        log.info("cluster forked", cluster=wish.display, source=original.display, revision=frozen.revision)
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
        if wish.spec.minor and wish.spec.minor != record.minor:
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
