"""Every test's cluster begins with the operator's definition installed."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def kloster_prepare():
    return lambda cluster: cluster.apply(HERE / "crd.yaml")


@pytest.fixture
def cluster(kloster_cluster):
    """A cluster of the test's own in which the operator runs."""
    with kloster_cluster.kopf(HERE / "greeter.py"):
        yield kloster_cluster
