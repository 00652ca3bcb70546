"""``python -m tools.reference 1.34 [--server-kubeconfig FILE] [--without-go] [--source DIRECTORY]``: a minor's data."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from tools.reference import openapi, packing, server

_ROOT = Path(__file__).parents[2]
_DATA = _ROOT / "src" / "kloster" / "kinds" / "data"
_SOURCE = _ROOT.parent / "shared" / "reference" / "upstream"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.reference", description=__doc__)
    parser.add_argument("versions", nargs="+", metavar="VERSION", help="minor versions such as 1.34")
    parser.add_argument("--source", type=Path, default=_SOURCE, help="where the recordings are, one folder a minor")
    parser.add_argument("--server-kubeconfig", type=Path, help="first record a fresh, real server of that minor")
    parser.add_argument("--without-go", action="store_true", help="keep what openapi-facts.json says about the minor")
    parser.add_argument("--target", type=Path, default=_DATA, help="where the packed files go")
    arguments = parser.parse_args()
    if arguments.server_kubeconfig and len(arguments.versions) != 1:
        parser.error("one server has one version: give exactly one VERSION with --server-kubeconfig")
    if not arguments.without_go and shutil.which("go") is None:
        parser.error("Go is not on PATH; it reads upstream's definitions. --without-go keeps what is known of them")
    arguments.target.mkdir(parents=True, exist_ok=True)
    for minor in arguments.versions:
        folder = arguments.source / minor
        if arguments.server_kubeconfig:
            server.record(minor, arguments.server_kubeconfig, folder)
        if not (folder / "version.json").exists():
            parser.error(f"there is no recording of {minor} in {arguments.source}; make one with --server-kubeconfig")
        print(generate(minor, folder, arguments.target, read_go=not arguments.without_go))


def generate(minor: str, folder: Path, target: Path, *, read_go: bool) -> str:
    """Pack the recordings in `folder`; returns a line that says what was written.

    The facts from Go are told apart by what the packed types say already, hence pack, read, pack.
    """
    told = packing.pack(minor, folder, target)
    if not read_go:
        return told
    version = json.loads((folder / "version.json").read_bytes())["version"]["gitVersion"]
    openapi.update(minor, version.removeprefix("v"), target)
    return packing.pack(minor, folder, target)


if __name__ == "__main__":
    main()
