"""`kloster demo` does what it says, and the commands that it prints work."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.cli.shell import KLOSTER, Shell


def lines_after(out: str, mark: str) -> list[str]:
    return [line.partition(mark)[2].strip() for line in out.splitlines() if mark in line]


def test_it_cleans_up_and_says_how_to_connect(shell: Shell) -> None:
    told = shell.ok("demo", TMPDIR=str(shell.home)).out
    assert "✓ cluster demo, Kubernetes v1.34.4" in told
    assert "✓ cluster deleted; nothing is left on the host" in told
    assert f"{' '.join(KLOSTER)} create dev " in told
    assert f"{' '.join(KLOSTER)} demo --keep " in told
    assert list(shell.home.iterdir()) == []


def test_what_stays_is_connected_to_and_removed_with_the_commands_that_it_prints(shell: Shell) -> None:
    told = shell.ok("demo", "--keep", TMPDIR=str(shell.home)).out
    (connect,) = lines_after(told, "connect kubectl:")
    (remove,) = lines_after(told, "stop and remove:")
    (root,) = shell.home.glob("kloster-demo-*")
    try:
        subprocess.run(connect, shell=True, env=shell.environment, check=True)
        assert shell.config()["current-context"] == "kloster-demo"
        pods = "import yaml, sys; from kloster.cli.hostapi import HostAPI; " + (
            "print(len(HostAPI(yaml.safe_load(open(sys.argv[1]))).get('/api/v1/namespaces/shop/pods')['items']))"
        )
        counted = subprocess.run([KLOSTER[0], "-c", pods, str(shell.kubeconfig)], capture_output=True, text=True)
        assert counted.stdout == "4\n", counted.stderr
    finally:
        subprocess.run(remove, shell=True, env=shell.environment, check=True)
    assert not Path(root).exists()
