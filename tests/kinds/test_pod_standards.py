"""Which rules of the Pod Security Standards count depends on two versions: the namespace's and the server's."""

import pytest

from kloster.kinds.podspec.standard_rules import violations
from kloster.kinds.podspec.standards import LATEST, Level, Standard, wanted

PREFIX = "pod-security.kubernetes.io/"


def reasons(standard: Standard, server: int, **spec: object) -> list[str]:
    pod = {"containers": [{"name": "c", "image": "i"}], **spec}
    return [found.reason for found in violations(standard, server, None, pod)]


BASELINE, RESTRICTED = Level.BASELINE, Level.RESTRICTED
RESERVED = {"securityContext": {"sysctls": [{"name": "net.ipv4.tcp_rmem", "value": "1"}]}}
PROBED = {"containers": [{"name": "c", "livenessProbe": {"tcpSocket": {"host": "h", "port": 1}}}]}
UNMASKED = {"hostUsers": False, "containers": [{"name": "c", "securityContext": {"procMount": "Unmasked"}}]}


@pytest.mark.parametrize(
    ("minor", "server", "spec", "wanted"),
    [
        pytest.param(LATEST, 31, RESERVED, ["forbidden sysctls"], id="an old server knows no newer sysctl"),
        pytest.param(LATEST, 32, RESERVED, [], id="a newer one does"),
        pytest.param(31, 37, RESERVED, ["forbidden sysctls"], id="unless the namespace asks for the old rules"),
        pytest.param(34, 33, PROBED, [], id="rules that the server does not know do not count"),
        pytest.param(LATEST, 34, PROBED, ["probe or lifecycle host"], id="probes of other hosts"),
        pytest.param(LATEST, 34, UNMASKED, ["procMount"], id="no user namespaces before 1.35"),
        pytest.param(LATEST, 35, UNMASKED, [], id="in a user namespace /proc may be unmasked"),
    ],
)
def test_baseline(minor: int, server: int, spec: dict[str, object], wanted: list[str]) -> None:
    assert reasons(Standard(BASELINE, minor), server, **spec) == wanted


def test_restricted_keeps_what_baseline_lets_go_of() -> None:
    assert "procMount" in reasons(Standard(RESTRICTED), 37, **UNMASKED)
    assert "runAsNonRoot != true" not in reasons(Standard(RESTRICTED), 37, **UNMASKED)
    assert "runAsNonRoot != true" in reasons(Standard(RESTRICTED), 34, **UNMASKED)


def test_an_older_restricted_is_less_strict() -> None:
    assert reasons(Standard(RESTRICTED, 0), 34) == ["runAsNonRoot != true"]
    assert reasons(Standard(RESTRICTED, 8), 34) == ["allowPrivilegeEscalation != false", "runAsNonRoot != true"]
    assert reasons(Standard(RESTRICTED, 22), 34) == [
        "allowPrivilegeEscalation != false",
        "unrestricted capabilities",
        "runAsNonRoot != true",
        "seccompProfile",
    ]


@pytest.mark.parametrize(
    ("labels", "enforce", "warn"),
    [
        ({}, "privileged:latest", "privileged:latest"),
        ({"enforce": "baseline"}, "baseline:latest", "baseline:latest"),
        ({"enforce": "baseline", "enforce-version": "v1.24"}, "baseline:v1.24", "baseline:v1.24"),
        ({"enforce": "restricted", "warn": "privileged"}, "restricted:latest", "privileged:latest"),
        ({"enforce": "baseline", "warn-version": "v1.20"}, "baseline:latest", "baseline:v1.20"),
        ({"enforce": "nonsense"}, "restricted:latest", "privileged:latest"),
        ({"warn": "nonsense"}, "privileged:latest", "privileged:latest"),
        ({"enforce": "baseline", "enforce-version": "v1.99999999999999999999"}, "baseline:latest", "baseline:latest"),
    ],
)
def test_what_labels_ask_for(labels: dict[str, str], enforce: str, warn: str) -> None:
    found, _ = wanted({PREFIX + name: value for name, value in labels.items()})
    assert (str(found.enforce), str(found.warn)) == (enforce, warn)
