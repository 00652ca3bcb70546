"""Cleans up after a `kloster run` that was killed itself. Run by its path; imports the standard library alone.

It reads lines: ``+GROUP`` and ``-GROUP`` (process groups that have begun and ended), ``=NAME`` (a cluster that is to
go), ``.`` (they have gone). When its input ends, whoever wrote it has ended, however that came about: the groups that
are left are killed, and the clusters deleted. Its arguments are Python's command for that, to which a name is added.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    clusters: list[str] = []
    for line in sys.stdin:
        match line[0], line[1:].strip():
            case "+", group:
                groups.add(int(group))
            case "-", group:
                groups.discard(int(group))
            case "=", name:
                clusters.append(name)
            case _:
                clusters.clear()
    for group in groups:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    for name in clusters if sys.argv[1:] else ():
        command = [sys.executable, *sys.argv[1:], name]
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


if __name__ == "__main__":
    main()
