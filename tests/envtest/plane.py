"""Starting the executables as envtest does: etcd, its probe, kube-apiserver, its probe; and ending them."""

from __future__ import annotations

import signal
import socket
import ssl
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from kloster.apiserver import pki
from kloster.envtest import assets

MINOR = "1.34"
PATIENCE = 60.0


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_ok(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Poll as envtest does. False: the process ended before."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        try:
            with urllib.request.urlopen(url, timeout=5, context=context if url.startswith("https") else None) as answer:
                return bool(answer.status == 200)
        except OSError:
            if process.poll() is not None:
                return False
            time.sleep(0.05)
    raise TimeoutError(url)


@dataclass
class Envtest:
    """The directories, keys and ports of one environment; what `start` started."""

    folder: Path
    executables: Path

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.etcd_port, self.port = free_port(), free_port()
        now = time.time()
        serving, self.clients, signer = (pki.Authority.create(name, now) for name in ("serving", "clients", "signer"))
        pair = serving.serving(["localhost", "127.0.0.1"], now)
        self._save("apiserver.crt", pair.certificate)
        self._save("apiserver.key", pair.key)
        self._save("client-cert-auth-ca.crt", self.clients.certificate)
        self._save("sa-signer.crt", signer.certificate)
        self._save("sa-signer.key", signer.pair().key)
        self._save("serving-ca.crt", serving.certificate)
        self.add_user("admin", "system:masters")
        self.processes: list[subprocess.Popen[bytes]] = []

    def _save(self, name: str, content: bytes) -> None:
        (self.folder / name).write_bytes(content)

    def add_user(self, name: str, *groups: str) -> None:
        """As envtest's AddUser: a certificate of its own CA, made whenever somebody wants one."""
        pair = self.clients.client(name, groups, time.time())
        self._save(f"{name}.pem", pair.certificate + pair.key)

    def spawn(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        command = [str(self.executables / program), *arguments]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, cwd=self.folder)
        self.processes.append(process)
        return process

    def start_etcd(self) -> subprocess.Popen[bytes]:
        url = f"http://127.0.0.1:{self.etcd_port}"
        process = self.spawn(
            "etcd",
            f"--advertise-client-urls={url}",
            f"--data-dir={self.folder}",
            f"--listen-client-urls={url}",
            "--listen-peer-urls=http://127.0.0.1:0",
            "--unsafe-no-fsync=true",
        )
        assert wait_ok(f"{url}/health", process)
        return process

    def flags(self, **changes: str) -> list[str]:
        """What controller-runtime v0.22 passes; `changes` replace or add (underscores are hyphens)."""
        given = {
            "allow-privileged": "true",
            "authorization-mode": "RBAC",
            "bind-address": "127.0.0.1",
            "cert-dir": str(self.folder),
            "client-ca-file": str(self.folder / "client-cert-auth-ca.crt"),
            "disable-admission-plugins": "ServiceAccount",
            "etcd-servers": f"http://127.0.0.1:{self.etcd_port}",
            "secure-port": str(self.port),
            "service-account-issuer": f"https://127.0.0.1:{self.port}/",
            "service-account-key-file": str(self.folder / "sa-signer.crt"),
            "service-account-signing-key-file": str(self.folder / "sa-signer.key"),
            "service-cluster-ip-range": "10.0.0.0/24",
            **{name.replace("_", "-"): value for name, value in changes.items()},
        }
        return [f"--{name}={value}" for name, value in given.items()]

    def start_apiserver(self, arguments: Sequence[str] | None = None) -> subprocess.Popen[bytes]:
        process = self.spawn("kube-apiserver", *(self.flags() if arguments is None else arguments))
        assert wait_ok(f"https://127.0.0.1:{self.port}/healthz", process), process.communicate()[1].decode()
        return process

    def ask(
        self, path: str, body: Any = None, *, user: str = "admin", token: str = "", method: str = ""
    ) -> tuple[int, Any]:
        """(status, decoded answer) of a request by the user with a certificate, or with a token."""
        context = ssl.create_default_context(cafile=str(self.folder / "serving-ca.crt"))
        headers = {"Content-Type": "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        elif user:
            context.load_cert_chain(self.folder / f"{user}.pem")
        data = None if body is None else orjson.dumps(body)
        url = f"https://127.0.0.1:{self.port}{path}"
        request = urllib.request.Request(url, data, headers, method=method or ("POST" if data else "GET"))
        try:
            with urllib.request.urlopen(request, timeout=30, context=context) as answer:
                return answer.status, _decoded(answer.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read())

    def stop(self) -> None:
        for process in reversed(self.processes):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            process.communicate(timeout=PATIENCE)
        self.processes.clear()


def _decoded(text: bytes) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text.decode()


@contextmanager
def environment(folder: Path, executables: Path) -> Iterator[Envtest]:
    """An environment; what runs at the end is stopped."""
    made = Envtest(folder, executables)
    try:
        yield made
    finally:
        made.stop()


def executables(folder: Path, minor: str = MINOR) -> Path:
    """The assets directory."""
    assets.write(folder, minor)
    return folder
