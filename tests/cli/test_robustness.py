"""Whatever happens to commands and processes, the next command finds things in order, or says what is wrong."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from tests.cli.shell import KLOSTER, Shell, running, wait

from kloster.apimachinery.errors import StatusError
from kloster.cli.hostapi import HostAPI

CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def config_map(name: str, size: int = 1) -> dict[str, object]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "x" * size}}


def api(shell: Shell, name: str) -> HostAPI:
    return HostAPI(yaml.safe_load(shell.ok("connect", name, "--print").out))


def fleets() -> set[int]:
    """Processes of fleets that run on this machine."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if b"kloster.fleet" in path.read_bytes() and running(int(path.parent.name)):
                found.add(int(path.parent.name))
        except OSError:
            continue
    return found


def of(shell: Shell) -> set[int]:
    """Fleet processes of this data directory."""
    root = str(shell.data).encode()
    return {pid for pid in fleets() if root in Path(f"/proc/{pid}/cmdline").read_bytes()}


# -- crashes ----------------------------------------------------------------------------------------------------------


def test_after_a_crash_up_brings_everything_back(shell: Shell) -> None:
    shell.ok("create", "dev", "--no-connect")
    dev = api(shell, "dev")
    for number in range(20):
        dev.create(CONFIG_MAPS, config_map(f"n{number}"))
    shell.kill()
    assert (shell.data / "fleet.json").exists(), "left behind by the crash"
    assert shell.run("status").code == 1
    assert "no host is running" in shell.fails("list")
    assert shell.ok("down").out.startswith("✓ no host is running")
    shell.ok("up")
    names = {one["metadata"]["name"] for one in dev.get(CONFIG_MAPS)["items"]}
    assert {f"n{number}" for number in range(20)} <= names


# -- interruptions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
@pytest.mark.parametrize("after", [0.1, 0.35, 0.6, 1.0])
def test_an_interrupted_demo_leaves_nothing(shell: Shell, number: signal.Signals, after: float) -> None:
    shell.environment["TMPDIR"] = str(shell.home)
    demo = shell.begin("demo")
    time.sleep(after)
    demo.send_signal(number)
    _, told = demo.communicate(timeout=30)
    starting = "KeyboardInterrupt" in told  # Python itself was interrupted before it had begun with us
    assert demo.returncode in (128 + number, -number) or starting, (demo.returncode, told)
    left = [path for path in shell.home.iterdir() if path.name.startswith("kloster-demo-")]
    assert not left
    wait(lambda: not [pid for pid in fleets() if str(shell.home).encode() in Path(f"/proc/{pid}/cmdline").read_bytes()])


def test_a_killed_demo_takes_its_host_with_it(shell: Shell) -> None:
    shell.environment["TMPDIR"] = str(shell.home)
    demo = shell.begin("demo")
    mine = str(shell.home).encode()

    def hosts() -> list[int]:
        return [pid for pid in fleets() if mine in Path(f"/proc/{pid}/cmdline").read_bytes()]

    wait(hosts)
    demo.kill()
    demo.communicate()
    wait(lambda: not hosts())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
@pytest.mark.parametrize("after", [0.15, 0.4, 0.7])
def test_an_interrupted_up_leaves_a_host_or_none_and_up_goes_on(
    shell: Shell, number: signal.Signals, after: float
) -> None:
    up = shell.begin("up")
    time.sleep(after)
    up.send_signal(number)
    up.communicate(timeout=30)
    shell.ok("up")
    assert len(of(shell)) == 1
    shell.ok("down")
    wait(lambda: not of(shell))  # the directory is free a moment before the process has gone


@pytest.mark.parametrize("after", [0.15, 0.25, 0.35, 0.5])
def test_an_interrupted_create_leaves_a_whole_cluster_or_none(shell: Shell, after: float) -> None:
    shell.ok("up", "--nodes", "1")
    create = shell.begin("create", "dev")
    time.sleep(after)
    create.send_signal(signal.SIGINT)
    create.communicate(timeout=30)
    if shell.ok("list", "-o", "name").out:
        shell.ok("connect", "dev")
    else:
        shell.ok("create", "dev")
    assert shell.config()["current-context"] == "kloster-dev"
    assert not shell.kubeconfig.with_name("config.lock").exists()
    delete = shell.begin("delete", "dev")
    time.sleep(after)
    delete.send_signal(signal.SIGINT)
    delete.communicate(timeout=30)

    def gone() -> bool:
        return not shell.ok("list", "-o", "name").out

    if not gone():
        shell.run("delete", "dev")
    wait(gone)


