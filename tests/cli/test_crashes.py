"""kill -9 of everything that `kloster up` runs, fifty times, under load: what was promised is there afterwards.
And commands that are cut off at any moment: the next one finds things in order.

A *promise* is an answered write, or a change that a watch has shown. After each crash `kloster up` must bring back
every one of them: the object at that resourceVersion with that content, or at a later one; gone, if its deletion was
promised. Clusters come and go meanwhile, so the crashes also fall into their creation and deletion. Now and then
clusters are served by workers, hence move between processes.
"""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.cli.shell import Shell, running, wait

from kloster.apimachinery.errors import StatusError
from kloster.cli.errors import CliError
from kloster.cli.hostapi import HostAPI

CRASHES = 50
LIMIT = 900
"""Seconds for all of them; a crash and its restart take two to six."""

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"
CLUSTERS = "/apis/kloster.dev/v1alpha1/namespaces/default/virtualclusters"
GONE = None
INTERRUPTED = (CliError, StatusError, OSError, ValueError, http.client.HTTPException)
"""What a client may get from a server that dies: no answer, half an answer, or that the cluster is being opened."""


@dataclass
class Promises:
    """What clients of one collection were told: name → (resourceVersion, content, GONE for none).

    deleting   objects whose deletion was asked for, answered or not
    """

    told: dict[str, tuple[int, str | None]] = field(default_factory=dict)
    deleting: set[str] = field(default_factory=set)
    newest: int = 0
    count: int = 0
    shown: int = 0

    def hear(self, item: dict[str, Any], gone: bool = False) -> None:
        metadata = item["metadata"]
        revision = int(metadata["resourceVersion"])
        self.newest = max(self.newest, revision)
        if revision >= self.told.get(metadata["name"], (0, GONE))[0]:
            self.told[metadata["name"]] = (revision, GONE if gone else content(item))

    def broken(self, listed: dict[str, Any]) -> list[str]:
        """In which ways a list breaks them."""
        found = []
        if int(listed["metadata"]["resourceVersion"]) < self.newest:
            found.append(f"the list is of {listed['metadata']['resourceVersion']}, but {self.newest} was told")
        present = {one["metadata"]["name"]: one for one in listed["items"]}
        for name, (revision, text) in self.told.items():
            item = present.get(name)
            if item is None:
                if text is not GONE and name not in self.deleting:
                    found.append(f"{name} of {revision} is missing")
            elif text is GONE:
                found.append(f"{name} was gone at {revision}, and is there")
            elif int(item["metadata"]["resourceVersion"]) < revision:
                found.append(f"{name} was at {revision}, and is at {item['metadata']['resourceVersion']}")
            elif int(item["metadata"]["resourceVersion"]) == revision and content(item) != text:
                found.append(f"{name} at {revision} has another content")
        return found


def content(item: dict[str, Any]) -> str:
    return json.dumps([item.get("data"), item["metadata"].get("uid")])


def test_broken_promises_are_found() -> None:
    def item(name: str, revision: int, value: str) -> dict[str, Any]:
        return {"metadata": {"name": name, "resourceVersion": str(revision)}, "data": {"a": value}}

    promises = Promises()
    for name in ("kept", "newer", "lost", "older", "changed", "back"):
        promises.hear(item(name, 5, "x"))
    promises.hear(item("back", 6, "x"), gone=True)
    items = [item("kept", 5, "x"), item("newer", 7, "y"), item("older", 4, "x"), item("changed", 5, "y")]
    listed = {"metadata": {"resourceVersion": "7"}, "items": [*items, item("back", 5, "x")]}
    assert [text.split()[0] for text in promises.broken(listed)] == ["lost", "older", "changed", "back"]
    promises.hear(item("future", 9, "x"))
    assert promises.broken(listed)[0] == "the list is of 7, but 9 was told"


