"""Warnings differ between versions, and strangers cannot make them costly. Their texts are compared with a real server
in tests/differential (warnings.yaml)."""

import time
from itertools import islice

import pytest

from kloster.apimachinery import Object
from kloster.kinds.core import servicewarnings
from kloster.kinds.podspec import virtualpaths, warnings


def of_pod(minor: int, **spec: object) -> list[str]:
    return list(warnings.of_pod({"metadata": {"name": "p"}, "spec": spec}, minor))


GIT = {"volumes": [{"name": "v", "gitRepo": {"repository": "r"}}]}
ALIAS = {"hostAliases": [{"ip": "01.2.3.4"}]}
TWICE = {
    "containers": [{"name": "c", "ports": [{"name": "a", "containerPort": 1}, {"name": "a", "containerPort": 2}]}],
}


@pytest.mark.parametrize(
    ("spec", "minor", "beginning"),
    [
        pytest.param(GIT, 32, "spec.volumes[0].gitRepo: deprecated in v1.11", id="git before 1.33"),
        pytest.param(
            GIT, 33, "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+", id="git"
        ),
        pytest.param(ALIAS, 32, "", id="addresses before 1.33"),
        pytest.param(ALIAS, 33, 'spec.hostAliases[0].ip: non-standard IP address "01.2.3.4" will be', id="addresses"),
        pytest.param(TWICE, 32, "", id="port names before 1.33"),
        pytest.param(TWICE, 33, 'spec.containers[0].ports[1]: duplicate port name "a" with', id="port names"),
    ],
)
def test_pods(spec: Object, minor: int, beginning: str) -> None:
    found = of_pod(minor, **spec)
    assert len(found) == bool(beginning)
    assert "".join(found).startswith(beginning)
    assert minor > 32 or not found or found == [beginning]


SERVICE = {"type": "LoadBalancer", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "externalIPs": ["01.2.3.4"]}


@pytest.mark.parametrize(
    ("minor", "wanted"),
    [
        (32, 'IP address was accepted, but will be invalid in a future Kubernetes release: ParseAddr("01.2.3.4"): '),
        (33, 'non-standard IP address "01.2.3.4" will be considered invalid in a future Kubernetes release'),
    ],
)
def test_services(minor: int, wanted: str) -> None:
    (found,) = servicewarnings.warn({"metadata": {"name": "s"}, "spec": SERVICE}, None, minor)
    assert found.startswith(f"spec.externalIPs[0]: {wanted}")


def test_newer_services_are_warned_of_more() -> None:
    spec = {**SERVICE, "trafficDistribution": "PreferClose"}
    counts = [len(list(servicewarnings.warn({"metadata": {}, "spec": spec}, None, minor))) for minor in (34, 35, 36)]
    assert counts == [1, 2, 3]


def test_looking_for_collisions_does_not_take_long() -> None:
    """Upstream compares each with each: 30,000 would take a quarter of an hour here."""
    files = [{"key": "k", "path": f"some/where/{number}"} for number in range(30_000)]
    ports = [{"containerPort": 1, "hostPort": number + 1, "hostIP": "1.2.3.4"} for number in range(30_000)]
    spec = {"containers": [{"name": "c", "ports": ports}], "volumes": [{"name": "v", "configMap": {"items": files}}]}
    begun = time.process_time()
    assert of_pod(34, **spec) == []
    assert time.process_time() - begun < 5


@pytest.mark.parametrize("path", ["same", "a/" * 1000])
def test_many_collisions_end(path: str) -> None:
    files = [{"key": "k", "path": path} for number in range(20_000)]
    begun = time.process_time()
    found = list(virtualpaths.overlaps([{"name": "v", "configMap": {"items": files}}]))
    assert virtualpaths.MOST < len(found) < 3 * virtualpaths.MOST
    ports = [{"containerPort": 1} for number in range(20_000)]
    told = warnings.of_pod({"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "ports": ports}]}}, 34)
    assert len(list(islice(told, 1000))) == 1000
    assert time.process_time() - begun < 5
