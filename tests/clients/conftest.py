"""Fixtures: a fleet started through the CLI, virtual clusters of several versions, and the clients that drive them.

Everything listens on loopback only and is ended by its process id. The clients are unmodified: kubectl and the Go
programs are built by build.py, the Python ones come from the dependency group "clients".
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.clients import build
from tests.clients.fleets import Cluster, Fleet
from tests.clients.kubectl.scenario import Kubectl

VERSIONS = ("1.31", "1.34", "1.37")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.clients)


@pytest.fixture(scope="session")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """The fleet that all tests share which do not restart it."""
    fleet = Fleet(tmp_path_factory.mktemp("fleet"))
    fleet.up()
    try:
        yield fleet
    finally:
        fleet.end()


@pytest.fixture(scope="session")
def clusters(fleet: Fleet) -> dict[str, Cluster]:
    """One virtual cluster for each of VERSIONS, side by side."""
    return {version: fleet.create("c" + version.replace(".", "-"), version) for version in VERSIONS}


@pytest.fixture(scope="session")
def cluster(clusters: dict[str, Cluster]) -> Cluster:
    """The virtual cluster that most tests share, each in a namespace of its own."""
    return clusters["1.34"]


@pytest.fixture(scope="session")
def corpus_cluster(fleet: Fleet) -> Cluster:
    """A virtual cluster for the corpus alone: it lists what a whole cluster has."""
    return fleet.create("corpus", "1.34")


@pytest.fixture(scope="session")
def kubectl_binary() -> Path:
    return _built(build.kubectl)


@pytest.fixture(scope="session")
def informers_binary() -> Path:
    return _built(build.informers)


@pytest.fixture(scope="session")
def manager_binary() -> Path:
    return _built(build.manager)


def _built(make: Callable[[], Path]) -> Path:
    try:
        return make()
    except build.BuildError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def kubectl(kubectl_binary: Path, cluster: Cluster, tmp_path: Path) -> Kubectl:
    """kubectl on the 1.34 cluster, in a directory of its own."""
    return Kubectl(kubectl_binary, cluster.kubeconfig, tmp_path)


_NUMBERS = itertools.count(1)


@pytest.fixture
def namespace(kubectl: Kubectl) -> Iterator[str]:
    """A new namespace on the 1.34 cluster, with its default service account."""
    name = f"test-{next(_NUMBERS)}"
    kubectl.raw(f"create namespace {name}")
    kubectl.raw(f"wait serviceaccount/default --for=create -n {name} --timeout=20s")
    yield name
    kubectl.run(f"delete namespace {name} --wait=false")
