"""A pod's way to the host and back, as pure decisions."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kloster.syncer.actions import BindVirtual, CreateHost, DeleteHost, DeleteVirtual, PatchHost, PatchVirtual, Report
from kloster.syncer.names import Tenancy, label_key
from kloster.syncer.translator import Refused, World
from kloster.syncer.translators import pods

Object = dict[str, Any]
TENANCY = Tenancy("host-id", "dev", "vc-dev")


def world(policy: Object | None = None, namespaces: list[Object] | None = None) -> World:
    return World(
        TENANCY,
        lambda resource, namespace, name: None,
        lambda resource, namespace: namespaces or [],
        lambda resource, name: None,
        1_700_000_000.0,
        policy or {},
    )


def virtual(**spec: Any) -> Object:
    spec.setdefault("containers", [{"name": "app", "image": "app:1"}])
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": "web-0",
            "namespace": "shop",
            "uid": "v-uid",
            "labels": {"app": "web"},
            "annotations": {"note": 'a "b"'},
        },
        "spec": {"serviceAccountName": "web", **spec},
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }


def host_of(pod: Object, **status: Any) -> Object:
    """The host pod as it was created, with a status."""
    made = pods.desired(world(), pod)
    made["metadata"]["uid"] = "h-uid"
    made["metadata"]["resourceVersion"] = "7"
    made["status"] = status
    return made


def test_the_host_pod_is_built_from_known_fields() -> None:
    pod = virtual(hostname="", unknownFutureField={"evil": True}, priorityClassName="system-node-critical", priority=9)
    made = pods.desired(world(), pod)
    assert made["metadata"]["name"] == "web-0-x-shop-x-dev"
    assert made["metadata"]["namespace"] == "vc-dev"
    assert made["metadata"]["labels"] == {
        label_key("host-id", "app"): "web",
        "kloster.dev/cluster": "host-id",
        "kloster.dev/namespace": "shop",
    }
    assert set(made["spec"]) == {"containers", "automountServiceAccountToken", "enableServiceLinks", "hostname"}
    assert made["spec"]["automountServiceAccountToken"] is False
    assert "ownerReferences" not in made["metadata"]
    assert "finalizers" not in made["metadata"]


def test_the_tenants_labels_and_annotations_travel_as_text_only() -> None:
    annotations = pods.desired(world(), virtual())["metadata"]["annotations"]
    assert annotations["kloster.dev/labels"] == 'app="web"'
    assert annotations["kloster.dev/annotations"] == r'note="a \"b\""'
    assert "note" not in annotations


def test_a_tenant_cannot_forge_what_the_host_reads() -> None:
    pod = virtual()
    pod["metadata"]["labels"] = {"kloster.dev/cluster": "other", "pod-template-hash": "x"}
    pod["metadata"]["annotations"] = {
        "kloster.dev/uid": "other",
        "container.apparmor.security.beta.kubernetes.io/a": "u",
    }
    made = pods.desired(world(), pod)["metadata"]
    assert made["labels"]["kloster.dev/cluster"] == "host-id"
    assert made["annotations"]["kloster.dev/uid"] == "v-uid"
    assert not any("apparmor" in key for key in made["annotations"])
    assert "pod-template-hash" not in made["labels"]


def test_references_get_their_host_names() -> None:
    container = {
        "name": "app",
        "image": "app:1",
        "envFrom": [{"configMapRef": {"name": "settings"}}, {"secretRef": {"name": "login", "optional": True}}],
        "env": [
            {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "a"}}},
            {"name": "NS", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
            {"name": "APP", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['app']"}}},
            {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
        ],
    }
    volumes = [
        {"name": "c", "configMap": {"name": "settings", "defaultMode": 420}},
        {"name": "s", "secret": {"secretName": "login"}},
        {"name": "p", "persistentVolumeClaim": {"claimName": "data"}},
        {"name": "e", "ephemeral": {"volumeClaimTemplate": {}}},
    ]
    spec = pods.desired(world(), virtual(containers=[container], volumes=volumes, imagePullSecrets=[{"name": "reg"}]))[
        "spec"
    ]
    made = spec["containers"][0]
    assert made["envFrom"][0]["configMapRef"]["name"] == "settings-x-shop-x-dev"
    assert made["envFrom"][1]["secretRef"] == {"name": "login-x-shop-x-dev", "optional": True}
    assert made["env"] == [
        {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "settings-x-shop-x-dev", "key": "a"}}},
        {"name": "NS", "valueFrom": {"fieldRef": {"fieldPath": "metadata.annotations['kloster.dev/namespace']"}}},
        {"name": "APP", "value": "web"},
        {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
    ]
    assert [one.get("configMap", one.get("secret", one.get("persistentVolumeClaim"))) for one in spec["volumes"]] == [
        {"name": "settings-x-shop-x-dev", "defaultMode": 420},
        {"secretName": "login-x-shop-x-dev"},
        {"claimName": "data-x-shop-x-dev"},
        {"claimName": "web-0-e-x-shop-x-dev"},
    ]
    assert spec["imagePullSecrets"] == [{"name": "reg-x-shop-x-dev"}]


def test_the_token_volume_becomes_a_secret() -> None:
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3607}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    pod = virtual(volumes=[{"name": "kube-api-access", "projected": {"sources": sources, "defaultMode": 420}}])
    projected = pods.desired(world(), pod)["spec"]["volumes"][0]["projected"]
    token, root, down = projected["sources"]
    assert token == {
        "secret": {
            "name": "web-0-x-shop-x-dev-x-v-uid",
            "items": [{"key": "kube-api-access-0", "path": "token"}],
        }
    }
    assert root["configMap"]["name"] == "kube-root-ca.crt-x-shop-x-dev"
    assert down["downwardAPI"]["items"][0]["fieldRef"]["fieldPath"] == "metadata.annotations['kloster.dev/namespace']"


def test_selectors_cannot_reach_other_tenants() -> None:
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {}, "namespaceSelector": {}}
    affinity = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
    namespaces = [{"metadata": {"name": name, "labels": {}}} for name in ("shop", "other")]
    made = pods.desired(world(namespaces=namespaces), virtual(affinity=affinity))["spec"]
    found = made["affinity"]["podAntiAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    assert found == [
        {
            "topologyKey": "kubernetes.io/hostname",
            "labelSelector": {
                "matchExpressions": [
                    {"key": "kloster.dev/cluster", "operator": "In", "values": ["host-id"]},
                    {"key": "kloster.dev/namespace", "operator": "In", "values": ["other", "shop"]},
                ]
            },
        }
    ]


PRIVILEGED = {"name": "a", "image": "i", "securityContext": {"privileged": True}}


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param({"hostNetwork": True}, id="host-network"),
        pytest.param({"hostPID": True}, id="host-pid"),
        pytest.param({"volumes": [{"name": "h", "hostPath": {"path": "/"}}]}, id="host-path"),
        pytest.param({"containers": [PRIVILEGED]}, id="privileged"),
        pytest.param({"initContainers": [PRIVILEGED]}, id="privileged-init"),
        pytest.param(
            {"containers": [{"name": "a", "image": "i", "securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}}]},
            id="capability",
        ),
        pytest.param({"containers": [{"name": "a", "image": "i", "ports": [{"hostPort": 80}]}]}, id="host-port"),
        pytest.param({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}, id="seccomp"),
        pytest.param({"securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}}, id="sysctl"),
    ],
)
def test_power_over_the_node_is_refused_unless_allowed(spec: Object) -> None:
    with pytest.raises(Refused, match="podSecurityStandard: privileged"):
        pods.desired(world(), virtual(**spec))
    pods.desired(world({"podSecurityStandard": "privileged"}), virtual(**spec))


@pytest.mark.parametrize(
    "volume",
    [{"csi": {"driver": "x"}}, {"awsElasticBlockStore": {"volumeID": "v"}}, {"iscsi": {}}],
    ids=lambda v: next(iter(v)),
)
def test_volumes_that_are_not_on_the_list_do_not_cross(volume: Object) -> None:
    actions = pods.decide(world(), virtual(volumes=[{"name": "v", **volume}]), None)
    assert [type(action) for action in actions] == [Report, PatchVirtual]


def test_a_refusal_is_told_once() -> None:
    pod = virtual(hostNetwork=True)
    report, patch = pods.decide(world(), pod, None)
    assert isinstance(report, Report)
    assert isinstance(patch, PatchVirtual)
    pod["status"]["conditions"] = patch.patch["status"]["conditions"]
    assert pods.decide(world(), pod, None) == []


class TestLife:
    def test_a_new_pod_is_created(self) -> None:
        (action,) = pods.decide(world(), virtual(), None)
        assert isinstance(action, CreateHost)

    def test_gates_hold_it_back(self) -> None:
        assert pods.decide(world(), virtual(schedulingGates=[{"name": "wait"}]), None) == []

    def test_nothing_changed_nothing_written(self) -> None:
        pod = virtual()
        host = host_of(pod, phase="Pending", qosClass="BestEffort")
        assert pods.decide(world(), pod, host) == []

    def test_binding_and_status_come_up(self) -> None:
        pod = virtual()
        host = host_of(pod, phase="Running", podIP="10.1.2.3")
        host["spec"]["nodeName"] = "node-1"
        bind, status = pods.decide(world(), pod, host)
        assert bind == BindVirtual("node-1")
        assert isinstance(status, PatchVirtual)
        assert status.patch == {"status": {"phase": "Running", "podIP": "10.1.2.3"}}

    def test_texts_do_not_name_the_host(self) -> None:
        pod = virtual()
        host = host_of(pod, phase="Pending", qosClass="BestEffort", message="pod web-0-x-shop-x-dev in vc-dev (h-uid)")
        (status,) = pods.decide(world(), pod, host)
        assert isinstance(status, PatchVirtual)
        assert status.patch["status"]["message"] == "pod web-0 in shop (v-uid)"

    def test_an_image_changed_by_the_tenant_goes_down(self) -> None:
        pod = virtual()
        host = host_of(pod, phase="Pending", qosClass="BestEffort")
        pod["spec"]["containers"][0]["image"] = "app:2"
        (patch,) = pods.decide(world(), pod, host)
        assert isinstance(patch, PatchHost)
        assert patch.patch["spec"] == {"containers": [{"name": "app", "image": "app:2"}]}
        assert json.loads(patch.patch["metadata"]["annotations"]["kloster.dev/images"]) == {"app": "app:2"}

    def test_an_image_mirrored_by_the_host_is_left_alone(self) -> None:
        pod = virtual()
        host = host_of(pod, phase="Pending", qosClass="BestEffort")
        host["spec"]["containers"][0]["image"] = "mirror.local/app:1"
        host["metadata"]["labels"]["injected-by-host"] = "yes"
        host["spec"]["tolerations"] = [{"key": "added", "operator": "Exists"}]
        assert pods.decide(world(), pod, host) == []

    def test_a_label_changed_on_the_host_by_hand_is_healed(self) -> None:
        pod = virtual()
        host = host_of(pod, phase="Pending", qosClass="BestEffort")
        host["metadata"]["labels"][label_key("host-id", "app")] = "stolen"
        (patch,) = pods.decide(world(), pod, host)
        assert isinstance(patch, PatchHost)
        assert patch.patch["metadata"]["labels"] == {label_key("host-id", "app"): "web"}

    def test_the_tenant_deletes(self) -> None:
        pod = virtual()
        pod["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z", deletionGracePeriodSeconds=5)
        host = host_of(pod, phase="Pending", qosClass="BestEffort")
        assert pods.decide(world(), pod, host) == [DeleteHost("web-0-x-shop-x-dev", "h-uid", 5)]
        host["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z", deletionGracePeriodSeconds=5)
        assert pods.decide(world(), pod, host) == []
        assert pods.decide(world(), pod, None) == [DeleteVirtual("v-uid", 0, unless="web-0-x-shop-x-dev")]
        pod["metadata"]["deletionGracePeriodSeconds"] = 0
        assert pods.decide(world(), pod, host) == [DeleteHost("web-0-x-shop-x-dev", "h-uid", 0)]
        assert pods.decide(world(), pod, None) == [], "only finalizers are waited for"

    def test_the_virtual_pod_vanished_while_nobody_looked(self) -> None:
        host = host_of(virtual())
        assert pods.decide(world(), None, host) == [DeleteHost("web-0-x-shop-x-dev", "h-uid", None)]

    def test_another_pod_of_the_same_name_waits_for_the_old_one_to_go(self) -> None:
        host = host_of(virtual())
        pod = virtual()
        pod["metadata"]["uid"] = "new-uid"
        assert pods.decide(world(), pod, host) == [DeleteHost("web-0-x-shop-x-dev", "h-uid", None)]
        host["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        assert pods.decide(world(), pod, host) == []

    def test_the_host_evicts(self) -> None:
        pod = virtual(nodeName="node-1")
        host = host_of(pod, phase="Pending", qosClass="BestEffort")
        host["metadata"].update(deletionTimestamp="2026-01-01T00:00:00Z", deletionGracePeriodSeconds=30)
        assert pods.decide(world(), pod, host) == [DeleteVirtual("v-uid", 30)]

    def test_the_host_lost_the_pod(self) -> None:
        pod = virtual(nodeName="node-1")
        pod["status"]["conditions"] = [{"type": "PodScheduled", "status": "True"}]
        actions = pods.decide(world(), pod, None)
        assert [type(action) for action in actions] == [Report, DeleteVirtual]

    def test_a_pod_that_has_ended_is_not_made_again(self) -> None:
        pod = virtual(nodeName="node-1")
        pod["status"]["phase"] = "Succeeded"
        assert pods.decide(world(), pod, None) == []
