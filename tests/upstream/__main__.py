"""``python -m tests.upstream VERSION [--bin FOLDER]…``: a real API server until Ctrl-C; prints its kubeconfig."""

from __future__ import annotations

import argparse
import signal
from pathlib import Path

from tests.upstream.components import RELEASES
from tests.upstream.server import running


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.upstream", description="A real API server until Ctrl-C.")
    parser.add_argument("version", choices=sorted(RELEASES), help="minor version")
    parser.add_argument("--bin", type=Path, action="append", default=[], help="folder with built programs (repeat)")
    asked = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with running(asked.version, asked.bin) as server:
        print(f"{server.version} is ready: export KUBECONFIG={server.kubeconfig}", flush=True)
        try:
            signal.pause()
        except KeyboardInterrupt:
            print("ending")


if __name__ == "__main__":
    main()
