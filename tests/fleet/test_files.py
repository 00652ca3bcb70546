"""What a fleet keeps on disk: its directory, ports, records; damage, other owners, newer versions."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kloster.fleet import addresses, identity, record
from kloster.fleet.addresses import PortTaken
from kloster.fleet.datadir import DataDir, DataDirError, default_root, read_json, write_json
from kloster.fleet.ports import NoPort, Ports, beginning
from kloster.fleet.record import Record

NOW = 1_800_000_000.0


@pytest.fixture(params=[0o000, 0o077], ids=["umask-000", "umask-077"])
def any_umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(scope="module")
def keys() -> identity.Identity:
    return identity.create("dev", ("dev.default.kloster.internal", "127.0.0.1"), NOW)


def test_a_directory_is_private_whatever_the_umask(tmp_path: Path, any_umask: None) -> None:
    directory = DataDir(tmp_path / "deep" / "data")
    directory.prepare()
    directory.prepare()
    with directory.locked():
        write_json(directory.ports, {})
        private = [directory.root, directory.layers, directory.root / "clusters"]
        assert {mode(path) for path in private} == {0o700}
        assert {mode(path) for path in (directory.ports, directory.root / "lock")} == {0o600}


def test_a_directory_that_was_open_is_closed(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    DataDir(tmp_path).prepare()
    assert mode(tmp_path) == 0o700


def test_a_directory_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(DataDirError, match=r"belongs to user \d+, not to you .* choose another with --data-dir"):
        DataDir(tmp_path).prepare()


def test_a_file_in_the_place_of_the_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(DataDirError, match="cannot be used: File exists; choose another with --data-dir"):
        DataDir(tmp_path / "data").prepare()


HOLD = """
import pathlib, sys
from kloster.fleet.datadir import DataDir
with DataDir(pathlib.Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_process_holds_a_directory_and_the_other_learns_who(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(DataDirError, match=f"in use by the fleet with process id {holder.pid}"),
            DataDir(tmp_path).locked(),
        ):
            pass
        holder.communicate()
    with DataDir(tmp_path).locked():
        assert (tmp_path / "lock").read_text().strip() == str(os.getpid())


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        pytest.param({"KLOSTER_DATA_DIR": "/a/b"}, "/a/b", id="told"),
        pytest.param({"KLOSTER_DATA_DIR": "~/k"}, "/home/me/k", id="tilde"),
        pytest.param({"XDG_DATA_HOME": "/x"}, "/x/kloster", id="xdg"),
        pytest.param({}, "/home/me/.local/share/kloster", id="home"),
        pytest.param({"KLOSTER_DATA_DIR": "", "XDG_DATA_HOME": ""}, "/home/me/.local/share/kloster", id="empty"),
    ],
)
def test_where_the_directory_is(environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KLOSTER_DATA_DIR", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert default_root() == Path(expected)


def test_a_write_replaces_whole_files_and_leaves_nothing_behind(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"x": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"x": object()})
    assert read_json(tmp_path / "a.json") == {"x": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]
    assert read_json(tmp_path / "b.json") is None


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"x": ')
    with pytest.raises(DataDirError, match=r"a\.json is damaged"):
        read_json(tmp_path / "a.json")


# -- ports ------------------------------------------------------------------------------------------------------------


def test_ports_are_remembered_and_given_once(tmp_path: Path) -> None:
    async def body() -> None:
        ports = Ports.load(tmp_path / "ports.json")
        first = next(ports.candidates())
        assert first == beginning(tmp_path / "ports.json")
        with ThreadPoolExecutor(1) as executor:
            ports.assign("a", first)
            ports.assign("b", first + 1)
            ports.release("a")
            ports.release("never")
            await asyncio.gather(ports.saved(executor), ports.saved(executor))
            again = Ports.load(tmp_path / "ports.json")
            assert (again.get("a"), again.get("b")) == (None, first + 1)
            again.release("b")
            await again.saved(executor)
        third = Ports.load(tmp_path / "ports.json")
        order = list(third.candidates())
        assert order[0] == first + 2, "a freed port rests as long as there are others"
        assert order[-1] == first + 1

    asyncio.run(body())


