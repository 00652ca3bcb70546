"""Takes the README's picture: runs real commands in a terminal of its own and draws what they printed.

usage: python tools/docs/terminal.py [docs/images/terminal.svg]

Needs kubectl on PATH. HOME, KUBECONFIG and the data directory are new; the host is stopped afterwards.
"""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[2]
COLUMNS = 96
SHOWN = (
    "kloster create dev --kubernetes-version 1.34",
    "kubectl create deployment web --image=nginx --replicas=3",
    "kubectl rollout status deployment/web",
    "kloster create old --kubernetes-version 1.31",
    "kubectl get pods --all-namespaces",
    "kloster list",
    "kloster connect --host -- kubectl get pods -A",
    "kloster disconnect",
)


def run(command: str, environment: dict[str, str]) -> str:
    """The command's output on a terminal."""
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-c", command], stdin=follower, stdout=follower, stderr=follower, env=environment, cwd=ROOT
    )
    os.close(follower)
    pieces: list[bytes] = []
    while True:
        try:
            piece = os.read(leader, 65536)
        except OSError:  # the last writer has gone
            break
        if not piece:
            break
        pieces.append(piece)
    os.close(leader)
    if process.wait():
        raise SystemExit(f"{command}: exit code {process.returncode}: {b''.join(pieces).decode()}")
    lines = b"".join(pieces).decode().replace("\r\n", "\n").split("\n")
    return "\n".join(line.rpartition("\r\x1b[K")[2] for line in lines).rstrip()


def main() -> int:
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images" / "terminal.svg"
    picture = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    with tempfile.TemporaryDirectory() as home:
        environment = {
            "HOME": home,
            "KLOSTER_DATA_DIR": f"{home}/kloster",
            "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
            "TERM": "xterm-256color",
            "COLUMNS": str(COLUMNS),
        }
        try:
            for command in SHOWN:
                picture.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
                picture.print(Text.from_ansi(run(command, environment)))
        finally:
            subprocess.run(["bash", "-c", "kloster down"], env=environment, check=False, capture_output=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    # The reader's own monospaced font: no font is fetched from anywhere.
    target.write_text(re.sub(r"@font-face \{.*?\}\s*", "", picture.export_svg(title="kloster"), flags=re.DOTALL))
    return 0


if __name__ == "__main__":
    sys.exit(main())
