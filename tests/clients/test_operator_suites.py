"""Real operators' own test suites, as they are, line by line against the same run on a real kube-apiserver.

Nobody here wrote them. What is compared, and how a record is made, is said in suites/.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.clients.fleets import Cluster, Fleet
from tests.clients.suites import kopf, kuberay
from tests.clients.suites.results import Record, compare

from kloster.envtest import assets

pytestmark = [pytest.mark.clients, pytest.mark.timeout(1800)]

CLUSTERS = 6
"""kopf's tests wait more than they work: so many wait at a time."""


@pytest.fixture(scope="module")
def clusters_for_kopf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Cluster]]:
    """Some of kopf's examples serve webhooks on the machine that they run on, which a fleet calls only if it may."""
    fleet = Fleet(tmp_path_factory.mktemp("suites"))
    fleet.up("--local-webhooks")
    try:
        yield [fleet.create(f"kopf-{number}", "1.34") for number in range(CLUSTERS)]
    finally:
        fleet.end()


@pytest.mark.parametrize("name", [kopf.NAME, *kuberay.RUNS])
def test_every_line_of_a_record_is_explained(name: str) -> None:
    assert Record.read(name).unexplained() == []


def test_kopf(clusters_for_kopf: list[Cluster], kubectl_binary: Path, tmp_path: Path) -> None:
    found = kopf.run([cluster.kubeconfig for cluster in clusters_for_kopf], kubectl_binary, tmp_path)
    assert "\n".join(compare(Record.read(kopf.NAME), found)) == ""


@pytest.mark.parametrize("name", kuberay.RUNS)
def test_kuberay(name: str, tmp_path: Path) -> None:
    version, parts = kuberay.RUNS[name]
    executables = tmp_path / "executables"
    executables.mkdir()
    assets.write(executables, version)
    found = kuberay.run(executables, tmp_path, parts)
    assert "\n".join(compare(Record.read(name), found)) == ""
