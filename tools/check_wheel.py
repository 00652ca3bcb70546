"""Checks the wheel as its users get it: its size, what is in it, how fast it is imported, and that it works installed.

usage: python tools/check_wheel.py WHEEL --uv UV [--python PYTHON]

It is installed into a new environment by pip's way and run by uvx's, each with a home and a data directory of its own.
Dependencies come from the package index that the machine is set up with, in the versions of requirements.lock.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MEGABYTES = 5.0
IMPORT_MS = 50.0
WANTED = ("kloster/py.typed", "kloster/__init__.py", "kloster/cli/__main__.py", "kloster/kinds/data/1.37.zz")
CLOCK = "import time; began = time.perf_counter(); import kloster; print((time.perf_counter() - began) * 1000)"
TRIES = 7


class Wrong(Exception):
    """What was expected, and what was found."""


def contents(wheel: Path) -> str:
    """It is small and whole, and holds nothing but the package."""
    size = wheel.stat().st_size / 1e6
    names = zipfile.ZipFile(wheel).namelist()
    missing = [name for name in WANTED if name not in names]
    surplus = [name for name in names if not name.startswith("kloster")]
    if size >= MEGABYTES or missing or surplus:
        raise Wrong(f"{size:.1f} MB (less than {MEGABYTES:.0f} wanted); missing: {missing}; not ours: {surplus[:5]}")
    return f"{size:.1f} MB, {len(names)} files"


def installed(wheel: Path, uv: str, python: str, home: Path) -> str:
    """Installed into a new environment it is imported fast and runs."""
    environment = home / "environment"
    run([uv, "venv", "--quiet", "--python", python, str(environment)], home)
    run(
        [uv, "pip", "install", "--quiet", "--python", str(environment), "-c", str(constraints(home)), str(wheel)],
        home,
    )
    times = sorted(float(run([str(environment / "bin" / "python"), "-c", CLOCK], home)) for _ in range(TRIES))
    if times[0] >= IMPORT_MS:  # the best: a check of what it does, not of what else the machine does
        raise Wrong(
            f"import of kloster takes {times[0]:.0f} ms in the best of {TRIES} tries, {IMPORT_MS:.0f} are wanted"
        )
    use([str(environment / "bin" / "kloster")], home)
    return f"import in {times[0]:.1f} ms (median {times[TRIES // 2]:.1f}); create, list, delete, down work"


def without_installing(wheel: Path, uv: str, python: str, home: Path) -> str:
    """`uvx --from WHEEL kloster create dev`."""
    use([uv, "tool", "run", "--python", python, "-c", str(constraints(home)), "--from", str(wheel), "kloster"], home)
    return "create, list, delete, down work"


def constraints(home: Path) -> Path:
    """The locked versions, without hashes: what is installed here is not what is locked."""
    lines = (ROOT / "requirements.lock").read_text().splitlines()
    path = home / "constraints.txt"
    path.write_text("\n".join(line.rstrip(" \\") for line in lines if line[:1].isalnum()) + "\n")
    return path


def use(kloster: list[str], home: Path) -> None:
    """A user's first steps."""
    try:
        run([*kloster, "create", "dev"], home)
        listed = run([*kloster, "list", "-o", "name"], home)
        if listed != "virtualcluster.kloster.dev/dev\n":
            raise Wrong(f"after kloster create dev, kloster list says {listed!r}")
        if "current-context: kloster-dev" not in (home / ".kube" / "config").read_text():
            raise Wrong("kloster create dev has not selected a context")
        run([*kloster, "delete", "--all"], home)
    finally:
        run([*kloster, "down"], home)


def run(command: list[str], home: Path) -> str:
    """Run a command for a user who has nothing but this home. Raises Wrong with what it said."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    cache = os.environ.get("UV_CACHE_DIR") or str(Path.home() / ".cache" / "uv")
    environment = {**kept, "HOME": str(home), "KUBECONFIG": "", "UV_CACHE_DIR": cache}
    environment["KLOSTER_DATA_DIR"] = str(home / "fleet")
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, timeout=300, check=False)
    if done.returncode:
        raise Wrong(f"{' '.join(command)} ended with exit code {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--uv", default="uv", help="the uv to install with")
    parser.add_argument("--python", default=sys.executable)
    given = parser.parse_args()
    wheel, uv = given.wheel.resolve(), str(Path(given.uv).resolve()) if os.sep in given.uv else given.uv
    checks: dict[str, Callable[[Path], str]] = {
        "contents": lambda home: contents(wheel),
        "installed": lambda home: installed(wheel, uv, given.python, home),
        "uvx": lambda home: without_installing(wheel, uv, given.python, home),
    }
    failed = 0
    for name, check in checks.items():
        began = time.monotonic()
        with tempfile.TemporaryDirectory(prefix="kloster-wheel-") as home:
            try:
                print(f"✓ {name}: {check(Path(home))} ({time.monotonic() - began:.1f} s)", flush=True)
            except Wrong as wrong:
                failed += 1
                print(f"✗ {name}: {wrong}", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
