"""``python -m tools.reference 1.34 [--source DIRECTORY] [--server-kubeconfig FILE]``."""

from __future__ import annotations

import argparse
from pathlib import Path

from tools.reference import packing, server

_DATA = Path(__file__).parents[2] / "src" / "kloster" / "kinds" / "data"
_SOURCE = Path("..") / "shared" / "reference" / "upstream"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.reference", description=__doc__)
    parser.add_argument("versions", nargs="+", metavar="VERSION", help="minor versions such as 1.34")
    parser.add_argument("--source", type=Path, default=_SOURCE, help="directory with one folder per minor")
    parser.add_argument("--server-kubeconfig", type=Path, help="first record a fresh, real server of that minor")
    parser.add_argument("--target", type=Path, default=_DATA, help="where the packed files go")
    arguments = parser.parse_args()
    if arguments.server_kubeconfig and len(arguments.versions) != 1:
        parser.error("one server has one version: give exactly one VERSION with --server-kubeconfig")
    arguments.target.mkdir(parents=True, exist_ok=True)
    for minor in arguments.versions:
        folder = arguments.source / minor
        if arguments.server_kubeconfig:
            server.record(minor, arguments.server_kubeconfig, folder)
        print(packing.pack(minor, folder, arguments.target))


if __name__ == "__main__":
    main()
