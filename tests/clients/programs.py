"""A program that tells what it does as one JSON object a line, followed by a test."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

Event = dict[str, Any]
WAIT = 30.0


class Program:
    """A running program and everything that it has said."""

    def __init__(self, process: subprocess.Popen[str], errors: Path) -> None:
        self.said: list[Event] = []
        self._process = process
        self._errors = errors
        self._lines: queue.Queue[Event | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, name="reader", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.put(json.loads(line))
        self._lines.put(None)

    def wait(self, event: str, timeout: float = WAIT, **is_: Any) -> Event:
        """The next event of this name ("": any) with these fields, skipping others. Fails after `timeout` seconds."""
        ends = time.monotonic() + timeout
        while True:
            try:
                found = self._lines.get(timeout=max(0.01, ends - time.monotonic()))
            except queue.Empty:
                found = None
            if found is None:
                last = json.dumps(self.said[-12:], indent=1)
                raise AssertionError(
                    f"no {event} {is_} within {timeout} s; last said: {last}\n{self._errors.read_text()[-2000:]}"
                )
            self.said.append(found)
            matches = (not event or found["event"] == event) and all(
                found.get(key) == value for key, value in is_.items()
            )
            if matches:
                return found

    def drain(self, seconds: float) -> list[Event]:
        """What it says within this time."""
        ends = time.monotonic() + seconds
        found = []
        while (left := ends - time.monotonic()) > 0:
            try:
                one = self._lines.get(timeout=left)
            except queue.Empty:
                break
            if one is None:
                break
            found.append(one)
        self.said += found
        return found

    def end(self) -> int:
        """Close its standard input, at which it ends; kill it if it does not. Returns its exit code."""
        assert self._process.stdin is not None
        if not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            return self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=10)
            raise AssertionError("the program did not end with its standard input") from None

    def kill(self) -> None:
        """End it without a farewell."""
        self._process.kill()
        self._process.wait(timeout=10)


@contextmanager
def running(command: list[str], directory: Path, env: dict[str, str] | None = None) -> Iterator[Program]:
    """Start a program; it is ended when the block ends."""
    errors = directory / f"{Path(command[0]).name}.errors"
    with (
        errors.open("a") as stderr,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=directory,
            env=env,
        ) as process,
    ):
        program = Program(process, errors)
        try:
            yield program
        finally:
            if process.poll() is None:
                process.kill()
