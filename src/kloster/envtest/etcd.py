"""The process called etcd: answers probes at once, then becomes the control plane.

Bind, then load: the sockets are there within milliseconds and a thread answers ``/health``, while the main thread
loads the API server (`plane`, by name: importing it above would make the first probe wait for it). There is no etcd
behind the client port: whoever speaks etcd's own protocol to it is hung up on.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import socket
import stat
import sys
import threading
import urllib.parse
from pathlib import Path

from kloster.envtest import etcdflags, shim

VERSION = "3.6.5"
"""What etcd's version is said to be."""

_PAGES = {
    b"/health": b'{"health":"true","reason":""}',
    b"/livez": b"ok\n",
    b"/readyz": b"ok\n",
    b"/version": b'{"etcdserver":"%b","etcdcluster":"3.6.0","storage":"3.6.0"}' % VERSION.encode(),
}


class CannotStart(Exception):
    """The text says why."""


def main(arguments: list[str]) -> int:
    """Run until SIGTERM, SIGINT, or until the parent is gone. `arguments`: Kubernetes' version, then etcd's flags."""
    version, *arguments = arguments
    if arguments and arguments[0] in ("--version", "-version"):
        print(f"etcd Version: {VERSION}\nGit SHA: Kloster")
        return 0
    try:
        flags = etcdflags.parse(arguments)
        listening = [bind(url) for url in flags.get("listen-client-urls", "http://localhost:2379").split(",")]
        controls = [bind_control(*one.getsockname()[:2]) for one in listening]
    except etcdflags.FlagError as error:
        print(error, file=sys.stderr)
        return 2
    except (CannotStart, OSError) as error:
        print(f"E {error}", file=sys.stderr)
        return 1
    paths = [one.getsockname() for one in controls]
    kept = Path(flags.get("data-dir", ""), "member")
    if flags.get("data-dir") and kept.exists():
        print(f"W {kept} is not read: state is kept in memory and begins empty", file=sys.stderr)
    for one in listening:
        threading.Thread(target=answer_probes, args=(one,), daemon=True).start()
    try:
        gc.disable()  # nothing that loading makes is garbage; `plane` switches it on again
        plane = importlib.import_module("kloster.envtest.plane")
        plane.run(controls, version, parent())
    finally:
        for path in paths:
            Path(path).unlink(missing_ok=True)
    return 0


def parent() -> int:
    """Whose end is the end of this process; 0: nobody's."""
    if os.environ.get("KLOSTER_ENVTEST_KEEP"):
        return 0
    return int(os.environ.get("KLOSTER_PARENT", "0")) or os.getppid()


def bind(url: str) -> socket.socket:
    """The client port. Raises CannotStart."""
    parsed = urllib.parse.urlsplit(url)
    if parsed.scheme != "http" or parsed.port is None:
        raise CannotStart(f"listen-client-urls: {url}: only http://HOST:PORT is supported")
    family = socket.AF_INET6 if ":" in (parsed.hostname or "") else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((parsed.hostname or "", parsed.port))
        listening.listen(128)
    except OSError as error:
        listening.close()
        raise CannotStart(f"listen tcp {parsed.netloc}: {error.strerror}") from error
    return listening


def bind_control(host: str, port: int) -> socket.socket:
    """Where kube-apiservers come. The TCP port is ours, so a socket of that name was left behind by somebody dead."""
    path = Path(shim.control_path(host, port))
    with contextlib.suppress(FileExistsError):
        path.parent.mkdir(mode=0o700)
    found = path.parent.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise CannotStart(f"{path.parent} is not a private directory of yours; remove it, or set TMPDIR")
    path.unlink(missing_ok=True)
    control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    control.bind(str(path))
    control.listen(16)
    control.setblocking(False)
    return control


def answer_probes(listening: socket.socket) -> None:
    """One after the other, each within a second: there is nothing to wait for."""
    while True:
        accepted, _ = listening.accept()
        with accepted, contextlib.suppress(OSError):
            accepted.settimeout(1.0)
            accepted.sendall(_page(accepted.recv(4096)))


def _page(request: bytes) -> bytes:
    method, _, rest = request.partition(b" ")
    body = _PAGES.get(rest.partition(b" ")[0].partition(b"?")[0]) if method in (b"GET", b"HEAD") else None
    status = b"404 Not Found" if body is None else b"200 OK"
    body = b"404 page not found\n" if body is None else body
    kind = b"application/json" if body.startswith(b"{") else b"text/plain; charset=utf-8"
    head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return head % (status, kind, len(body)) + (b"" if method == b"HEAD" else body)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
