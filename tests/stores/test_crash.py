"""Kill -9 and power failures: what was acknowledged or shown is there afterwards, whatever the moment.

A power failure is a SIGKILL on a disk that loses what was not synced (`unsynced.c`, preloaded into the child);
in the *torn* variety any sector of what was not synced may have reached the disk all the same, in any order.
"""

from __future__ import annotations

import asyncio
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from kloster.stores.api import Entry
from kloster.stores.sqlite import SqliteStore

pytestmark = [pytest.mark.crash, pytest.mark.timeout(240)]

HERE = Path(__file__).parent
SECTOR = 512


@dataclass
class Promises:
    """What the killed processes were told, over all lives of the store."""

    newest: int = 0
    told: dict[str, tuple[int, str]] = field(default_factory=dict)
    deleting: set[str] = field(default_factory=set)
    lives: int = 0

    def hear(self, line: str) -> None:
        word, *rest = line.split()
        if word == "deleting":
            self.deleting.add(rest[0])
        elif word in ("ack", "saw"):
            revision, name, value = int(rest[0]), rest[1], rest[2]
            self.newest = max(self.newest, revision)
            if revision >= self.told.get(name, (0, ""))[0]:
                self.told[name] = (revision, value)

    def broken(self, revision: int, entries: Mapping[str, Entry]) -> list[str]:
        """In which ways a reopened store breaks them."""
        found = []
        if revision < self.newest:
            found.append(f"the store is at {revision}, but {self.newest} was promised")
        for name, (promised, value) in self.told.items():
            entry = entries.get(name)
            if entry is None:
                if value != "-" and name not in self.deleting:
                    found.append(f"{name} of revision {promised} is missing")
            elif entry.revision < promised or (value == "-" and entry.revision > 0):
                found.append(f"{name} was promised at {promised} with {value}, but is at {entry.revision}")
            elif entry.revision == promised and entry.labels["value"] != value:
                found.append(f"{name} at {promised} should be {value}")
        return found


def live_and_die(path: Path, chance: random.Random, promises: Promises, mode: str, env: dict[str, str]) -> None:
    """Run a child for a while, then kill it."""
    command = [sys.executable, str(HERE / "crash_child.py"), str(path), mode]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=os.environ | env) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"ready\n"
        # Kills must fall everywhere, also into the very first commits.
        deadline = time.monotonic() + chance.choice([0.001, 0.01, 0.1]) * (0.5 + chance.random())
        heard = b""
        os.set_blocking(child.stdout.fileno(), False)
        while time.monotonic() < deadline:
            heard += child.stdout.read() or b""
            time.sleep(0.001)
        child.kill()
        child.wait()
        heard += child.stdout.read() or b""
    for line in heard.split(b"\n")[:-1]:
        promises.hear(line.decode())
    promises.lives += 1


def reopened(path: Path) -> tuple[int, dict[str, Entry]]:
    """What a dead process left, read from a copy: the next one shall find the WAL as the crash left it."""
    copy = path.parent.with_name("copy")
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(path.parent, copy)

    async def look() -> tuple[int, dict[str, Entry]]:
        with ThreadPoolExecutor(1) as executor:
            store = await SqliteStore.open(copy / path.name, executor=executor)
            found = store.revision, {entry.key.name: entry for entry in store.scan("/pods")}
            await store.close()
            return found

    return asyncio.run(look())


def test_killed_fifty_times(tmp_path: Path) -> None:
    chance, promises = random.Random(50), Promises()
    path = tmp_path / "data" / "store.db"
    path.parent.mkdir()
    for _ in range(50):
        live_and_die(path, chance, promises, "durable", {})
        assert promises.broken(*reopened(path)) == []
    assert len(promises.told) > 100 and any(value == "-" for _, value in promises.told.values())


class Disk:
    """The directory `root` on a disk that loses what was not synced."""

    def __init__(self, root: Path, shadow: Path, library: Path) -> None:
        self.root = root
        self.shadow = shadow
        self.env = {"LD_PRELOAD": str(library), "UNSYNCED_WATCHED": str(root), "UNSYNCED_SHADOW": str(shadow)}
        root.mkdir()
        self.sync()

    def sync(self) -> None:
        """Make everything durable that is there now."""
        shutil.rmtree(self.shadow, ignore_errors=True)
        self.shadow.mkdir()
        listing = ""
        for path in self.root.iterdir():
            inode = path.stat().st_ino
            shutil.copyfile(path, self.shadow / str(inode))
            listing += f"{inode} {path.name}\n"
        (self.shadow / "names").write_text(listing)

    def fail(self, chance: random.Random | None = None) -> None:
        """Lose what was not synced; with `chance`, any sectors of it survive."""
        present = {path.name: path.read_bytes() for path in self.root.iterdir()}
        durable = {}
        for line in (self.shadow / "names").read_text().splitlines():
            inode, name = line.split(" ", 1)
            content = self.shadow / inode
            durable[name] = content.read_bytes() if content.exists() else b""
        if chance is not None:
            if chance.random() < 0.5:
                durable = dict.fromkeys(present, b"") | durable
            durable = {name: torn(old, present.get(name, old), chance) for name, old in durable.items()}
        shutil.rmtree(self.root)
        self.root.mkdir()
        for name, content_bytes in durable.items():
            (self.root / name).write_bytes(content_bytes)
            (self.root / name).chmod(0o600)
        self.sync()


def torn(old: bytes, new: bytes, chance: random.Random) -> bytes:
    share = chance.choice([0.0, 0.1, 0.5, 0.9, 1.0])
    size = chance.choice([len(old), len(new), max(len(old), len(new))])
    sectors = []
    for at in range(0, size, SECTOR):
        part = new[at : at + SECTOR] if chance.random() < share else old[at : at + SECTOR]
        sectors.append(part.ljust(min(SECTOR, size - at), b"\0")[: size - at])
    return b"".join(sectors)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("needs Linux and a C compiler to build the disk that loses writes")
    built = tmp_path_factory.mktemp("unsynced") / "unsynced.so"
    subprocess.run(
        [compiler, "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-o", str(built), str(HERE / "unsynced.c")],
        check=True,
    )
    return built


@pytest.mark.parametrize("tearing", [False, True], ids=["lost", "torn"])
def test_power_failures_lose_nothing_that_was_promised(tmp_path: Path, library: Path, tearing: bool) -> None:
    chance, promises = random.Random(25), Promises()
    disk = Disk(tmp_path / "disk", tmp_path / "shadow", library)
    path = disk.root / "store.db"
    for _ in range(25):
        live_and_die(path, chance, promises, "durable", disk.env)
        disk.fail(chance if tearing else None)
        assert promises.broken(*reopened(path)) == []
    assert len(promises.told) > 50


def test_without_syncing_the_same_test_finds_losses(tmp_path: Path, library: Path) -> None:
    """The proof that the tests above can fail: ``synchronous=OFF`` loses acknowledged writes on this disk."""
    chance, promises = random.Random(5), Promises()
    disk = Disk(tmp_path / "disk", tmp_path / "shadow", library)
    path = disk.root / "store.db"
    losses: list[str] = []
    for _ in range(5):
        live_and_die(path, chance, promises, "loose", disk.env)
        disk.fail()
        losses += promises.broken(*reopened(path))
    assert any("is missing" in loss or "was promised" in loss for loss in losses)
