"""Forks, resets and merged layers, cut at every step: nothing is lost, nothing is left over.

What a killed process leaves is what its files are at that moment. So the directory is copied before each step that
changes it (one thread does all that blocks, so no file is half-written by another), and a fleet is started on a copy.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvloop
from tests.fleet.test_fork import layers, of
from tests.fleet.test_reset import reset
from tests.fleet.world import World, eventually, exists, fleet, write

from kloster.client.resources import CONFIG_MAPS
from kloster.fleet import process, record
from kloster.fleet.lifecycle import flatten
from kloster.fleet.virtualcluster import VIRTUAL_CLUSTERS, is_ready
from kloster.stores import storefile

STEPS = ((os, "fsync"), (Path, "rename"), (Path, "replace"), (Path, "unlink"), (Path, "chmod"))


class Cutter:
    """Copies a directory before each step."""

    def __init__(self, source: Path, target: Path) -> None:
        self._source = source
        self._target = target
        self.copies: list[Path] = []
        self._busy = False

    def cut(self) -> None:
        if self._busy:
            return
        self._busy = True
        try:
            copy = self._target / f"{len(self.copies):03}"
            shutil.copytree(self._source, copy, ignore=shutil.ignore_patterns("sockets"))
            self.copies.append(copy)
        finally:
            self._busy = False

    @contextmanager
    def cutting(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for place, name in STEPS:
                patch.setattr(place, name, self._before(getattr(place, name)))
            patch.setattr(storefile.StoreFile, "set_info", self._before(storefile.StoreFile.set_info))
            patch.setattr(storefile.StoreFile, "close", self._before(storefile.StoreFile.close))
            yield

    def _before(self, function: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object, **kwargs: object) -> object:
            self.cut()
            return function(*args, **kwargs)

        return wrapped


def run(root: Path, body: Callable[[World], Awaitable[None]]) -> None:
    async def go() -> None:
        async with fleet(root) as world:
            await body(world)

    uvloop.run(asyncio.wait_for(go(), 60))


@pytest.fixture
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "commit_threads", lambda: ThreadPoolExecutor(1))


async def check(world: World) -> None:
    """Every cluster that is asked for is there, with what was acknowledged; no file is there for nobody."""
    names = [one["metadata"]["name"] for one in (await world.host.list(VIRTUAL_CLUSTERS, "default")).items]
    for name in names:
        await world.until(name)
        client = await world.client(name)
        assert await exists(client, CONFIG_MAPS, "before", "default"), name
        await write(client, f"new-{name}")
    await eventually(lambda: tidy(world))


async def tidy(world: World) -> bool:
    """Each cluster has one store file, and the layers are those that somebody needs."""
    needed: set[str] = set()
    for path in (world.directory.root / "clusters").iterdir():
        needed |= {f"{id}.db" for id in record.needed(path) if not id.startswith("template-")}
        if len([one for one in path.glob("*.db") if path.name != "host"]) > 1:
            return False
    return set(layers(world)) == needed


def verify(copies: list[Path], at_most: int = 14) -> None:
    stride = max(1, -(-len(copies) // at_most))
    chosen = copies[::stride]
    assert len(chosen) > 5
    for copy in chosen:
        run(copy, check)


@pytest.mark.usefixtures("one_thread")
def test_a_fork_cut_at_every_step(tmp_path: Path) -> None:
    cutter = Cutter(tmp_path / "data", tmp_path / "cuts")

    async def body(world: World) -> None:
        await world.create("dev", controllers=[])
        await write(await world.client("dev"), "before")
        with cutter.cutting():
            await world.create("branch", controllers=[], **of("dev"))

    run(tmp_path / "data", body)
    verify(cutter.copies, 20)


@pytest.mark.usefixtures("one_thread")
def test_a_reset_cut_at_every_step(tmp_path: Path) -> None:
    cutter = Cutter(tmp_path / "data", tmp_path / "cuts")

    async def body(world: World) -> None:
        await world.create("dev", controllers=[])
        await write(await world.client("dev"), "before")
        await world.create("branch", controllers=[], **of("dev"))
        client = await world.client("branch")
        await write(client, "after")
        await world.create("twig", controllers=[], **of("branch"))
        await world.delete("twig")
        with cutter.cutting():
            await reset(world, "branch")
        assert not await exists(client, CONFIG_MAPS, "after", "default")

    async def whole(world: World) -> None:
        """The reset is done after the start, whenever it was cut."""
        await check(world)
        asked = (await world.get("branch"))["metadata"].get("annotations") or {}
        if asked:
            await world.until("branch", so=lambda one: one["status"].get("reset") == "1" and is_ready(one))
            client = await world.client("branch")

            async def gone() -> bool:
                return not await exists(client, CONFIG_MAPS, "after", "default")

            await eventually(gone)

    run(tmp_path / "data", body)
    copies = cutter.copies
    assert len(copies) > 5
    for copy in copies[:: max(1, len(copies) // 12)]:
        run(copy, whole)


@pytest.mark.usefixtures("one_thread")
def test_merging_layers_cut_at_every_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flatten, "DEEPEST", 3)
    cutter = Cutter(tmp_path / "data", tmp_path / "cuts")

    async def body(world: World) -> None:
        dev = await world.create("dev", controllers=[])
        client = await world.client("dev")
        await write(client, "before")
        await world.create("one", controllers=[], **of("dev"))
        await write(client, "more")
        with cutter.cutting():
            await world.create("two", controllers=[], **of("dev"))

            async def merged() -> bool:
                cluster = world.slot(dev).cluster
                return cluster is not None and len(cluster.store.layers) <= 3 and not cluster.record.replaced

            await eventually(merged)
            await write(client, "last")
            await world.create("three", controllers=[], **of("dev"))

    run(tmp_path / "data", body)
    verify(cutter.copies, 20)


@pytest.mark.parametrize("number", [28, 5], ids=["full-disk", "io-error"])
def test_a_fork_that_the_disk_refuses_leaves_the_source_as_it_was(tmp_path: Path, number: int) -> None:
    async def body(world: World) -> None:
        dev = await world.create("dev", controllers=[])
        client = await world.client("dev")
        await write(client, "before")
        files = world.files(dev)
        create = storefile.create

        def full(path: Path, *args: object) -> None:
            if path.parent == files:
                raise OSError(number, os.strerror(number)) if number == 5 else sqlite3.OperationalError("disk is full")
            create(path, *args)  # type: ignore[arg-type]

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("kloster.stores.holding.create", full)
            await world.ask("branch", controllers=[], **of("dev"))
            reason, message = await world.refused("branch")
            assert reason == "ForkFailed"
            assert message.startswith("default/dev cannot be forked: the write could not be committed: ")
            await write(client, "meanwhile")
        await world.until("branch")
        branch = await world.client("branch")
        for name in ("before", "meanwhile"):
            assert await exists(branch, CONFIG_MAPS, name, "default")

    run(tmp_path / "data", body)
