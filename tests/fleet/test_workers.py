"""Clusters that are served by worker processes: the same to everybody outside, whatever happens to a worker."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from tests.cli.shell import Shell, running, wait

from kloster.apimachinery.errors import StatusError
from kloster.cli import demo_application
from kloster.cli.hostapi import HostAPI
from kloster.client.transport import Request
from kloster.fleet import worker_role
from kloster.fleet.assignments import Assignments
from kloster.fleet.control import Channel, Gone, Remote
from kloster.fleet.datadir import DataDir, DataDirError
from kloster.stores.api import StoreBroken

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path / "home", tmp_path / "data")
    yield made
    made.run("down")


def up(shell: Shell, workers: int = 2) -> None:
    shell.ok("up", "--workers", str(workers), "--nodes", "2")


def api(shell: Shell, name: str) -> HostAPI:
    return HostAPI(yaml.safe_load(shell.ok("connect", name, "--print").out))


def host(shell: Shell) -> HostAPI:
    return HostAPI(yaml.safe_load((shell.data / "admin.conf").read_text()))


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split() if running(int(one))]


def config_map(name: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "1"}}


def names(cluster: HostAPI) -> set[str]:
    return {one["metadata"]["name"] for one in cluster.get(CONFIG_MAPS)["items"]}


def worker_of(shell: Shell, name: str) -> int:
    """The process that serves a cluster: the worker with the number that the table says."""
    uid = shell.ok("describe", name, "-o", "json").json()["metadata"]["uid"]
    number = json.loads((shell.data / "workers.json").read_text())[uid]
    return sorted(children(shell.pid()))[number]


def test_an_application_runs_in_a_workers_cluster(shell: Shell) -> None:
    up(shell)
    shell.ok("create", "dev", "--kubernetes-version", "1.34")
    dev = api(shell, "dev")
    for path, body in demo_application.OBJECTS:

        def created(path: str = path, body: dict[str, Any] = body) -> bool:
            try:
                dev.create(path, body)
            except StatusError as error:
                assert error.code == 404, error  # a custom resource, a moment after its definition
                return False
            return True

        wait(created)
    for check in demo_application.CHECKS.values():
        wait(lambda check=check: not check(dev))  # type: ignore[misc]
    pods = host(shell).get("/api/v1/namespaces/vc-dev/pods")["items"]
    assert len(pods) == 4
    with pytest.raises(StatusError, match="simulated"):  # logs go all the way to the host's node, and come back
        dev.get(f"{demo_application.NAMESPACED}/pods/{_first_pod(dev)}/log")
    shell.ok("delete", "dev")
    assert not host(shell).get("/api/v1/pods")["items"]


def _first_pod(cluster: HostAPI) -> str:
    found = cluster.get(f"{demo_application.NAMESPACED}/pods", labelSelector="app=web")["items"]
    return str(found[0]["metadata"]["name"])


def test_clusters_are_spread_and_stay_where_they_are(shell: Shell) -> None:
    up(shell)
    for name in "abcd":
        shell.ok("create", name, "--no-connect")
    table = json.loads((shell.data / "workers.json").read_text())
    assert sorted(table.values()) == [0, 0, 1, 1]
    shell.ok("down")
    up(shell)
    assert json.loads((shell.data / "workers.json").read_text()) == table
    shell.ok("delete", "a")
    assert len(json.loads((shell.data / "workers.json").read_text())) == 3


def test_the_main_process_answers_for_all_on_metrics(shell: Shell) -> None:
    up(shell)
    for name in "ab":
        shell.ok("create", name, "--no-connect")
    api(shell, "a").create(CONFIG_MAPS, {**config_map("n"), "data": {"a": "x" * 5000}})
    main = host(shell)

    def told() -> dict[str, float]:
        lines = (line for line in main.get("/metrics").splitlines() if not line.startswith("#"))
        return {name: float(figure) for name, _, figure in (line.rpartition(" ") for line in lines)}

    wait(lambda: told().get('kloster_cluster_memory_bytes{cluster="default/a"}', 0) > 5000)
    wait(lambda: 'kloster_cluster_cpu_seconds_total{cluster="default/b"}' in told())
    found = told()
    assert found['kloster_cluster_requests_total{cluster="default/a"}'] > 1
    assert found['kloster_cluster_memory_bytes{cluster="host"}'] > 10_000
    assert found['kloster_worker_memory_bytes{worker="1"}'] > 1 << 20
    assert found["process_resident_memory_bytes"] > 1 << 20
    assert found["process_cpu_seconds_total"] > 0
    shell.ok("delete", "a")
    wait(lambda: 'kloster_cluster_requests_total{cluster="default/a"}' not in told())


def test_the_common_address_leads_to_workers(shell: Shell) -> None:
    """By name the connection is handed over, by path requests are passed on: answers, errors, streams."""
    up(shell)
    shell.ok("create", "dev")
    document = yaml.safe_load(shell.ok("connect", "dev", "--print").out)
    status = shell.ok("describe", "dev", "-o", "json").json()["status"]
    cluster = document["clusters"][0]["cluster"]
    cluster["server"], cluster["tls-server-name"] = status["commonEndpoint"], status["serverName"]
    by_name = HostAPI(document)
    by_name.create(CONFIG_MAPS, config_map("mine"))

    token = shell.ok("token", "dev", "-s", "kube-system/default").out.strip()
    by_name.create(
        "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
        {
            "metadata": {"name": "all"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [{"kind": "ServiceAccount", "name": "default", "namespace": "kube-system"}],
        },
    )
    authority = yaml.safe_load((shell.data / "admin.conf").read_text())["clusters"][0]["cluster"]
    common = {"server": f"{status['commonEndpoint']}/clusters/default/dev", "insecure-skip-tls-verify": True}
    assert authority["server"] != status["commonEndpoint"]
    by_path = HostAPI({"clusters": [{"cluster": common}], "users": [{"user": {"token": token}}]})
    assert by_path.get(f"{CONFIG_MAPS}/mine")["data"] == {"a": "1"}
    with pytest.raises(StatusError) as caught:
        by_path.get(f"{CONFIG_MAPS}/nope")
    assert caught.value.code == 404
    assert caught.value.reason == "NotFound"
    with pytest.raises(StatusError) as caught:
        HostAPI({"clusters": [{"cluster": common}], "users": [{"user": {"token": token + "x"}}]}).get("/api")
    assert caught.value.code == 401
    version = by_path.get(CONFIG_MAPS)["metadata"]["resourceVersion"]
    seen: list[str] = []

    def follow() -> None:
        for type_, item in by_path.watch(CONFIG_MAPS, 10, resourceVersion=version):
            seen.append(f"{type_} {item['metadata']['name']}")
            if item["metadata"]["name"] == "second":
                return

    following = threading.Thread(target=follow)
    following.start()
    by_name.create(CONFIG_MAPS, config_map("first"))
    wait(lambda: seen)
    by_name.create(CONFIG_MAPS, config_map("second"))
    following.join(20)
    assert seen == ["ADDED first", "ADDED second"]


def test_a_worker_that_dies_is_started_again_and_others_do_not_notice(shell: Shell) -> None:
    up(shell)
    for name in "ab":
        shell.ok("create", name, "--no-connect")
    a, b = api(shell, "a"), api(shell, "b")
    acknowledged: set[str] = set()
    for number in range(20):
        a.create(CONFIG_MAPS, config_map(f"n{number}"))
        acknowledged.add(f"n{number}")
    victim, other = worker_of(shell, "a"), worker_of(shell, "b")
    assert victim != other
    longest = 0.0
    os.kill(victim, signal.SIGKILL)
    ends = time.monotonic() + 30
    back = False
    while not back and time.monotonic() < ends:
        began = time.monotonic()
        b.create(CONFIG_MAPS, config_map(f"m{began}"))
        longest = max(longest, time.monotonic() - began)
        back = len(children(shell.pid())) == 2 and not running(victim)
    assert longest < 2.0
    assert names(a) >= acknowledged  # the connection waits in the socket until somebody accepts it
    a.create(CONFIG_MAPS, config_map("after"))
    assert other in children(shell.pid())
    assert 'kloster_worker_restarts_total{worker="' in host(shell).get("/metrics")
    shell.ok("create", "c", "--no-connect")


def test_a_workers_pods_go_on_after_its_death(shell: Shell) -> None:
    up(shell)
    shell.ok("create", "a", "--no-connect")
    a = api(shell, "a")
    pod = {"metadata": {"name": "web"}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}
    a.create("/api/v1/namespaces/default/pods", pod)
    wait(lambda: a.get("/api/v1/namespaces/default/pods/web")["status"].get("phase") == "Running")
    (before,) = host(shell).get("/api/v1/namespaces/vc-a/pods")["items"]
    os.kill(worker_of(shell, "a"), signal.SIGKILL)
    a = api(shell, "a")  # a connection that is not the dead one's
    a.create("/api/v1/namespaces/default/pods", {**pod, "metadata": {"name": "more"}})
    wait(lambda: a.get("/api/v1/namespaces/default/pods/more")["status"].get("phase") == "Running")
    after = {one["metadata"]["uid"] for one in host(shell).get("/api/v1/namespaces/vc-a/pods")["items"]}
    assert before["metadata"]["uid"] in after
    assert len(after) == 2
    a.delete("/api/v1/namespaces/default/pods/web")
    wait(lambda: len(host(shell).get("/api/v1/namespaces/vc-a/pods")["items"]) == 1, 60)


def test_workers_end_with_the_main_process_however_that_comes(shell: Shell) -> None:
    up(shell)
    shell.ok("create", "a", "--no-connect")
    a = api(shell, "a")
    a.create(CONFIG_MAPS, config_map("mine"))
    workers = children(shell.pid())
    assert len(workers) == 2
    shell.kill()
    up(shell)  # waits for the directory, which workers hold to their end
    assert not [pid for pid in workers if running(pid)]
    assert "mine" in names(a)
    workers = children(shell.pid())
    shell.ok("down")
    assert not [pid for pid in workers if running(pid)]
    assert DataDir(shell.data).holder() == 0


def test_the_number_of_workers_may_change(shell: Shell) -> None:
    up(shell, 1)
    for name in "abc":
        shell.ok("create", name, "--no-connect")
        api(shell, name).create(CONFIG_MAPS, config_map("mine"))
    for count in (3, 2, 1):
        shell.ok("down")
        up(shell, count)
        assert len(children(shell.pid())) == (count if count > 1 else 0)
        assert all("mine" in names(api(shell, name)) for name in "abc")


def test_a_cluster_that_is_broken_in_its_worker_is_told(shell: Shell) -> None:
    up(shell)
    for name in "ab":
        shell.ok("create", name, "--no-connect")
    uid = shell.ok("describe", "a", "-o", "json").json()["metadata"]["uid"]
    shell.ok("down")
    for log in (shell.data / "clusters" / uid).glob("store.db-*"):
        log.unlink()
    (shell.data / "clusters" / uid / "store.db").write_bytes(b"rubbish" * 1000)
    up(shell)
    assert "is damaged or no Kloster store" in shell.fails("connect", "a")
    api(shell, "b").create(CONFIG_MAPS, config_map("mine"))
    shell.ok("delete", "a")


def test_workers_may_sync_and_nothing_else() -> None:
    """What is in the role is what the syncer asks for: no cluster, no role, no token, no account."""
    rules = worker_role.rules()
    allowed = {(resource, verb) for rule in rules for resource in rule["resources"] for verb in rule["verbs"]}
    assert ("pods", "create") in allowed
    foreign = {
        "virtualclusters",
        "serviceaccounts",
        "serviceaccounts/token",
        "clusterroles",
        "clusterrolebindings",
        "*",
    }
    assert not foreign & {resource for resource, _ in allowed}
    seen_only = {verb for resource, verb in allowed if resource in ("nodes", "namespaces", "events")}
    assert seen_only == {"get", "list", "watch"}
    assert "*" not in {verb for _, verb in allowed}


def test_tokens_of_workers() -> None:
    tokens = worker_role.Tokens()
    token = tokens.give(3)

    def whose(text: str) -> str | None:
        user = tokens(Request("GET", "/", headers={"authorization": f"Bearer {text}"} if text else {}))
        return None if user is None else user.name

    assert whose(token) == "system:kloster:worker:3"
    assert whose("") is None
    assert whose(token + "x") is None
    tokens.take(token)
    assert whose(token) is None


# -- the parts --------------------------------------------------------------------------------------------------------


def test_the_worker_with_the_fewest_gets_the_next(tmp_path: Path) -> None:
    table = Assignments(tmp_path / "workers.json", 3)
    assert [table.of(name) for name in "abcd"] == [0, 1, 2, 0]
    assert table.of("b") == 1
    table.remove("b")
    assert table.of("e") == 1
    assert table.ids(0) == ["a", "d"]


@pytest.mark.parametrize("text", ["[]", '{"a": "x"}', "{"], ids=["list", "no-number", "broken"])
def test_a_damaged_table_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "workers.json").write_text(text)
    with pytest.raises(DataDirError, match=r"workers\.json is damaged"):
        Assignments.load(tmp_path / "workers.json", 2)


@pytest.fixture
def short() -> Iterator[Path]:
    """A temporary folder whose path is short, wherever the tests' own are."""
    with TemporaryDirectory(dir="/tmp", prefix="k") as folder:
        yield Path(folder)


