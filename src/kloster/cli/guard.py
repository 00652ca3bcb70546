"""Ends the commands of a `kloster run` that was killed itself. Run by its path; imports the standard library alone.

It reads lines ``+GROUP`` and ``-GROUP`` (process groups that have begun and ended). When its input ends, whoever wrote
it has ended, however that came about: the groups that are left are killed.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        (groups.add if line[0] == "+" else groups.discard)(int(line[1:]))
    for group in groups:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    main()
