"""A real kube-apiserver with its etcd, on loopback, for as long as a block lasts.

No controllers run beside it: what a request leaves stays as it is, so that answers depend on the requests alone.
Everything lies in one temporary folder, which goes with the server.
"""

from __future__ import annotations

import http.client
import json
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from cryptography.hazmat.primitives import serialization
from tests.upstream.components import component

from kloster.apiserver.pki import Authority, Pair, new_key

READY_SECONDS = 60.0
END_SECONDS = 20.0


class StartError(Exception):
    """A program ended or did not answer in time; the text has the end of its log."""


@dataclass(frozen=True)
class Upstream:
    """A running server. `kubeconfig` holds an administrator's certificate, `version` what /version says."""

    port: int
    kubeconfig: Path
    version: str


@contextmanager
def running(minor: str, given: Sequence[Path] = ()) -> Iterator[Upstream]:
    """Start etcd and the kube-apiserver of `minor`, wait until it is ready, end both afterwards."""
    programs = {name: component(name, minor, given) for name in ("etcd", "kube-apiserver")}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kloster-upstream-")))
        identities = _write_identities(folder)
        store, peers, port = _free_ports(3)
        etcd = [str(programs["etcd"]), *_etcd_flags(folder, store, peers)]
        stack.enter_context(_process(etcd, folder / "etcd.log"))
        command = [str(programs["kube-apiserver"]), *_apiserver_flags(folder, store, port)]
        server = stack.enter_context(_process(command, folder / "apiserver.log"))
        version = _wait_ready(port, identities, server, folder / "apiserver.log")
        yield Upstream(port, _write_kubeconfig(folder, port), version)


def _write_identities(folder: Path) -> ssl.SSLContext:
    now = time.time()
    authority = Authority.create("upstream", now)
    key, account = folder / "ca.key", folder / "accounts.key"
    (folder / "ca.crt").write_bytes(authority.certificate)
    key.touch(0o600)
    key.write_bytes(authority.pair().key)
    account.touch(0o600)
    account.write_bytes(_account_key())
    _write(folder, "server", authority.serving(["localhost", "127.0.0.1", "10.0.0.1"], now))
    _write(folder, "admin", authority.client("admin", ["system:masters"], now))
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    return context


def _account_key() -> bytes:
    """In SEC 1's form, from which the server reads the public key as well."""
    form, none = serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    return new_key().private_bytes(serialization.Encoding.PEM, form, none)


def _write(folder: Path, name: str, pair: Pair) -> None:
    (folder / f"{name}.crt").write_bytes(pair.certificate)
    key = folder / f"{name}.key"
    key.touch(0o600)
    key.write_bytes(pair.key)


def _free_ports(count: int) -> list[int]:
    """Ports that were free just now; held together, so that they differ."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [each.getsockname()[1] for each in sockets]


def _etcd_flags(folder: Path, client: int, peers: int) -> list[str]:
    here, others = f"http://127.0.0.1:{client}", f"http://127.0.0.1:{peers}"
    return [
        f"--data-dir={folder / 'etcd'}",
        f"--listen-client-urls={here}",
        f"--advertise-client-urls={here}",
        f"--listen-peer-urls={others}",
        f"--initial-advertise-peer-urls={others}",
        f"--initial-cluster=default={others}",
        "--unsafe-no-fsync",
    ]


def _apiserver_flags(folder: Path, store: int, port: int) -> list[str]:
    return [
        f"--etcd-servers=http://127.0.0.1:{store}",
        f"--secure-port={port}",
        "--bind-address=127.0.0.1",
        f"--client-ca-file={folder / 'ca.crt'}",
        f"--tls-cert-file={folder / 'server.crt'}",
        f"--tls-private-key-file={folder / 'server.key'}",
        f"--service-account-key-file={folder / 'accounts.key'}",
        f"--service-account-signing-key-file={folder / 'accounts.key'}",
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
        "--service-cluster-ip-range=10.0.0.0/24",
        "--authorization-mode=Node,RBAC",
        "--enable-bootstrap-token-auth",
        "--allow-privileged",
        "--endpoint-reconciler-type=none",
        f"--requestheader-client-ca-file={folder / 'ca.crt'}",
        "--requestheader-allowed-names=front-proxy",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
    ]


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """In a session of its own: what is sent to the terminal ends neither server before its turn."""
    with log.open("wb") as out:
        process = _started(command, out)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait(END_SECONDS)


def _started(command: list[str], out: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
    )


def _wait_ready(port: int, tls: ssl.SSLContext, process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError, http.client.HTTPException):
            if _get(port, tls, "/readyz")[0] == 200:
                return str(json.loads(_get(port, tls, "/version")[1])["gitVersion"])
        time.sleep(0.1)
    tail = log.read_text(errors="replace")[-2000:]
    raise StartError(f"kube-apiserver was not ready within {READY_SECONDS:.0f} s:\n{tail}")


def _get(port: int, tls: ssl.SSLContext, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=tls, timeout=5)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def _write_kubeconfig(folder: Path, port: int) -> Path:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": "upstream",
                "cluster": {
                    "server": f"https://127.0.0.1:{port}",
                    "certificate-authority": str(folder / "ca.crt"),
                },
            }
        ],
        "users": [
            {
                "name": "admin",
                "user": {
                    "client-certificate": str(folder / "admin.crt"),
                    "client-key": str(folder / "admin.key"),
                },
            }
        ],
        "contexts": [{"name": "upstream", "context": {"cluster": "upstream", "user": "admin"}}],
        "current-context": "upstream",
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config, indent=1))
    return path
