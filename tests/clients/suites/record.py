"""Record a suite: run it against a real server, and keep what was written about the tests that fail there.

  .venv/bin/python -m tests.clients.suites.record kopf --kubeconfig FILE
  .venv/bin/python -m tests.clients.suites.record kuberay-1.31 --assets DIR

The cluster should be fresh, with a controller manager and a scheduler, and nobody else's. DIR has upstream's
kube-apiserver, etcd and kubectl.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

from tests.clients import build
from tests.clients.suites import kopf, kuberay
from tests.clients.suites.results import HERE, PASSED, Outcome, Record


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", choices=(kopf.NAME, *kuberay.RUNS))
    parser.add_argument("--kubeconfig", type=Path)
    parser.add_argument("--assets", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="suite") as name:
        folder = Path(name)
        if arguments.suite == kopf.NAME:
            server = _version(arguments.kubeconfig)
            outcomes = kopf.run([arguments.kubeconfig.resolve()], build.kubectl(), folder)
            outcomes = {test: Outcome(one.state) for test, one in outcomes.items()}
        else:
            told = subprocess.run([arguments.assets / "kube-apiserver", "--version"], capture_output=True, check=True)
            server = told.stdout.decode().split()[-1]
            outcomes = kuberay.run_slowly(arguments.assets.resolve(), folder, kuberay.RUNS[arguments.suite][1])
    record = replace(_before(arguments.suite), outcomes=outcomes)
    record = replace(record, about={**record.about, "server": server})
    record.write()
    print(Counter(one.state for one in outcomes.values()))
    print("\n".join(f"{one.state}: {test}" for test, one in sorted(outcomes.items()) if one.state != PASSED))
    print("\n".join(record.unexplained()) or "every line is explained")


def _version(kubeconfig: Path) -> str:
    command = [build.kubectl(), "--kubeconfig", kubeconfig, "get", "--raw", "/version"]
    return str(json.loads(subprocess.run(command, capture_output=True, check=True).stdout)["gitVersion"])


def _before(name: str) -> Record:
    return Record.read(name) if (HERE / f"{name}.json").exists() else Record(name, {}, {}, (), (), ())


if __name__ == "__main__":
    main()
