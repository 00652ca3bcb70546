"""What only a store with a file can get wrong: faults, locks, damage, formats, upkeep."""

from __future__ import annotations

import asyncio
import errno
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kloster.stores import storefile
from kloster.stores.api import Compacted, Key, Operation, Put, StoreBroken, StoreFailed, View
from kloster.stores.layerfile import read_layer, write_layer
from kloster.stores.layers import Layer, flatten
from kloster.stores.sqlite import SqliteStore
from kloster.stores.storefile import StoreFile, settle
from kloster.stores.threads import commit_threads

from .storefiles import bodies, entry, looped, pod_key, put, remove, writes


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with commit_threads(2) as threads:
        yield threads


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


def size(path: Path) -> int:
    return path.stat().st_size


class Faults:
    """Raises `error` at the named moments of the writes that were asked for, once each."""

    def __init__(self) -> None:
        self.plan: list[str] = []
        self.seen: list[str] = []

    def __call__(self, moment: str) -> None:
        self.seen.append(moment)
        if self.plan and self.plan[0] == moment:
            self.plan.pop(0)
            raise OSError(errno.EIO, f"injected {moment} the write")


@pytest.mark.parametrize("moment", ["before", "after"], ids=["nothing reached the disk", "all reached the disk"])
@looped
async def test_a_failed_write_stays_undone_after_reopening(
    path: Path, executor: ThreadPoolExecutor, moment: str
) -> None:
    faults = Faults()
    base = Layer.of("base", 2, [entry("hidden", 1, "base"), entry("shown", 2, "base")])
    path_base = path.with_name("base.layer")
    write_layer(path_base, base)
    store = await SqliteStore.open(path, executor=executor, base=[base], fault=faults)
    await store.transact(writes(put("a", "1"), put("b", "1"), put("hidden", "own"), remove("hidden")))
    before, revision = bodies(store), store.revision
    faults.plan = [moment]
    with pytest.raises(StoreFailed, match="injected"):
        await store.transact(
            writes(put("a", "2"), remove("b"), put("new"), put("hidden", "2"), remove("shown"), put("a", "3"))
        )
    assert bodies(store) == before and store.revision == revision
    await store.close()
    again = await SqliteStore.open(path, executor=executor, base=[read_layer(path_base)])
    assert bodies(again) == before == {"a": "1", "b": "1", "shown": "base"}
    assert again.revision == revision
    await again.close()


@looped
async def test_a_store_goes_on_once_its_disk_is_back(path: Path, executor: ThreadPoolExecutor) -> None:
    faults = Faults()
    store = await SqliteStore.open(path, executor=executor, fault=faults)
    await store.transact(writes(put("a", "1")))
    faults.plan = ["after", "before", "before", "before"]  # the write, and three attempts to undo it
    for body in "23":
        with pytest.raises(StoreFailed):
            await store.transact(writes(put("a", body)))
    await asyncio.sleep(0)
    faults.plan = []
    assert bodies(store) == {"a": "1"}
    await store.transact(writes(put("b", "1")))
    await store.close()
    again = await SqliteStore.open(path, executor=executor)
    assert bodies(again) == {"a": "1", "b": "1"}
    await again.close()


@looped
async def test_a_full_disk_fails_the_write_and_nothing_else(path: Path, executor: ThreadPoolExecutor) -> None:
    store = await SqliteStore.open(path, executor=executor)
    await store.transact(writes(put("a", "1")))
    file = store._holding._file
    assert file is not None
    file._connection.execute("PRAGMA max_page_count=20")  # what a full disk looks like to SQLite
    with pytest.raises(StoreFailed, match="full"):
        await store.transact(writes(*(put(str(number), "x" * 4000) for number in range(300))))
    assert bodies(store) == {"a": "1"}
    await store.transact(writes(put("b", "2")))
    await store.close()
    again = await SqliteStore.open(path, executor=executor)
    assert bodies(again) == {"a": "1", "b": "2"}
    await again.close()


@looped
async def test_a_file_that_lost_durable_writes_is_refused(path: Path, executor: ThreadPoolExecutor) -> None:
    faults = Faults()
    store = await SqliteStore.open(path, executor=executor, fault=faults)
    await store.transact(writes(put("a"), put("b")))
    assert store._holding._file is not None
    store._holding._file.close()
    replace_by_an_empty_one(path, store.id)
    with pytest.raises(StoreFailed):
        await store.transact(writes(put("c")))  # finds its connection gone
    with pytest.raises(StoreBroken, match="lost revisions 1 to 2"):
        await store.transact(writes(put("c")))
    with pytest.raises(StoreBroken):
        await store.transact(writes(put("c")))
    assert bodies(store) == {"a": "1", "b": "1"}, "reading goes on"
    await store.close()


