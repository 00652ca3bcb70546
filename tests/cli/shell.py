"""Running `kloster` as people do: as a command, in a home of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

TIMEOUT = 60
KLOSTER = (sys.executable, "-m", "kloster.cli")


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


class Shell:
    """A home, a data directory, an environment. `before` is what commands are begun with, such as nsenter."""

    def __init__(self, home: Path, data: Path, before: Sequence[str] = ()) -> None:
        self.kloster = [*before, *KLOSTER]
        self.home = home
        self.data = data
        home.mkdir(parents=True, exist_ok=True)
        self.environment = {
            **{name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ},
            "HOME": str(home),
            "KLOSTER_DATA_DIR": str(data),
        }

    @property
    def kubeconfig(self) -> Path:
        return self.home / ".kube" / "config"

    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = yaml.safe_load(self.kubeconfig.read_text())
        return found

    def run(self, *arguments: str, **environment: str) -> Result:
        """Run `kloster`, to its end."""
        done = subprocess.run(
            [*self.kloster, *arguments],
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return Result(done.returncode, done.stdout, done.stderr)

    def ok(self, *arguments: str, **environment: str) -> Result:
        """Run `kloster`; it must succeed."""
        done = self.run(*arguments, **environment)
        assert done.code == 0, (arguments, done, self.log())
        return done

    def fails(self, *arguments: str, **environment: str) -> str:
        """Run `kloster`; it must fail with one message, which is returned."""
        done = self.run(*arguments, **environment)
        assert done.code == 1, (arguments, done)
        assert done.err.startswith("error: "), done
        assert "Traceback" not in done.err
        return done.err.removeprefix("error: ").strip()

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        """Start `kloster` and go on."""
        return subprocess.Popen(
            [*self.kloster, *arguments],
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            stdin=subprocess.DEVNULL,
        )

    def pid(self) -> int:
        """The fleet's process."""
        return int(self.ok("status", "-o", "json").json()["pid"])

    def kill(self) -> None:
        """End the fleet's process as a crash does."""
        pid = self.pid()
        os.kill(pid, signal.SIGKILL)
        wait(lambda: not running(pid))

    def log(self) -> str:
        path = self.data / "log"
        return path.read_text()[-4000:] if path.exists() else ""


def running(pid: int) -> bool:
    """Whether the process is there and no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def wait(so: Callable[[], object], seconds: float = 30.0) -> None:
    ends = time.monotonic() + seconds
    while not so():
        assert time.monotonic() < ends, "it never came to be"
        time.sleep(0.02)