def test_a_host_that_is_told_to_end_while_it_starts_ends(shell: Shell) -> None:
    shell.data.mkdir()
    for after in (0.2, 0.5, 0.8):
        process = subprocess.Popen(
            [sys.executable, "-m", "kloster.fleet", "--data-dir", str(shell.data)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(after)
        process.terminate()
        assert process.wait(20) in (0, -signal.SIGTERM)
        assert not (shell.data / "fleet.json").exists()
    shell.ok("create", "dev", "--no-connect")


def test_two_commands_that_need_a_host_start_one(shell: Shell) -> None:
    both = [shell.begin("create", name, "--no-connect") for name in ("a", "b")]
    told = [one.communicate(timeout=60) for one in both]
    assert [one.returncode for one in both] == [0, 0], told
    assert len(of(shell)) == 1
    assert len(shell.ok("list", "-o", "json").json()["items"]) == 2


def test_two_fleets_side_by_side(shell: Shell, tmp_path: Path) -> None:
    other = Shell(tmp_path / "home2", tmp_path / "data2")
    try:
        shell.ok("create", "dev")
        other.ok("create", "dev")
        assert shell.pid() != other.pid()
        servers = [one.config()["clusters"][0]["cluster"]["server"] for one in (shell, other)]
        assert len(set(servers)) == 2
        other.ok("delete", "dev")
        assert shell.ok("list", "-o", "name").out
    finally:
        other.run("down")


# -- what the machine refuses -----------------------------------------------------------------------------------------


def test_a_port_in_use(shell: Shell) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        text = shell.fails("up", "--port", str(port))
        assert f"port {port} is wanted, but cannot be had: cannot listen on 127.0.0.1:{port}" in text
        assert "choose another port" in text
    assert not of(shell)
    shell.ok("up", "--port", str(port))
    assert shell.ok("status", "-o", "json").json()["common"].endswith(f":{port}")


def test_the_port_of_a_known_cluster_in_use_fails_that_cluster_alone(shell: Shell) -> None:
    shell.ok("create", "dev", "--no-connect")
    shell.ok("create", "other", "--no-connect")
    port = shell.ok("describe", "dev", "-o", "json").json()["status"]["port"]
    shell.ok("down")
    with socket.create_server(("127.0.0.1", port)):
        shell.ok("up")
        assert f"port {port} is in kubeconfigs already, but cannot be had" in shell.fails("connect", "dev")
        shell.ok("connect", "other", "--print")
        row = next(line for line in shell.ok("list").out.splitlines() if " dev " in line)
        assert "Failed" in row
    shell.ok("delete", "dev")


def test_a_directory_in_use_by_another_process(shell: Shell) -> None:
    shell.ok("up")
    done = subprocess.run(
        [sys.executable, "-m", "kloster.fleet", "--data-dir", str(shell.data)], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert f"is in use by the fleet with process id {shell.pid()}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_directory_that_cannot_be_made(shell: Shell) -> None:
    shell.data.write_text("a file")
    assert shell.fails("up").startswith(f"{shell.data} cannot be used: File exists; choose another with --data-dir")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        pytest.param(("store.db", b"rubbish" * 1000), "is damaged or no Kloster store", id="store"),
        pytest.param(("cluster.json", b'{"format": 1'), "cluster.json is damaged", id="record"),
        pytest.param(("cluster.json", b'{"format": 99}'), "was written by a newer Kloster", id="newer-record"),
    ],
)
def test_damage_to_one_cluster_is_told_and_others_are_served(
    shell: Shell, damage: tuple[str, bytes], message: str
) -> None:
    shell.ok("create", "dev", "--no-connect")
    shell.ok("create", "other", "--no-connect")
    uid = shell.ok("describe", "dev", "-o", "json").json()["metadata"]["uid"]
    shell.ok("down")
    path = shell.data / "clusters" / uid / damage[0]
    for log in path.parent.glob("store.db-*"):
        log.unlink()
    path.write_bytes(damage[1])
    shell.ok("up")
    assert message in shell.fails("connect", "dev")
    assert "StoreBroken" in shell.ok("describe", "dev").out
    assert api(shell, "other").get("/api/v1/namespaces/default")["metadata"]["name"] == "default"
    shell.ok("delete", "dev")
    shell.ok("create", "dev", "--no-connect")


def test_a_store_of_a_newer_version_is_refused(shell: Shell) -> None:
    shell.ok("create", "dev", "--no-connect")
    uid = shell.ok("describe", "dev", "-o", "json").json()["metadata"]["uid"]
    shell.ok("down")
    path = shell.data / "clusters" / uid / "store.db"
    with path.open("r+b") as file:
        file.seek(60)  # SQLite's user version
        file.write((999).to_bytes(4, "big"))
    shell.ok("up")
    assert "was written by a newer Kloster (store format 999" in shell.fails("connect", "dev")


@pytest.mark.parametrize("name", ["ports.json", "clusters/host/cluster.json", "clusters/host/store.db"])
def test_damage_to_the_fleet_itself_is_named(shell: Shell, name: str) -> None:
    shell.ok("up")
    shell.ok("down")
    for log in (shell.data / name).parent.glob("store.db-*"):
        log.unlink()
    (shell.data / name).write_bytes(b"rubbish" * 1000)
    text = shell.fails("up")
    assert name in text
    assert "damaged" in text
    assert not of(shell)


def test_a_damaged_template_is_made_anew(shell: Shell) -> None:
    shell.ok("create", "dev", "--kubernetes-version", "1.34", "--no-connect")
    shell.ok("down")
    (template,) = (shell.data / "layers").glob("template-1.34-*.db")
    template.chmod(0o600)
    template.write_bytes(b"rubbish")
    shell.ok("up")
    assert api(shell, "dev").get("/apis/rbac.authorization.k8s.io/v1/clusterroles/admin")["rules"]


def limit_files(size: int) -> None:
    """No file may grow beyond `size`: what a full disk looks like, to one process."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_a_full_disk_at_the_start(shell: Shell) -> None:
    done = subprocess.run(
        [*KLOSTER, "up"], env=shell.environment, capture_output=True, text=True, preexec_fn=lambda: limit_files(4096)
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert not of(shell)
    shell.ok("create", "dev", "--no-connect")


def test_a_disk_that_fills_up_loses_nothing_and_is_gone_on_with(shell: Shell) -> None:
    shell.ok("create", "dev", "--no-connect")
    dev, pid = api(shell, "dev"), shell.pid()
    acknowledged = []
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    refused = None
    for number in range(300):
        try:
            dev.create(CONFIG_MAPS, config_map(f"n{number}", 10_000))
            acknowledged.append(f"n{number}")
        except StatusError as error:
            refused = error
            break
    assert refused is not None
    assert refused.code >= 500
    assert len(acknowledged) > 2
    assert dev.get(f"{CONFIG_MAPS}/{acknowledged[0]}")["data"]
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    dev.create(CONFIG_MAPS, config_map("after", 10_000))
    shell.kill()
    shell.ok("up")
    names = {one["metadata"]["name"] for one in dev.get(CONFIG_MAPS)["items"]}
    assert {*acknowledged, "after"} <= names
    assert f"n{len(acknowledged)}" not in names


# -- secrets ----------------------------------------------------------------------------------------------------------


def test_no_secret_is_in_logs_arguments_or_readable_files(shell: Shell) -> None:
    before = os.umask(0)
    try:
        shell.ok("create", "dev")
    finally:
        os.umask(before)
    token = shell.ok("token", "dev").out.strip()
    dev = api(shell, "dev")
    dev.create("/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}, "stringData": {"p": "hunter2-tenant"}})
    bad = HostAPI(
        {
            "clusters": [{"cluster": {**shell.config()["clusters"][0]["cluster"]}}],
            "users": [{"user": {"token": token[:-6] + "forged"}}],
        }
    )
    with pytest.raises(StatusError) as caught:
        bad.get("/api/v1/pods")
    assert caught.value.code == 401
    keys = [
        line
        for path in (shell.data / "clusters").glob("*/cluster.json")
        for part in ("authority", "serving")
        for line in json.loads(path.read_text())["identity"][part][1].splitlines()[1:-1]
    ]
    assert len(keys) > 4
    secrets = [*keys, token, token.rpartition(".")[2], "hunter2-tenant", "forged"]
    pid = shell.pid()
    places = {
        "log": (shell.data / "log").read_text(),
        "fleet.json": (shell.data / "fleet.json").read_text(),
        "arguments": Path(f"/proc/{pid}/cmdline").read_text(),
        "environment": Path(f"/proc/{pid}/environ").read_text(),
    }
    found = [(place, secret) for place, text in places.items() for secret in secrets if secret in text]
    assert not found
    for path in [shell.data, *shell.data.rglob("*")]:
        mode = stat.S_IMODE(path.lstat().st_mode)
        assert not mode & 0o077, (path, oct(mode))
    assert stat.S_IMODE(shell.kubeconfig.stat().st_mode) == 0o600


def test_a_data_directory_can_be_moved(shell: Shell, tmp_path: Path) -> None:
    shell.ok("create", "dev", "--no-connect")
    shell.ok("down")
    moved = Shell(shell.home, tmp_path / "moved")
    shutil.move(shell.data, moved.data)
    try:
        moved.ok("up")
        assert api(moved, "dev").get("/version")["major"] == "1"
    finally:
        moved.run("down")
