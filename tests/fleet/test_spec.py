"""A spec is honoured, or refused by name: every key, every value."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from kloster.fleet.spec import ALL_CLASSES, FROM_HOST, LATEST, TO_HOST, ClusterSpec, Origin, SpecError, parse

HONOURED = [
    pytest.param("", ClusterSpec(), id="nothing"),
    pytest.param("kubernetesVersion: '1.33'", ClusterSpec(minor="1.33"), id="version"),
    pytest.param("kubernetesVersion: v1.34", ClusterSpec(minor="1.34"), id="version-with-v"),
    pytest.param("kubernetesVersion: v1.34.4", ClusterSpec(minor="1.34"), id="version-with-patch"),
    pytest.param("controlPlane: {distro: {k8s: {version: v1.32.13}}}", ClusterSpec(minor="1.32"), id="of-distro"),
    pytest.param("controlPlane: {distro: {k8s: {image: {tag: v1.35.4}}}}", ClusterSpec(minor="1.35"), id="image-tag"),
    pytest.param(
        "{kubernetesVersion: '1.34', controlPlane: {distro: {k8s: {version: v1.34.4}}}}",
        ClusterSpec(minor="1.34"),
        id="two-versions-that-agree",
    ),
    pytest.param("kubernetesVersion:", ClusterSpec(minor=LATEST), id="null-says-nothing"),
    pytest.param("sync:", ClusterSpec(), id="null-section"),
    pytest.param(
        "controllers: ['*', '-deployment']",
        ClusterSpec(controllers=("*", "-deployment")),
        id="controllers-switched-off",
    ),
    pytest.param(
        "policies: {podSecurityStandard: privileged}", ClusterSpec(pod_security="privileged"), id="pod-security"
    ),
    pytest.param(
        "policies: {tolerations: [team, gpu], runtimeClasses: [gvisor], foreignEndpoints: true}",
        ClusterSpec(tolerations=("team", "gpu"), runtime_classes=("gvisor",), foreign_endpoints=True),
        id="what-tenants-may-ask-of-the-host",
    ),
    pytest.param("exportKubeConfig: {context: ours}", ClusterSpec(context="ours"), id="context"),
    pytest.param(
        "sync: {toHost: {services: {enabled: false}}}",
        ClusterSpec(to_host=frozenset(TO_HOST) - {"services"}),
        id="kind-that-stays",
    ),
    pytest.param(
        "sync: {fromHost: {nodes: {enabled: false}, events: {enabled: true}}}",
        ClusterSpec(from_host=frozenset(FROM_HOST) - {"nodes"}),
        id="no-nodes",
    ),
    pytest.param(
        "sync: {fromHost: {storageClasses: {enabled: true}}}",
        ClusterSpec(from_host=frozenset(FROM_HOST) | {ALL_CLASSES}),
        id="all-storage-classes",
    ),
    pytest.param("sync: {toHost: {ingresses: {enabled: false}}}", ClusterSpec(), id="absent-and-off"),
    pytest.param(
        "sync: {toHost: {gatewayApi: {enabled: false, httpRoutes: {enabled: true}}}}",
        ClusterSpec(),
        id="what-lies-below-an-off-feature",
    ),
    pytest.param("sync: {toHost: {pods: {useSecretsForSATokens: true}}}", ClusterSpec(), id="as-it-is-anyway"),
    pytest.param("networking: {resolveDNS: []}", ClusterSpec(), id="empty-list"),
    pytest.param("from: {name: dev}", ClusterSpec(minor="", origin=Origin("dev")), id="fork-of-whatever-version"),
    pytest.param(
        "{kubernetesVersion: '1.34', from: {name: dev, namespace: teams}, workloads: suspended}",
        ClusterSpec(minor="1.34", origin=Origin("dev", "teams"), workloads="suspended"),
        id="fork-with-everything-said",
    ),
    pytest.param("workloads: run", ClusterSpec(workloads="run"), id="workloads"),
]


@pytest.mark.parametrize(("text", "expected"), HONOURED)
def test_honoured(text: str, expected: ClusterSpec) -> None:
    found = parse(yaml.safe_load(text) or {})
    assert found == expected
    assert found.warnings == ()


REFUSED = [
    pytest.param("replicas: 3", "spec.replicas is not supported", id="unknown"),
    pytest.param(
        "kubernetesVerson: '1.34'",
        "spec.kubernetesVerson is not supported; did you mean spec.kubernetesVersion?",
        id="slip",
    ),
    pytest.param(
        "sync: {toHost: {pod: {enabled: false}}}",
        "spec.sync.toHost.pod.enabled is not supported; did you mean spec.sync.toHost.pods.enabled?",
        id="slip-of-something-switched-off",
    ),
    pytest.param(
        "sync: {fromHost: {configMaps: {enabled: true, mappings: {byName: {a/b: c/d}}}}}",
        "spec.sync.fromHost.configMaps is not supported",
        id="absent-feature-is-named-once-and-not-taken-for-a-slip",
    ),
    pytest.param(
        "{plugin: {mine: {image: a}}, networking: {resolveDNS: [{hostname: a}]}, replicas: 1}",
        "spec.plugin is not supported\nspec.networking.resolveDNS is not supported\nspec.replicas is not supported",
        id="everything-that-is-wrong",
    ),
    pytest.param(
        "kubernetesVersion: 1.34",
        'spec.kubernetesVersion: expected a string, found 1.34 (quote it: "1.34")',
        id="number",
    ),
    pytest.param("controllers: deployment", "spec.controllers: expected a list, found 'deployment'", id="no-list"),
    pytest.param(
        "sync: {toHost: {pods: {enabled: 'yes'}}}",
        "spec.sync.toHost.pods.enabled: expected true or false, found 'yes'",
        id="no-boolean",
    ),
    pytest.param("sync: true", "spec.sync: expected a mapping, found True", id="no-mapping"),
    pytest.param("sync: {toHost: [pods]}", "spec.sync.toHost: expected a mapping, found ['pods']", id="list"),
    pytest.param(
        "policies: {tolerations: [{key: team}]}",
        "spec.policies.tolerations: expected a list of strings, found {'key': 'team'}",
        id="tolerations",
    ),
    pytest.param(
        "policies: {podSecurityStandard: restricted}",
        "spec.policies.podSecurityStandard: expected baseline or privileged, found 'restricted'",
        id="standard",
    ),
    pytest.param(
        "{kubernetesVersion: '1.34', controlPlane: {distro: {k8s: {version: v1.33.13}}}}",
        "two Kubernetes versions are asked for: spec.kubernetesVersion: 1.34 and "
        "spec.controlPlane.distro.k8s.version: v1.33.13; keep one",
        id="two-versions",
    ),
    pytest.param(
        "controllers: [1]", "spec.controllers: expected names such as '*' or '-deployment', found 1", id="name"
    ),
    pytest.param("from: dev", "spec.from: expected a mapping, found 'dev'", id="fork-of-a-text"),
    pytest.param("workloads: paused", "spec.workloads: expected run or suspended, found 'paused'", id="workloads"),
    pytest.param(
        "from: {name: dev.example}",
        'spec.from.name: Invalid value: "dev.example": must not contain dots',
        id="fork-of-no-label",
    ),
    pytest.param(
        "from: {name: dev, namespace: a.b}",
        'spec.from.namespace: Invalid value: "a.b": must not contain dots',
        id="fork-of-no-label-namespace",
    ),
    pytest.param("from: {source: dev}", "spec.from.source is not supported", id="fork-by-another-key"),
]


@pytest.mark.parametrize(("text", "expected"), REFUSED)
def test_refused(text: str, expected: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(yaml.safe_load(text))
    assert str(caught.value) == expected


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        pytest.param({"kubernetesVersion": "1.12"}, "spec.kubernetesVersion: Kubernetes version '1.12'", id="old"),
        pytest.param({"kubernetesVersion": "1.34.99"}, "1.34 (v1.34.4)", id="other-patch-says-which-there-is"),
        pytest.param({"kubernetesVersion": "latest"}, "'latest'", id="no-version"),
        pytest.param({"controllers": ["nonsense"]}, "there is no controller 'nonsense'; there are: ", id="controller"),
    ],
)
def test_refused_naming_what_there_is(spec: dict[str, Any], part: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse(spec)
    assert part in str(caught.value)


def test_harmless_keys_are_accepted_with_a_warning_each() -> None:
    spec = parse(
        {"controlPlane": {"statefulSet": {"resources": {"limits": {"cpu": 1}}}}, "telemetry": {"enabled": False}}
    )
    assert spec == ClusterSpec()
    assert spec.warnings == (
        "spec.controlPlane.statefulSet.resources.limits.cpu has no meaning in Kloster and is not used",
        "spec.telemetry.enabled has no meaning in Kloster and is not used",
    )


def test_a_file_as_people_bring_it() -> None:
    """Switched-off features, another product's resources, and the parts that mean something here."""
    text = """
    controlPlane:
      backingStore: {etcd: {deploy: {statefulSet: {resources: {requests: {cpu: "0"}}}}}}
      distro: {k8s: {enabled: true, version: v1.34.4}}
      ingress: {enabled: false, host: my-host.com}
    sync:
      toHost:
        pods: {enabled: true, useSecretsForSATokens: true}
        networkPolicies: {enabled: false}
      fromHost:
        nodes: {enabled: true}
        storageClasses: {enabled: false}
    policies:
      podSecurityStandard: baseline
      networkPolicy: {enabled: false, fallbackDns: 8.8.8.8}
    exportKubeConfig: {context: team-a}
    """
    found = parse(yaml.safe_load(text))
    shown = frozenset(FROM_HOST) - {"storageClasses"}
    assert found == ClusterSpec(minor="1.34", context="team-a", from_host=shown)
    assert len(found.warnings) == 2
