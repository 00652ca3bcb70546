"""The process called kube-apiserver: hands its flags to the control plane and stands for its listener.

Run by its path with ``python -I -S``: it imports the standard library alone, so that it is there within
milliseconds. Whoever starts it sees what a kube-apiserver shows: it lives while the API is served, writes what went
wrong to its standard error, ends with 0 on SIGTERM and with 1 when it cannot serve. When its parent is gone it ends
too (a test that was killed leaves nothing behind), unless KLOSTER_ENVTEST_KEEP is set.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import sys
import urllib.parse

LOOK_EVERY = 0.5
"""Seconds between two looks at whether the parent is still there."""

LONGEST = 45
"""Bytes of a directory for sockets: their paths may have about a hundred, of which IPv6 addresses take many."""


def control_path(host: str, port: int) -> str:
    """The control socket of the etcd that listens on `host`:`port`, in a directory that is this user's alone."""
    folder = os.environ.get("TMPDIR") or "/tmp"
    if len(os.fsencode(folder)) > LONGEST or not os.access(folder, os.W_OK | os.X_OK):
        folder = "/tmp"  # both processes come to the same conclusion
    return f"{folder}/kloster-envtest-{os.geteuid()}/{port}.{host or 'any'}.sock"


def main(arguments: list[str]) -> int:
    """`arguments`: the version, then the flags."""
    version, given = arguments[0], arguments[1:]
    if given in (["--version"], ["--version=true"]):
        print(f"Kubernetes {version}")
        return 0
    parent = int(os.environ.get("KLOSTER_PARENT", "0")) or os.getppid()
    wakeup, stopping = socket.socketpair()
    stopping.setblocking(False)
    signal.set_wakeup_fd(stopping.fileno())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    control = connect(given)
    if control is None:
        command = [sys.executable, "-I", "-m", "kloster.envtest", version, *given]
        os.execv(sys.executable, command)
    with control:
        request = {"version": version, "arguments": given, "directory": os.getcwd()}  # noqa: PTH109  pathlib takes 10 ms to load
        control.sendall(json.dumps(request).encode() + b"\n")
        return stand(control, wakeup, parent)


def connect(arguments: list[str]) -> socket.socket | None:
    """The control plane that the flags' etcd is. None: that is somebody else's etcd, or the flags name none."""
    for server in servers(arguments):
        control = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            url = urllib.parse.urlsplit(server)
            path = control_path(url.hostname or "", url.port or 2379)
            if os.lstat(path).st_uid != os.geteuid():
                raise PermissionError(path)  # somebody else's, made to be found
            control.connect(path)
        except (OSError, ValueError):
            control.close()
            continue
        return control
    return None


def servers(arguments: list[str]) -> list[str]:
    """The values of --etcd-servers. What is wrong with the flags is told by the control plane."""
    found: list[str] = []
    for index, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in ("--etcd-servers", "-etcd-servers"):
            found += (value if equals else "".join(arguments[index + 1 : index + 2])).split(",")
    return [one for one in found if one]


def stand(control: socket.socket, wakeup: socket.socket, parent: int) -> int:
    """Until the API ends: by a signal, with the parent, or because the control plane says so."""
    buffer = b""
    ending = False
    while True:
        ready, _, _ = select.select([control, wakeup], [], [], LOOK_EVERY)
        if wakeup in ready:
            wakeup.recv(64)
        orphaned = os.getppid() != parent and not os.environ.get("KLOSTER_ENVTEST_KEEP")
        if not ending and (wakeup in ready or orphaned):
            ending = True
            control.shutdown(socket.SHUT_WR)
        if control not in ready:
            continue
        data = control.recv(65536)
        if not data:
            if not ending:
                print("E the control plane (etcd) is gone", file=sys.stderr)
            return 0 if ending else 1
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            message = json.loads(line)
            if "log" in message:
                print(message["log"], file=sys.stderr, flush=True)
            if "exit" in message:
                return int(message["exit"])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