def test_the_directory_of_sockets_is_short_and_private(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(short))
    deep = DataDir(short / ("x" * 100))
    deep.prepare()
    found = deep.sockets()
    assert found.parent == short
    assert found == deep.sockets()
    found.chmod(0o777)
    with pytest.raises(DataDirError, match="is not a private directory of yours"):
        deep.sockets()
    found.rmdir()
    found.symlink_to(short)
    with pytest.raises(DataDirError, match="is not a private directory of yours"):
        deep.sockets()


class Pair:
    """Two ends of a channel in one process."""

    def __init__(self, handle: Any) -> None:
        streams, parcels = socket.socketpair(), socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.received: list[tuple[dict[str, Any], int]] = []
        self.parcel = asyncio.Event()
        self.near = Channel(streams[0], parcels[0], handle, lambda what, fd: os.close(fd))
        self.far = Channel(streams[1], parcels[1], handle, self._take)

    def _take(self, what: dict[str, Any], descriptor: int) -> None:
        self.received.append((what, descriptor))
        self.parcel.set()

    async def __aenter__(self) -> Pair:
        await self.near.open()
        await self.far.open()
        self.tasks = [asyncio.ensure_future(one.run()) for one in (self.near, self.far)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.near.close()
        await asyncio.wait(self.tasks, timeout=10)
        for _, descriptor in self.received:
            os.close(descriptor)


async def _handle(ask: str, arguments: dict[str, Any]) -> Any:
    if ask == "broken":
        raise StoreBroken("it is broken")
    if ask == "bug":
        raise KeyError("oops")
    if ask == "slow":
        await asyncio.sleep(30)
    return {"asked": ask, **arguments}


def test_calls_are_answered_and_errors_keep_their_kind() -> None:
    async def body() -> None:
        async with Pair(_handle) as pair:
            assert await pair.near.call("hello", a=1) == {"asked": "hello", "a": 1}
            assert await pair.far.call("hello", b=[2]) == {"asked": "hello", "b": [2]}
            with pytest.raises(StoreBroken, match="it is broken"):
                await pair.near.call("broken")
            with pytest.raises(Remote, match="KeyError: 'oops'"):
                await pair.near.call("bug")
            many = await asyncio.gather(*(pair.near.call("hello", a=number) for number in range(100)))
            assert [one["a"] for one in many] == list(range(100))

    asyncio.run(body())


def test_who_waits_for_an_end_that_dies_is_told() -> None:
    async def body() -> None:
        async with Pair(_handle) as pair:
            waiting = asyncio.ensure_future(pair.near.call("slow"))
            await asyncio.sleep(0.05)
            pair.far.close()
            with pytest.raises(Gone):
                await asyncio.wait_for(waiting, 10)
            await asyncio.wait(pair.tasks, timeout=10)
            with pytest.raises(Gone):
                await pair.near.call("hello")
            pair.near.tell("hello")

    asyncio.run(body())


def test_descriptors_arrive_with_what_they_are_for() -> None:
    async def body() -> None:
        async with Pair(_handle) as pair:
            with socket.create_server(("127.0.0.1", 0)) as listening:
                assert pair.near.post(listening.fileno(), listen="a")
                await pair.parcel.wait()
                what, descriptor = pair.received.pop()
                assert what == {"listen": "a"}
                with socket.socket(fileno=descriptor) as copy:
                    assert copy.getsockname() == listening.getsockname()
            pair.far.close()
            await asyncio.wait(pair.tasks, timeout=10)
            assert not pair.near.post(0, listen="b")

    asyncio.run(body())


def test_forks_across_workers(shell: Shell) -> None:
    """A fork goes to the worker with the fewest clusters; a layer is read by both. Deleted forks leave nothing."""
    up(shell)
    shell.ok("create", "a", "--no-connect")
    api(shell, "a").create(CONFIG_MAPS, config_map("before"))
    for name in ("b", "c"):
        shell.ok("fork", "a", name, "--no-connect")
        api(shell, name).create(CONFIG_MAPS, config_map(f"of-{name}"))
    assert len({worker_of(shell, name) for name in ("a", "b", "c")}) == 2
    os.kill(worker_of(shell, "a"), signal.SIGKILL)
    shell.ok("fork", "b", "d", "--no-connect")
    shell.ok("fork", "a", "e", "--no-connect")
    for name, expected in (("c", {"of-c"}), ("d", {"of-b"}), ("e", set())):
        found = forked(shell, name)
        assert found == {"before", *expected}, name
    shell.ok("reset", "c")
    assert forked(shell, "c") == {"before"}
    shell.ok("delete", "a", "b", "c", "d", "e")
    assert not [path for path in (shell.data / "layers").iterdir() if not path.name.startswith("template-")]


def forked(shell: Shell, name: str) -> set[str]:
    return names(api(shell, name)) - {"kube-root-ca.crt"}