def test_one_process_at_a_time(path: Path, executor: ThreadPoolExecutor) -> None:
    code = (
        "import sys; from pathlib import Path; from kloster.stores.locking import FileLock\n"
        "lock = FileLock(Path(sys.argv[1])); print('locked', flush=True); sys.stdin.read()"
    )

    async def open_twice() -> None:
        store = await SqliteStore.open(path, executor=executor)
        with pytest.raises(StoreBroken, match="in use by process"):
            await SqliteStore.open(path, executor=executor)
        await store.close()

    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None and holder.stdout.readline() == "locked\n"
        with pytest.raises(StoreBroken, match=f"in use by process {holder.pid} "):
            asyncio.run(open_twice())
        holder.kill()
    asyncio.run(open_twice())


def replace_by_an_empty_one(path: Path, id: str) -> None:
    path.unlink()
    storefile.create(path, storefile.FileInfo(id))


def content_of(path: Path) -> bytes:
    return path.read_bytes()


def damage_header(path: Path) -> None:
    path.write_bytes(b"not a database at all" + path.read_bytes()[21:])


def damage_page(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xff" * (len(content) - 4096)
    path.write_bytes(content)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:8192])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def make_newer(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version=2")
    connection.close()


def make_foreign(path: Path) -> None:
    path.unlink()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE other (x)")
    connection.close()


DAMAGES = [
    pytest.param(damage_header, "damaged or no Kloster store", id="no SQLite file"),
    pytest.param(damage_page, "damaged", id="pages overwritten"),
    pytest.param(truncate, "damaged", id="truncated"),
    pytest.param(empty, "no Kloster store", id="empty"),
    pytest.param(make_newer, "written by a newer Kloster .store format 2, this one reads up to 1", id="newer"),
    pytest.param(make_foreign, "no Kloster store", id="somebody else's database"),
]


@pytest.mark.parametrize(("damage", "message"), DAMAGES)
@looped
async def test_files_that_cannot_be_used(
    path: Path, executor: ThreadPoolExecutor, damage: Callable[[Path], None], message: str
) -> None:
    store = await SqliteStore.open(path, executor=executor)
    await store.transact(writes(*(put(str(number), "x" * 900) for number in range(50))))
    await store.close()
    damage(path)
    content = content_of(path)
    for _ in range(2):  # the lock is released each time
        with pytest.raises(StoreBroken, match=message):
            await SqliteStore.open(path, executor=executor)
    assert content_of(path) == content, "what cannot be read is not touched"


@looped
async def test_a_missing_directory_is_named(tmp_path: Path, executor: ThreadPoolExecutor) -> None:
    with pytest.raises(StoreBroken, match="nowhere"):
        await SqliteStore.open(tmp_path / "nowhere" / "store.db", executor=executor)


@looped
async def test_files_are_private_and_complete(path: Path, executor: ThreadPoolExecutor) -> None:
    path.with_name("store.db.new").write_bytes(b"left by a crash while it was made")
    store = await SqliteStore.open(path, executor=executor)
    await store.transact(writes(put("a")))
    modes = {found.name: stat.S_IMODE(found.stat().st_mode) for found in path.parent.iterdir()}
    assert modes == {"store.db": 0o600, "store.db-wal": 0o600, "store.db.lock": 0o600}
    await store.close()
    assert {found.name for found in path.parent.iterdir()} == {"store.db", "store.db.lock"}


@looped
async def test_what_a_new_file_holds_from_the_beginning(path: Path, executor: ThreadPoolExecutor) -> None:
    base = Layer.of("base", 7, [entry("hidden", 1, "base"), entry("shown", 2, "base"), entry("changed", 3, "base")])

    def first(view: View) -> Sequence[Operation]:
        assert bodies(view) == {"hidden": "base", "shown": "base", "changed": "base"}
        return [put("new"), remove("hidden"), put("changed", "1"), put("changed", "2"), remove("nothing")]

    expected = {"new": "1", "shown": "base", "changed": "2"}
    store = await SqliteStore.open(path, executor=executor, base=[base], floor=20, first=first)
    assert bodies(store) == expected
    assert store.revision == store.compacted == 24
    assert [event.revision for event in await store.transact(writes(put("later")))] == [25]
    await store.close()

    def never(view: View) -> Sequence[Operation]:
        raise AssertionError("the file is there")

    store = await SqliteStore.open(path, executor=executor, base=[base], first=never)
    assert bodies(store) == expected | {"later": "1"}
    assert store.revision == 25
    await store.close()


@looped
async def test_a_beginning_that_fails_leaves_no_file_behind(path: Path, executor: ThreadPoolExecutor) -> None:
    def first(view: View) -> Sequence[Operation]:
        raise ValueError("nobody knows")

    with pytest.raises(StoreFailed, match="nobody knows"):
        await SqliteStore.open(path, executor=executor, first=first)
    store = await SqliteStore.open(path, executor=executor, first=lambda _: [put("a")])
    assert bodies(store) == {"a": "1"}, "it was made anew"
    await store.close()


def test_a_new_file_is_made_without_a_journal(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows it yet: four syncs less for every cluster that is made or forked."""
    statements: list[str] = []
    connect = storefile._connect

    def traced(path: Path, mode: str) -> sqlite3.Connection:
        connection = connect(path, mode)
        connection.set_trace_callback(statements.append)
        return connection

    monkeypatch.setattr(storefile, "_connect", traced)
    storefile.create(path, storefile.FileInfo("x"), {pod_key("a"): entry("a", 1)})
    first = next(place for place, text in enumerate(statements) if "auto_vacuum" in text)
    before = " ".join(statements[:first])
    assert "synchronous=OFF" in before
    assert "journal_mode=OFF" in before


@looped
async def test_revisions_never_go_back(path: Path, executor: ThreadPoolExecutor) -> None:
    store = await SqliteStore.open(path, executor=executor)
    await store.transact(writes(put("a"), remove("a"), put("b"), remove("b")))
    await store.close()
    store = await SqliteStore.open(path, executor=executor)
    assert store.revision == 4 and bodies(store) == {}
    await store.close()
    store = await SqliteStore.open(path, executor=executor, floor=1_000_000)
    assert store.revision == store.compacted == 1_000_000
    with pytest.raises(Compacted):
        store.subscribe("/pods", 4, lambda: None)
    await store.close()
    store = await SqliteStore.open(path, executor=executor)
    assert store.revision == 1_000_000, "the floor is kept"
    (event,) = await store.transact(writes(put("c")))
    assert event.revision == 1_000_001
    await store.close()


def rows(path: Path) -> list[tuple[str, bool]]:
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT name, head IS NULL FROM entries ORDER BY name").fetchall()
    connection.close()
    return [(name, bool(gone)) for name, gone in found]


@looped
async def test_tombstones_stay_only_where_they_hide_something(path: Path, executor: ThreadPoolExecutor) -> None:
    base = Layer.of("base", 2, [entry("below", 1), entry("other", 2)])
    store = await SqliteStore.open(path, executor=executor, base=[base])
    await store.transact(writes(put("own"), remove("own"), remove("below"), put("last")))
    await store.close()
    assert rows(path) == [("below", True), ("last", False)]
    store = await SqliteStore.open(path, executor=executor, base=[base])
    await store.transact(writes(remove("last")))
    await store.close()
    assert rows(path) == [("below", True), ("last", True)], "the newest row holds the revision"
    store = await SqliteStore.open(path, executor=executor, base=[base])
    assert store.revision == 7 and bodies(store) == {"other": "1"}
    await store.transact(writes(put("last", "again"), put("x")))
    await store.close()
    assert rows(path) == [("below", True), ("last", False), ("x", False)]


@looped
async def test_many_deletions_give_back_the_space(path: Path, executor: ThreadPoolExecutor) -> None:
    store = await SqliteStore.open(path, executor=executor)
    for round_ in range(3):
        await store.transact(writes(*(put(str(number), "x" * 4000) for number in range(600))))
        await store.rest()
        assert size(path) > 2_000_000
        await store.transact(writes(*(remove(str(number)) for number in range(600))))
        # More deletions than are kept waiting: they are purged, and pages given back while the store is in use.
        await store.transact(writes(put("keep", str(round_))))
        await store.rest()
        assert size(path) < 2_000_000
    await store.close()
    assert size(path) < 200_000
    store = await SqliteStore.open(path, executor=executor)
    assert bodies(store) == {"keep": "2"}
    await store.close()


@looped
async def test_the_write_ahead_log_stays_bounded(
    path: Path, executor: ThreadPoolExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoints: list[Path] = []
    checkpoint = StoreFile.checkpoint

    def counted(file: StoreFile) -> None:
        checkpoints.append(file.path)
        checkpoint(file)

    monkeypatch.setattr(StoreFile, "checkpoint", counted)
    store = await SqliteStore.open(path, executor=executor)
    for number in range(30):
        await store.transact(writes(*(put(f"{number}-{index}", "x" * 3000) for index in range(200))))
    assert size(path.with_name("store.db-wal")) < 12 << 20
    assert len(bodies(store)) == 6000
    await store.close()
    assert 4 <= len(checkpoints) <= 12, "each takes a few batches"
    store = await SqliteStore.open(path, executor=executor)
    assert len(bodies(store)) == 6000
    await store.close()


@looped
async def test_bytes_come_back_as_they_were(path: Path, executor: ThreadPoolExecutor) -> None:
    store = await SqliteStore.open(path, executor=executor)
    odd = [
        Put(Key("/p", "", "empty"), b"", b"", {}, {}, ""),
        Put(Key("/p", "", "zero"), b"\0a\0", b"\0", {"a\0": "\n"}, {}, "v1"),
        Put(Key("/p", "ä", "ünï-☃-𝒳"), "☃".encode()[:2], b"\xff\xfe", {"☃": "'\"\\"}, {"f": ""}, "v1beta1#7"),
        Put(Key("/p", "z", "large"), b"x" * 1_500_000, b"y" * 1_500_000, {}, {}, "v1"),
    ]
    many = [Put(Key("/q", str(n % 7), str(n)), b"%d" % n, b"t%d" % n, {"n": str(n)}, {}, "v1") for n in range(1000)]
    await store.transact(writes(*odd, *many))
    await store.close()
    store = await SqliteStore.open(path, executor=executor)
    for written in odd + many:
        found = store.get(written.key)
        assert found is not None and found.key == written.key
        assert (found.head, found.tail, found.version) == (written.head, written.tail, written.version)
        assert (found.labels, found.fields) == (written.labels, written.fields)
    assert len(list(store.scan("/q"))) == 1000
    await store.close()


@looped
async def test_layers_on_disk(path: Path, executor: ThreadPoolExecutor) -> None:
    store = await SqliteStore.open(path, executor=executor)
    await store.transact(writes(put("a", "1"), put("b", "1")))
    first = await store.freeze(path.with_name("second.db"))
    await store.transact(writes(put("a", "2"), remove("b")))
    second = await store.freeze(path.with_name("third.db"))
    await store.transact(writes(put("c", "3")))
    expected, revision = bodies(store), store.revision
    await store.close()

    with pytest.raises(StoreBroken, match=r"frozen into a layer; its cluster goes on in second\.db"):
        await SqliteStore.open(path, executor=executor)
    bottom = read_layer(path)
    middle = read_layer(path.with_name("second.db"), base=[bottom.id])
    assert (bottom.id, middle.id, middle.revision) == (first.id, second.id, 4)
    with pytest.raises(StoreBroken, match="lies on the layers"):
        await SqliteStore.open(path.with_name("third.db"), executor=executor, base=[bottom])
    with pytest.raises(StoreBroken, match="only frozen files are layers"):
        read_layer(path.with_name("third.db"), base=[middle.id, bottom.id])
    with pytest.raises(StoreBroken, match="missing"):
        read_layer(path.with_name("fourth.db"))

    store = await SqliteStore.open(path.with_name("third.db"), executor=executor, base=[middle, bottom])
    assert bodies(store) == expected == {"a": "2", "c": "3"} and store.revision == revision
    flat = flatten("flat", store.layers)
    write_layer(path.with_name("flat.layer"), flat)
    await store.rebase([flat])
    await store.transact(writes(remove("a"), put("b", "4")))
    await store.close()
    store = await SqliteStore.open(
        path.with_name("third.db"), executor=executor, base=[read_layer(path.with_name("flat.layer"))]
    )
    assert bodies(store) == {"b": "4", "c": "3"}
    await store.close()


@looped
async def test_a_file_that_names_replaced_layers_is_put_right(path: Path, executor: ThreadPoolExecutor) -> None:
    """A crash came between the record and the file of a cluster whose layers were merged."""
    store = await SqliteStore.open(path, executor=executor)
    await store.transact(writes(put("a", "1")))
    await store.freeze(path.with_name("second.db"))
    await store.transact(writes(put("b", "2")))
    old = store.layers
    await store.close()
    flat = flatten("flat", old)
    second = path.with_name("second.db")
    for replaced in ([], ["other"]):
        with pytest.raises(StoreBroken, match="lies on the layers"):
            await SqliteStore.open(second, executor=executor, base=[flat], replaced=replaced)
    for _ in range(2):
        store = await SqliteStore.open(second, executor=executor, base=[flat], replaced=[one.id for one in old])
        assert bodies(store) == {"a": "1", "b": "2"}
        await store.close()
    with pytest.raises(StoreBroken, match="lies on the layers"):
        await SqliteStore.open(second, executor=executor, base=old)


@looped
async def test_a_file_is_settled_before_it_is_moved(path: Path, executor: ThreadPoolExecutor) -> None:
    """What a crash left in the log is carried over, also into a file that may only be read already."""
    store = await SqliteStore.open(path, executor=executor)
    await store.transact(writes(put("a", "1")))
    copy = path.with_name("copy.db")
    for end in ("", "-wal"):
        copy.with_name(copy.name + end).write_bytes(path.with_name(path.name + end).read_bytes())
    await store.close()
    copy.chmod(0o400)
    assert settle(copy).id == settle(path).id
    assert not copy.with_name("copy.db-wal").exists()
    moved = await SqliteStore.open(copy, executor=executor)
    assert bodies(moved) == {"a": "1"}
    await moved.close()


@looped
async def test_a_freeze_that_fails_changes_nothing(path: Path, executor: ThreadPoolExecutor) -> None:
    store = await SqliteStore.open(path, executor=executor)
    await store.transact(writes(put("a")))
    path.with_name("taken.db").write_bytes(b"x")
    with pytest.raises(StoreFailed, match="exists"):
        await store.freeze(path.with_name("taken.db"))
    await store.transact(writes(put("b")))
    await store.close()
    store = await SqliteStore.open(path, executor=executor)
    assert bodies(store) == {"a": "1", "b": "1"} and store.layers == ()
    await store.close()


@looped
async def test_an_idle_store_rests_and_wakes_at_the_next_write(path: Path, executor: ThreadPoolExecutor) -> None:
    store = await SqliteStore.open(path, executor=executor)
    await store.transact(writes(put("a")))
    await store.rest()
    assert not path.with_name("store.db-wal").exists() and store.log_bytes == 0
    assert bodies(store) == {"a": "1"}
    with pytest.raises(StoreBroken, match="in use"):
        await SqliteStore.open(path, executor=executor)
    await store.transact(writes(put("b")))
    await store.rest()
    await store.rest()
    await store.close()
    store = await SqliteStore.open(path, executor=executor)
    assert bodies(store) == {"a": "1", "b": "1"}
    await store.close()


@looped
async def test_an_executor_that_is_gone_fails_writes_and_releases_the_lock(path: Path) -> None:
    gone = ThreadPoolExecutor(1)
    store = await SqliteStore.open(path, executor=gone)
    gone.shutdown()
    with pytest.raises(StoreFailed):
        await store.transact(writes(put("a")))
    asyncio.get_running_loop().set_exception_handler(lambda *_: None)
    await store.close()
    with commit_threads(1) as executor:
        await (await SqliteStore.open(path, executor=executor)).close()


@looped
async def test_a_busy_event_loop_does_not_starve_commits(path: Path, executor: ThreadPoolExecutor) -> None:
    """With CPython's default switch interval a single write took up to a second here."""
    store = await SqliteStore.open(path, executor=executor)
    stop = False

    async def spin() -> None:
        while not stop:
            sum(range(20_000))
            await asyncio.sleep(0)

    spinning = asyncio.create_task(spin())
    started = time.perf_counter()
    for number in range(20):
        await store.transact(writes(put(str(number))))
    took = time.perf_counter() - started
    stop = True
    await spinning
    await store.close()
    assert took < 4


@looped
async def test_hundreds_of_idle_stores_hold_no_thread_and_no_task(tmp_path: Path, executor: ThreadPoolExecutor) -> None:
    stores = [await SqliteStore.open(tmp_path / f"{number}.db", executor=executor) for number in range(50)]
    before = asyncio.all_tasks()
    for store in stores:
        await store.transact(writes(put("a")))
    assert asyncio.all_tasks() == before
    assert threading.active_count() <= 3
    await asyncio.gather(*(store.close() for store in stores))


def test_the_loader_pages(path: Path) -> None:
    content = {pod_key(f"{number:04}"): entry(f"{number:04}", number) for number in range(1, 400)}
    storefile.create(path, storefile.FileInfo("id"), content)
    loaded = StoreFile(path)
    assert [found.key for found in loaded.load().entries] == list(content)
    assert loaded.revision() == 399
    loaded.close()
