"""Follows how-to pages literally, each in an empty environment: what the page says is all there is.

usage: python tools/docs/empty.py --wheel dist/kloster.whl --uv UV PAGE...

Each page gets a folder, a home and a directory for temporary files of its own, all empty, and one shell in which every
``$`` line of its console blocks is run. A block of another language is written to a file if the paragraph before it
begins with the file's name. Of this machine there are only Python, Go, what is on PATH beside the repository's
environment, and caches of downloads. ``pip install`` finds Kloster as the wheel, and other things in the versions of
requirements.lock. Where Python has no ensurepip (Debian), ``python3 -m venv`` is done by uv. At the end no process may
be left.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
AT_ONCE = 2
PATIENCE = 600.0
SETTLED = 0.5
"""Seconds after which what was begun last can be seen, and what was ending has ended."""
KEPT = ("PIP_", "UV_", "SSL_", "REQUESTS_", "HTTP_", "HTTPS_", "NO_PROXY", "http_", "https_", "no_proxy", "GO", "LC_")
NAMED = ("LANG", "TERM", "LOGNAME", "USER")
_BLOCK = re.compile(r"(?P<before>[^\n]*(?:\n[^\n]+)*)\n*\n```(?P<language>\w+)\n(?P<text>.*?)```", re.DOTALL)
_FILE = re.compile(r"`([\w.-]+\.\w+)`")


@dataclass(frozen=True, slots=True)
class Step:
    """Commands, or the text of a file if it has a name."""

    text: str
    file: str = ""


def steps(page: str) -> list[Step]:
    """What the page tells its reader to write and to run, in order."""
    found = []
    for block in _BLOCK.finditer(page):
        name = _FILE.match(block["before"].strip())
        if block["language"] == "console":
            found += [Step(line[2:]) for line in block["text"].splitlines() if line.startswith("$ ")]
        elif name is not None:
            found.append(Step(block["text"], name[1]))
    return found


def script(found: list[Step]) -> str:
    """The same for bash: one shell, so that what a command changes in it stays; the first that fails ends it."""
    parts = []
    for step in found:
        if step.file:
            parts += [f"echo '({step.file} is written)'", f"printf %s {shlex.quote(step.text)} >{step.file}"]
            continue
        line = shlex.quote(step.text)
        parts += [f"printf '$ %s\\n' {line}", "began=$EPOCHREALTIME", f"eval {line}", "code=$?"]
        parts.append('echo "    # $(( (${EPOCHREALTIME/[.,]/} - ${began/[.,]/}) / 1000 )) ms"')
        parts.append('[ $code = 0 ] || { echo "exit code $code"; exit 1; }')
    return "\n".join(parts) + "\n"


def environment(home: Path, wheel: Path, uv: str) -> dict[str, str]:
    """What an empty environment has, and how it finds the wheel."""
    given = {name: value for name, value in os.environ.items() if name.startswith(KEPT) or name in NAMED}
    tools = home / "bin"
    tools.mkdir()
    _python(tools / "python3", uv)
    if go := shutil.which("go"):
        for name in ("GOMODCACHE", "GOCACHE"):
            given[name] = subprocess.run([go, "env", name], capture_output=True, text=True, check=True).stdout.strip()
    folders = [one for one in os.environ["PATH"].split(":") if not Path(one).resolve().is_relative_to(ROOT)]
    constraints = home / "constraints.txt"
    constraints.write_text(_constraints(wheel))
    for name in ("home", "tmp", "work"):
        (home / name).mkdir()
    return {
        **given,
        "PATH": ":".join([str(tools), *folders]),
        "HOME": str(home / "home"),
        "TMPDIR": str(home / "tmp"),
        "PIP_FIND_LINKS": f"{wheel.parent} {given.get('PIP_FIND_LINKS', '')}".strip(),
        "PIP_CONSTRAINT": str(constraints),
        "PIP_CACHE_DIR": given.get("PIP_CACHE_DIR", str(Path.home() / ".cache" / "pip")),
        "PIP_NO_COMPILE": "1",  # compiles thousands of modules that nobody imports
        "PIP_QUIET": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "UV_CACHE_DIR": given.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv")),
    }


def _python(path: Path, uv: str) -> None:
    """A python3 outside of any environment."""
    base = shlex.quote(os.path.realpath(sys._base_executable))  # type: ignore[attr-defined]
    lines = ["#!/bin/sh"]
    if subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True, check=False).returncode:
        lines += [f'[ "$1 $2" != "-m venv" ] || exec {shlex.quote(uv)} venv --quiet --seed --python {base} "$3"']
    path.write_text("\n".join([*lines, f'exec {base} "$@"', ""]))
    path.chmod(0o755)


def _constraints(wheel: Path) -> str:
    """The locked versions, and Kloster in that of the wheel."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    locked = [line.rstrip(" \\") for line in lines if line[:1].isalnum()]
    return "\n".join([f"kloster=={wheel.name.split('-')[1]}", *locked]) + "\n"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether everything that the page says works, and what was seen meanwhile."""

    good: bool
    text: str


def follow(page: Path, wheel: Path, uv: str) -> Outcome:
    """Do what the page says, and end what it leaves running."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kloster-how-to-") as name:
        home = Path(name)
        given = environment(home, wheel, uv)
        seen = home / "seen"
        with seen.open("wb") as output:
            command = ["bash", "-c", script(steps(page.read_text()))]
            shell = subprocess.Popen(
                command, cwd=home / "work", env=given, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
            wrong = []
            try:
                if shell.wait(PATIENCE):
                    wrong.append("a command failed")
            except subprocess.TimeoutExpired:
                wrong.append(f"not done after {PATIENCE:.0f} s")
                shell.kill()
                shell.wait()
        time.sleep(SETTLED)
        for pid, command_line in _processes(home):
            wrong.append(f"still running: {command_line}")
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        text = seen.read_text(errors="replace")
    end = "; ".join(wrong) or "followed"
    return Outcome(not wrong, f"== {page}\n{text}== {end}, {time.monotonic() - began:.0f} s\n")


def _processes(home: Path) -> list[tuple[int, str]]:
    """(process id, command) of all that were started in this environment and still run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            if f"HOME={home}/home".encode() in (folder / "environ").read_bytes().split(b"\0"):
                found.append((int(folder.name), (folder / "cmdline").read_text().replace("\0", " ").strip()[:200]))
        except OSError:
            continue  # somebody else's, or gone
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path, nargs="+")
    parser.add_argument("--wheel", type=Path, required=True)
    parser.add_argument("--uv", default="uv", help="the uv that makes environments where Python cannot")
    given = parser.parse_args()
    uv = str(Path(given.uv).resolve()) if os.sep in given.uv else given.uv
    good = True
    with ThreadPoolExecutor(AT_ONCE) as executor:
        for outcome in executor.map(lambda page: follow(page, given.wheel.resolve(), uv), given.pages):
            print(outcome.text, flush=True)
            good = good and outcome.good
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
