"""Follows a tutorial literally: runs every ``$`` line of its console blocks, in order, in one shell.

usage: python tools/docs/follow.py docs/tutorial.md [--from HEADING]

HOME and KUBECONFIG are new and empty, so nothing of yours is touched. A command that fails ends it with exit code 1 and
what the command said. `--skip` leaves out blocks before a heading (for those who have the environment already).
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def commands(text: str, skip: str) -> list[str]:
    """The lines behind ``$`` of all console blocks after the heading that contains `skip`."""
    if skip:
        text = text[text.index(skip) :]
    blocks = re.findall(r"```console\n(.*?)```", text, re.DOTALL)
    return [line[2:] for block in blocks for line in block.splitlines() if line.startswith("$ ")]


def follow(lines: list[str], home: Path) -> int:
    """Run the commands; the first that fails ends it."""
    environment = {
        **os.environ,
        "HOME": str(home),
        "KUBECONFIG": "",
        "KLOSTER_DATA_DIR": str(home / "kloster"),
        "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
    }
    for line in lines:
        began = time.monotonic()
        done = subprocess.run(
            ["bash", "-c", line], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
        print(f"$ {line}    # {time.monotonic() - began:.1f} s")
        print(done.stdout + done.stderr, end="", flush=True)
        if done.returncode:
            print(f"exit code {done.returncode}")
            return 1
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("page", type=Path)
    parser.add_argument("--skip", default="", help="begin at the heading that contains this")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        lines = commands(options.page.read_text(), options.skip)
        try:
            return follow(lines, Path(home))
        finally:
            environment = {**os.environ, "KLOSTER_DATA_DIR": f"{home}/kloster", "HOME": home}
            subprocess.run([ROOT / ".venv/bin/kloster", "down"], env=environment, capture_output=True, check=False)


if __name__ == "__main__":
    sys.exit(main())
