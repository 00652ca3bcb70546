"""Starting a fleet's process in the background and waiting until it is ready."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kloster.fleet.datadir import DataDir

TIMEOUT = 60.0


class LaunchError(Exception):
    """The process did not come up; the text says why."""


@dataclass(frozen=True, slots=True)
class Launched:
    """What the process said when it was ready, and the process, a child of this one."""

    state: dict[str, Any]
    process: subprocess.Popen[bytes]


def detached(directory: DataDir, arguments: Sequence[str], lifeline: int = -1) -> Launched:
    """Start ``python -m kloster.fleet`` for this directory; when this returns, it is ready.

    The process gets a session of its own, its output goes to the directory's log; readiness comes over a pipe, which
    ends early if the process does. If waiting is interrupted, the process is ended.
    lifeline    descriptor of a pipe's reading end; the process ends when nobody holds the other one any longer
    Raises LaunchError, DataDirError.
    """
    directory.prepare()
    read_end, write_end = os.pipe()
    log = os.open(directory.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    command = [sys.executable, "-m", "kloster.fleet", "--data-dir", str(directory.root), "--ready-fd", str(write_end)]
    passed = [write_end]
    if lifeline >= 0:
        command += ["--lifeline-fd", str(lifeline)]
        passed.append(lifeline)
    try:
        process = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=passed,
            cwd="/",
        )
    finally:
        os.close(write_end)
        os.close(log)
    try:
        return Launched(_wait(process, read_end, directory.log), process)
    except BaseException:
        _end(process)
        raise
    finally:
        os.close(read_end)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], read_end: int, log: Path) -> dict[str, Any]:
    text = b""
    ends = time.monotonic() + TIMEOUT
    while True:
        left = ends - time.monotonic()
        if left <= 0:
            raise LaunchError(f"the host was not ready after {TIMEOUT:.0f} s; its log: {log}")
        if not select.select([read_end], [], [], left)[0]:
            continue
        part = os.read(read_end, 65536)
        if part:
            text += part
            continue
        if text:
            answer: dict[str, Any] = json.loads(text)
            if "error" in answer:
                process.wait(timeout=10)
                raise LaunchError(str(answer["error"]))
            return answer
        process.wait(timeout=10)
        last = (log.read_text(errors="replace").strip().splitlines() or [""])[-1][:300]
        raise LaunchError(
            f"the host ended with exit code {process.returncode} before it was ready; its log: {log}\n  {last}"
        )
