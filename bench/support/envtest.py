"""A control plane started as controller-runtime's envtest starts it: same flags, same probes, same pauses.

What is here was read from controller-runtime 0.22: etcd is asked for ``--help`` (does it have ``--unsafe-no-fsync``?),
started, and probed every 100 ms; kube-apiserver is asked for ``--help``, started, and probed likewise; then namespace
default is asked for every 50 ms until it is there. Nothing else runs. So it serves for the real executables and for
anybody's who take their place.
"""

from __future__ import annotations

import base64
import re
import resource
import signal
import socket
import ssl
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kloster.apimachinery.errors import StatusError
from kloster.apiserver import pki
from kloster.client.blocking import Blocking
from support import processes

PATIENCE = 60.0
PROBE_EVERY = 0.1
LOOK_EVERY = 0.05
PROGRAMS = ("kube-apiserver", "etcd")


@dataclass
class Envtest:
    """Lends clusters that are control planes of their own, from the executables in `assets`.

    fsync       whether etcd syncs what it writes; envtest switches that off
    more        further flags of kube-apiserver
    directory   where their files are; None: the system's temporary directory, as in envtest
    """

    name: str
    assets: Path
    fsync: bool = False
    more: Sequence[str] = ()
    directory: Path | None = None
    _running: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        missing = [program for program in PROGRAMS if not (self.assets / program).exists()]
        if missing:
            raise SystemExit(f"{self.assets} has no {' and no '.join(missing)}")

    def pids(self) -> tuple[int, ...]:
        return tuple(process.pid for process in self._running)

    def cpu_seconds(self) -> float:
        """Of all processes so far, those that have ended included."""
        ended = resource.getrusage(resource.RUSAGE_CHILDREN)
        return processes.cpu_seconds(self.pids()) + ended.ru_utime + ended.ru_stime

    @contextmanager
    def lend(self) -> Iterator[Blocking]:
        """A fresh control plane, for a member of system:masters."""
        began = len(self._running)
        with tempfile.TemporaryDirectory(prefix="k8s_test_framework_", dir=self.directory) as folder:
            etcd, certificates = Path(folder, "etcd"), Path(folder, "apiserver")
            etcd.mkdir()
            certificates.mkdir()
            try:
                api = self._start(etcd, certificates)
                yield api
                api.close()
            finally:
                for process in reversed(self._running[began:]):
                    _end(process)
                del self._running[began:]

    def _start(self, data: Path, folder: Path) -> Blocking:
        etcd_url = f"http://127.0.0.1:{_free_port()}"
        flags = {
            "advertise-client-urls": etcd_url,
            "data-dir": str(data),
            "listen-client-urls": etcd_url,
            "listen-peer-urls": f"http://127.0.0.1:{_free_port()}",
        }
        if self._has_flag("etcd", "unsafe-no-fsync") and not self.fsync:
            flags["unsafe-no-fsync"] = "true"
        self._spawn("etcd", flags, f"{etcd_url}/health")
        port = _free_port()
        serving, clients, signer = (pki.Authority.create("envtest-environment", time.time()) for _ in range(3))
        pair = serving.serving(["localhost", "127.0.0.1"], time.time())
        for name, content in {
            "apiserver.crt": pair.certificate,
            "apiserver.key": pair.key,
            "client-cert-auth-ca.crt": clients.certificate,
            "sa-signer.crt": signer.certificate,
            "sa-signer.key": signer.pair().key,
        }.items():
            (folder / name).write_bytes(content)
        flags = {
            "allow-privileged": "true",
            "authorization-mode": "RBAC",
            "bind-address": "127.0.0.1",
            "cert-dir": str(folder),
            "client-ca-file": str(folder / "client-cert-auth-ca.crt"),
            "disable-admission-plugins": "ServiceAccount",
            "etcd-servers": etcd_url,
            "secure-port": str(port),
            "service-account-issuer": f"https://127.0.0.1:{port}/",
            "service-account-key-file": str(folder / "sa-signer.crt"),
            "service-account-signing-key-file": str(folder / "sa-signer.key"),
            "service-cluster-ip-range": "10.0.0.0/24",
        }
        if self._has_flag("kube-apiserver", "insecure-port"):
            flags["insecure-port"] = "0"
        self._spawn("kube-apiserver", flags, f"https://127.0.0.1:{port}/healthz", self.more)
        admin = clients.client("admin", ["system:masters"], time.time())
        api = Blocking(_kubeconfig(port, serving.certificate, admin), "bench")
        _wait_default_namespace(api)
        return api

    def _has_flag(self, program: str, flag: str) -> bool:
        done = subprocess.run([self.assets / program, "--help"], capture_output=True, text=True, check=True)
        return re.search(rf"(?m)^\s*--{flag}\b", done.stdout + done.stderr) is not None

    def _spawn(self, program: str, flags: dict[str, str], probe: str, more: Sequence[str] = ()) -> None:
        command = [str(self.assets / program), *(f"--{name}={value}" for name, value in sorted(flags.items())), *more]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, process_group=0)
        self._running.append(process)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        ends = time.monotonic() + PATIENCE
        while not _answers(probe, context if probe.startswith("https") else None):
            if process.poll() is not None or time.monotonic() > ends:
                raise RuntimeError(f"{program} did not start: {' '.join(command)}")
            time.sleep(PROBE_EVERY)


def _answers(url: str, context: ssl.SSLContext | None) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5, context=context) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _wait_default_namespace(api: Blocking) -> None:
    ends = time.monotonic() + PATIENCE
    while True:
        try:
            api.get("/api/v1/namespaces/default")
            return
        except StatusError:
            if time.monotonic() > ends:
                raise
            time.sleep(LOOK_EVERY)


def _kubeconfig(port: int, authority: bytes, user: pki.Pair) -> dict[str, Any]:
    def encoded(content: bytes) -> str:
        return base64.b64encode(content).decode()

    cluster = {"server": f"https://127.0.0.1:{port}", "certificate-authority-data": encoded(authority)}
    credentials = {"client-certificate-data": encoded(user.certificate), "client-key-data": encoded(user.key)}
    return {"clusters": [{"name": "envtest", "cluster": cluster}], "users": [{"name": "admin", "user": credentials}]}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _end(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