def test_freed_ports_come_again_when_the_end_is_reached(tmp_path: Path) -> None:
    ports = Ports(tmp_path / "ports.json", 20000, 20002)
    for number, name in enumerate("abc"):
        ports.assign(name, 20000 + number)
    with pytest.raises(NoPort, match="all ports from 20000 to 20002 are given away; delete clusters"):
        ports.candidates()
    ports.release("b")
    assert list(ports.candidates()) == [20001]


def test_a_port_in_use_is_passed_over_unless_it_is_known(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = Ports(tmp_path / "ports.json", port, port + 20)
        with addresses.bind("127.0.0.1", ports, "new") as listening:
            assert listening.getsockname()[1] == ports.get("new") != port
        ports.assign("old", port)
        with pytest.raises(PortTaken, match=f"port {port} is in kubeconfigs already, but cannot be had: .* choose"):
            addresses.bind("127.0.0.1", ports, "old")


@pytest.mark.parametrize(
    "text", ["[]", '{"ports": []}', '{"ports": {"a": "x"}, "newest": 0}'], ids=["list", "no-map", "no-port"]
)
def test_a_damaged_table_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "ports.json").write_text(text)
    with pytest.raises(DataDirError, match=r"ports\.json is damaged"):
        Ports.load(tmp_path / "ports.json")


# -- records ----------------------------------------------------------------------------------------------------------


def test_a_record_comes_back_as_it_was_saved(tmp_path: Path, keys: identity.Identity) -> None:
    saved = Record("uid", "default", "dev", "1.34", ("template-1.34-abc",), keys)
    record.save(tmp_path, saved)
    assert record.load(tmp_path) == saved
    assert mode(tmp_path / "cluster.json") == 0o600
    assert record.load(tmp_path / "nowhere") is None


@pytest.mark.parametrize(
    ("change", "text"),
    [
        pytest.param(lambda data: data | {"format": 99}, "was written by a newer Kloster", id="newer"),
        pytest.param(lambda data: {key: value for key, value in data.items() if key != "minor"}, "damaged", id="lacks"),
        pytest.param(lambda data: data | {"identity": {}}, "damaged", id="no-keys"),
        pytest.param(lambda data: data | {"layers": 3}, "damaged", id="wrong-type"),
        pytest.param(lambda data: [data], "damaged", id="no-mapping"),
        pytest.param(
            lambda data: data | {"identity": data["identity"] | {"tokenKeys": ["rubbish"]}}, "damaged", id="bad-key"
        ),
    ],
)
def test_a_record_that_cannot_be_read_is_named(
    change: object, text: str, tmp_path: Path, keys: identity.Identity
) -> None:
    record.save(tmp_path, Record("uid", "default", "dev", "1.34", (), keys))
    path = tmp_path / "cluster.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))  # type: ignore[operator]
    with pytest.raises(DataDirError, match=text):
        record.load(tmp_path)


def test_certificates_are_renewed_in_time_and_by_the_same_authority(keys: identity.Identity) -> None:
    assert identity.renewed(keys, keys.names, NOW) is keys
    other = identity.renewed(keys, (*keys.names, "::1"), NOW)
    late = identity.renewed(keys, keys.names, keys.serving.expires() - 86400)
    for new in (other, late):
        assert new.authority == keys.authority
        assert new.serving != keys.serving
        assert new.token_keys == keys.token_keys
    assert late.serving.expires() > keys.serving.expires()


def test_a_fleet_whose_workers_outlive_it_does_not_run(tmp_path: Path) -> None:
    """Workers share the lock. When the main process was killed they hold it until they have ended."""
    directory = DataDir(tmp_path)
    with directory.locked():
        assert directory.holder() == os.getpid()
        assert directory.served(directory.holder()) == {}, "it has not said that it is ready"
        write_json(directory.state, {"pid": os.getpid(), "address": "x"})
        assert directory.served(directory.holder())["address"] == "x"
        with subprocess.Popen(["sleep", "60"]) as gone:
            write_json(directory.state, {"pid": gone.pid})
            assert directory.served(gone.pid) == {"pid": gone.pid}
            gone.kill()
            os.waitid(os.P_PID, gone.pid, os.WEXITED | os.WNOWAIT)
            assert directory.served(gone.pid) == {}, "it is a zombie"
        assert directory.served(gone.pid) == {}, "it is no more"
    assert directory.served(directory.holder()) == {}