def write(api: HostAPI, promises: Promises, prefix: str, rng: random.Random, stop: threading.Event) -> None:
    """Create, change and delete, one after the other, until the server is gone."""
    names: list[str] = []
    for number in range(100_000):
        if stop.is_set():
            return
        name = f"{prefix}-{number}"
        body = {"metadata": {"name": name}, "data": {"a": "x" * rng.randrange(4000)}}
        try:
            promises.hear(api.create(CONFIG_MAPS, body))
            names.append(name)
            promises.count += 1
            if number % 3 == 2:
                changed = {"data": {"a": str(number)}}
                promises.hear(api.patch(f"{CONFIG_MAPS}/{rng.choice(names)}", changed))
            if number % 5 == 4:
                going = names.pop(rng.randrange(len(names)))
                promises.deleting.add(going)
                api.delete(f"{CONFIG_MAPS}/{going}")
                promises.told[going] = (promises.told[going][0], GONE)
        except INTERRUPTED:
            return


def look(api: HostAPI, promises: Promises, stop: threading.Event) -> None:
    """Watch until the server is gone."""
    try:
        for kind, item in api.watch(CONFIG_MAPS, 30.0):
            if stop.is_set():
                return
            if kind in ("ADDED", "MODIFIED", "DELETED"):
                promises.hear(item, gone=kind == "DELETED")
                promises.shown += 1
    except INTERRUPTED:
        return


def come_and_go(host: HostAPI, promises: Promises, round_: int) -> None:
    """Make a cluster and delete an older one, without waiting for either."""
    try:
        body = {"apiVersion": "kloster.dev/v1alpha1", "kind": "VirtualCluster", "metadata": {"name": f"r{round_}"}}
        promises.hear(host.create(CLUSTERS, body))
        going = f"r{round_ - 2}"
        if going in promises.told:
            promises.deleting.add(going)
            host.delete(f"{CLUSTERS}/{going}")
            promises.told[going] = (promises.told[going][0], GONE)
    except INTERRUPTED:
        return


@contextmanager
def load(
    documents: dict[str, Any], promises: dict[str, Promises], prefix: str, rng: random.Random
) -> Iterator[list[threading.Thread]]:
    """Two writers and a watch of each cluster, on connections of their own; leaving waits for them all."""
    stop, threads = threading.Event(), list[threading.Thread]()
    for name, document in documents.items():
        for writer in range(2):
            own = HostAPI(document)
            arguments = (own, promises[name], f"{prefix}-{writer}", random.Random(rng.random()), stop)
            threads.append(threading.Thread(target=write, args=arguments, daemon=True))
        threads.append(threading.Thread(target=look, args=(HostAPI(document), promises[name], stop), daemon=True))
    for thread in threads:
        thread.start()
    yield threads
    stop.set()
    for thread in threads:
        thread.join(35)
        assert not thread.is_alive()


def ended(pid: int) -> bool:
    return not running(pid)


@pytest.mark.crash
@pytest.mark.timeout(LIMIT)
def test_fifty_crashes_break_no_promise(shell: Shell) -> None:
    rng = random.Random(4711)
    began = time.monotonic()
    for name in ("a", "b"):
        shell.ok("create", name, "--no-connect")
    host = HostAPI(yaml.safe_load((shell.data / "admin.conf").read_text()))
    documents = {name: yaml.safe_load(shell.ok("connect", name, "--print").out) for name in ("a", "b")}
    apis = {name: HostAPI(document) for name, document in documents.items()}
    promises, clusters = {name: Promises() for name in apis}, Promises()
    for round_ in range(CRASHES):
        pid = json.loads((shell.data / "fleet.json").read_text())["pid"]
        with load(documents, promises, f"n{round_}", rng) as threads:
            threads.append(threading.Thread(target=come_and_go, args=(host, clusters, round_), daemon=True))
            threads[-1].start()
            time.sleep(rng.choice([0.02, 0.2, 1.0]) * (0.5 + rng.random()))
            os.kill(pid, signal.SIGKILL)
        wait(partial(ended, pid))
        shell.ok("up", "--nodes", "1", "--workers", "2" if round_ % 5 == 4 else "1")
        for name, api in apis.items():
            try:
                listed = api.get(CONFIG_MAPS)
            except INTERRUPTED as error:
                pytest.fail(f"round {round_}, {name}: {error}\n{shell.log()}")
            assert promises[name].broken(listed) == [], (round_, name)
        missing = (
            clusters.told.keys() - clusters.deleting - {one["metadata"]["name"] for one in host.get(CLUSTERS)["items"]}
        )
        assert not missing, round_
    wait(lambda: settled(host, clusters), 60)
    assert sum(one.count for one in promises.values()) > 300, "there was load"
    assert sum(one.shown for one in promises.values()) > 300, "and it was seen"
    assert any(text is GONE for one in promises.values() for _, text in one.told.values())
    print(f"{CRASHES} crashes in {time.monotonic() - began:.0f} s:", promises["a"].count, promises["b"].count)


