"""Runs a command as a user who owns nothing here: ``python nobody.py [--offline] [--user NUMBER] COMMAND…``

Of root it becomes `nobody` (or NUMBER) without groups and capabilities, in a mount namespace of its own in which that
user can reach the interpreter and this checkout even if they lie in somebody's private home. Other users run it as
they are. With --offline there is no network but the loopback; where the system allows that to nobody, exit code 77.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import os
import socket
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWNET = 0x20000, 0x10000000, 0x40000000
SIOCGIFFLAGS, SIOCSIFFLAGS, UP = 0x8913, 0x8914, 1
CANNOT = 77
NOBODY = 65534
ROOT = Path(__file__).resolve().parents[1]


def unshare(flags: int) -> None:
    library = ctypes.CDLL(None, use_errno=True)
    if library.unshare(flags):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def go_offline() -> None:
    """A network of its own, whose loopback alone is up."""
    user, group = os.geteuid(), os.getegid()
    unshare(CLONE_NEWNET if user == 0 else CLONE_NEWNET | CLONE_NEWUSER)
    if user:
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        asked = struct.pack("16sh", b"lo", 0)
        flags = struct.unpack("16sh", fcntl.ioctl(control, SIOCGIFFLAGS, asked))[1]
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sh", b"lo", flags | UP))


def open_up(wanted: list[Path]) -> None:
    """Let everybody reach these folders: whatever private folder is in the way is replaced by one with them alone."""
    unshare(CLONE_NEWNS)
    mount("--make-rprivate", "/")
    while (closed := next(filter(None, map(in_the_way, wanted)), None)) is not None:
        inside = [path for path in wanted if path.is_relative_to(closed)]
        with tempfile.TemporaryDirectory() as stage:
            staged = [Path(stage, str(number)) for number in range(len(inside))]
            for path, place in zip(inside, staged, strict=True):
                place.mkdir()
                mount("--bind", str(path), str(place))
            mount("-t", "tmpfs", "-o", "mode=755", "none", str(closed))
            for path, place in zip(inside, staged, strict=True):
                path.mkdir(parents=True, exist_ok=True)
                mount("--bind", str(place), str(path))
                subprocess.run(["umount", str(place)], check=True)


def in_the_way(path: Path) -> Path | None:
    """The topmost folder on the way that others may not pass."""
    return next((one for one in reversed([path, *path.parents]) if not one.stat().st_mode & 0o001), None)


def mount(*arguments: str) -> None:
    subprocess.run(["mount", *arguments], check=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--offline", action="store_true")
    parser.add_argument("--user", type=int, default=NOBODY)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    given = parser.parse_args()
    if given.offline:
        try:
            go_offline()
        except OSError as error:
            print(f"the network cannot be taken away: {error.strerror}", file=sys.stderr)
            sys.exit(CANNOT)
    if os.geteuid() == 0 and given.user:
        open_up(list({Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), ROOT}))
        os.setgroups([])
        os.setgid(given.user)
        os.setuid(given.user)
    os.execvp(given.command[0], given.command)


if __name__ == "__main__":
    main()
