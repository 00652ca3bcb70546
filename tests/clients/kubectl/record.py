"""Record the golden files: run the corpus against a real server.

  .venv/bin/python -m tests.clients.kubectl.record --kubeconfig FILE [SCENARIO…]

The server should be fresh, with a controller manager and a scheduler but without nodes, and nobody else's.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from tests.clients import build
from tests.clients.kubectl import scenario as scenarios


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--show", action="store_true", help="print what is recorded")
    parser.add_argument("scenarios", nargs="*")
    arguments = parser.parse_args()
    binary = build.kubectl()
    for one in scenarios.corpus():
        if arguments.scenarios and one.name not in arguments.scenarios:
            continue
        with tempfile.TemporaryDirectory(prefix="k") as directory:
            version = scenarios.Kubectl(binary, arguments.kubeconfig, Path(directory)).raw("version -o yaml")
            minor = version.split("serverVersion:")[1].split("gitVersion: v")[1].split("\n")[0]
            minor = ".".join(minor.split(".")[:2])
            results = [result for _, result in scenarios.play(one, binary, arguments.kubeconfig, Path(directory))]
        scenarios.write_golden(minor, one, results)
        print(f"{one.name}: {len(results)} steps")
        if arguments.show:
            print((scenarios.GOLDEN / minor / f"{one.name}.yaml").read_text())


if __name__ == "__main__":
    main()