def settled(host: HostAPI, clusters: Promises) -> bool:
    """Clusters that were promised are served; those that were to go have gone, with all that was theirs."""
    items = host.get(CLUSTERS)["items"]
    if any((one.get("status") or {}).get("phase") != "Ready" for one in items):
        return False
    names = {one["metadata"]["name"] for one in items}
    spaces = {one["metadata"]["name"] for one in host.get("/api/v1/namespaces")["items"]}
    gone = {name for name, (_, text) in clusters.told.items() if text is GONE}
    return not names & gone and {f"vc-{name}" for name in names} == {one for one in spaces if one.startswith("vc-")}


COMMANDS = (
    ("up", "--nodes", "1"),
    ("create", "x"),
    ("create", "y", "-n", "team"),
    ("delete", "x"),
    ("down",),
    ("demo",),
)


@pytest.mark.crash
@pytest.mark.timeout(600)
def test_commands_cut_off_at_any_moment_leave_order(shell: Shell) -> None:
    """Ctrl-C and SIGTERM at random moments. Afterwards all is as if each command had been run to its end, or never."""
    rng = random.Random(1147)
    shell.environment["TMPDIR"] = str(shell.home)
    for round_ in range(24):
        command = rng.choice(COMMANDS)
        cut = shell.begin(*command)
        time.sleep(rng.random() * rng.choice([0.5, 1.5, 3.0]))
        cut.send_signal(rng.choice([signal.SIGINT, signal.SIGTERM]))
        told = cut.communicate(timeout=60)
        assert "Traceback" not in told[1] or "KeyboardInterrupt" in told[1], (round_, command, told)
        shell.ok("up", "--nodes", "1")
        host = HostAPI(yaml.safe_load((shell.data / "admin.conf").read_text()))
        wait(lambda host=host: whole(host), 60)  # type: ignore[misc]
        for one in host.get("/apis/kloster.dev/v1alpha1/virtualclusters")["items"]:
            shell.ok("connect", one["metadata"]["name"], "-n", one["metadata"]["namespace"], "--print")
    shell.ok("create", "last")
    shell.ok("delete", "--all")
    shell.ok("down")
    wait(lambda: not processes_of(shell))
    assert [path.name for path in (shell.data / "clusters").iterdir()] == ["host"]
    assert json.loads((shell.data / "ports.json").read_text())["ports"].keys() <= {"host", "common"}
    left = [path for path in (*shell.data.rglob(".*"), *shell.home.rglob("*")) if path != shell.kubeconfig.parent]
    assert left == [shell.kubeconfig], "no lock, no temporary file, nothing of a demo"
    assert not shell.config()["contexts"]


def whole(host: HostAPI) -> bool:
    """No cluster is half there, or half gone."""
    items = host.get("/apis/kloster.dev/v1alpha1/virtualclusters")["items"]
    if any("deletionTimestamp" in one["metadata"] or one["status"]["phase"] != "Ready" for one in items):
        return False
    wanted = {one["status"]["hostNamespace"] for one in items}
    return wanted == {
        name for one in host.get("/api/v1/namespaces")["items"] if (name := one["metadata"]["name"]).startswith("vc-")
    }


def processes_of(shell: Shell) -> list[int]:
    """What runs for this shell: its fleet, and those of demos in its home."""
    marks = (str(shell.data).encode(), str(shell.home).encode())
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if any(mark in path.read_bytes() for mark in marks) and running(int(path.parent.name)):
                found.append(int(path.parent.name))
        except OSError:
            continue
    return found
