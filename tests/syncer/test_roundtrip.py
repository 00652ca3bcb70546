"""The whole way: an object in a virtual cluster, its host object, and what comes back."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from tests.syncer.converged import quiet
from tests.syncer.world import EVERYTHING, Virtual, World, syncing

from kloster.aio.clock import rfc3339
from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    ENDPOINT_SLICES,
    ENDPOINTS,
    EVENTS,
    JOBS,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    SECRETS,
    SERVICES,
    STATEFUL_SETS,
    STORAGE_CLASSES,
)
from kloster.client.transport import Request
from kloster.syncer.names import CLUSTER

APP = [{"name": "app", "image": "app:1"}]


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class TestPods:
    @staticmethod
    @syncing
    async def test_a_pod_runs(world: World, dev: Virtual) -> None:
        await dev.pod("web")
        await world.settle()
        pod = await dev.get(PODS, "web")
        assert pod["status"]["phase"] == "Running"
        host = await dev.host(PODS, "web")
        assert host is not None
        assert pod["spec"]["nodeName"] == host["spec"]["nodeName"]
        assert pod["status"]["podIP"] == host["status"]["podIP"]
        assert await dev.names(NODES) == [pod["spec"]["nodeName"]]

    @staticmethod
    @syncing
    async def test_a_change_of_image_and_labels_goes_down(world: World, dev: Virtual) -> None:
        await dev.pod("web", metadata={"labels": {"app": "web", "old": "1"}})
        await world.settle()
        image = {"spec": {"containers": [{"name": "app", "image": "app:2"}]}}
        await dev.patch(PODS, "web", image, type="strategic")
        await dev.patch(PODS, "web", {"metadata": {"labels": {"old": None, "new": "2"}}})
        await world.settle()
        host = await dev.host(PODS, "web")
        assert host is not None
        assert host["spec"]["containers"][0]["image"] == "app:2"
        assert set(host["metadata"]["labels"]) == {
            *dev.tenancy.labels({"app": "", "new": ""}),
            CLUSTER,
            "kloster.dev/namespace",
        }

    @staticmethod
    @syncing
    async def test_the_tenant_deletes(world: World, dev: Virtual) -> None:
        await dev.pod("web")
        await world.settle()
        await dev.delete(PODS, "web")
        leaving = await dev.get(PODS, "web")
        assert leaving["metadata"]["deletionGracePeriodSeconds"] == 30
        await world.settle()
        assert await dev.names(PODS) == []
        assert await dev.on_host(PODS) == []
        assert await dev.on_host(SECRETS) == []
        assert await dev.names(NODES) == []

    @staticmethod
    @syncing
    async def test_deleted_before_it_was_scheduled(world: World, dev: Virtual) -> None:
        await dev.pod("web", nodeSelector={"no": "where"})
        await world.settle()
        assert await dev.host(PODS, "web") is not None
        assert (await dev.get(PODS, "web"))["status"]["conditions"][0]["reason"] == "Unschedulable"
        await dev.delete(PODS, "web")
        await world.settle()
        assert await dev.on_host(PODS) == []

    @staticmethod
    @syncing
    async def test_deleted_on_the_host(world: World, dev: Virtual) -> None:
        await dev.pod("web")
        await world.settle()
        await world.host.delete(PODS, dev.host_name("web"), dev.tenancy.namespace)
        await world.settle()
        assert await dev.names(PODS) == []
        assert await dev.on_host(PODS) == []

    @staticmethod
    @syncing
    async def test_evicted_on_the_host_comes_back(world: World, dev: Virtual) -> None:
        labels = {"app": "web"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": APP}}
        spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
        await dev.create(DEPLOYMENTS, "web", spec=spec)
        await world.settle()
        before = await dev.names(PODS)
        host = world.host.client
        for name in before:
            eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": dev.host_name(name)}}
            await host.create_subresource(PODS, dev.tenancy.namespace, dev.host_name(name), "eviction", eviction)
        await world.settle()
        after = await dev.all(PODS)
        assert len(after) == 2
        assert not {one["metadata"]["name"] for one in after} & set(before)
        assert {one["status"]["phase"] for one in after} == {"Running"}
        assert len(await dev.on_host(PODS)) == 2

    @staticmethod
    @syncing
    async def test_vanished_while_the_syncer_was_away(world: World, dev: Virtual) -> None:
        await dev.pod("web")
        await world.settle()
        await dev.stop_syncer()
        name = dev.host_name("web")
        await world.host.delete(PODS, name, dev.tenancy.namespace, grace_period_seconds=0)
        await world.settle()
        dev.start_syncer()
        await world.settle()
        assert await dev.names(PODS) == []
        assert [one["message"] for one in await dev.events("HostPodGone")]

    @staticmethod
    @syncing
    async def test_created_again_under_the_same_name(world: World, dev: Virtual) -> None:
        first = await dev.pod("web")
        await world.settle()
        await dev.delete(PODS, "web", grace_period_seconds=0)
        second = await dev.pod("web", containers=[{"name": "app", "image": "app:2"}])
        await world.settle()
        host = await dev.host(PODS, "web")
        assert host is not None
        assert (
            host["metadata"]["annotations"]["kloster.dev/uid"] == second["metadata"]["uid"] != first["metadata"]["uid"]
        )
        assert (await dev.get(PODS, "web"))["status"]["phase"] == "Running"
        tokens = [one["metadata"]["name"] for one in await dev.on_host(SECRETS)]
        assert tokens == [dev.tenancy.token_name("web", "default", second["metadata"]["uid"])]

    @staticmethod
    @syncing
    async def test_a_node_of_the_tenants_choice_is_a_wish(world: World, dev: Virtual) -> None:
        await world.host.patch(NODES, "node-2", {"spec": {"unschedulable": True}})
        await dev.pod("good", nodeName="node-3")
        await dev.pod("bad", nodeName="node-2")
        await world.settle()
        good, bad = await dev.get(PODS, "good"), await dev.get(PODS, "bad")
        assert (good["status"]["phase"], good["spec"]["nodeName"]) == ("Running", "node-3")
        assert bad["status"]["phase"] == "Pending"
        host = await dev.host(PODS, "bad")
        assert host is not None
        assert "nodeName" not in host["spec"]

    @staticmethod
    @syncing
    async def test_readiness_gates_are_the_tenants(world: World, dev: Virtual) -> None:
        await dev.pod("web", readinessGates=[{"conditionType": "example.com/lb"}])
        await world.settle()

        def ready(pod: Any) -> str:
            return next(one["status"] for one in pod["status"]["conditions"] if one["type"] == "Ready")

        assert ready(await dev.get(PODS, "web")) == "False"
        gate = {"type": "example.com/lb", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
        await dev.patch(PODS, "web", {"status": {"conditions": [gate]}}, type="strategic", subresource="status")
        await world.settle()
        pod, host = await dev.get(PODS, "web"), await dev.host(PODS, "web")
        assert host is not None
        assert (ready(pod), ready(host)) == ("True", "True")
        assert [one for one in pod["status"]["conditions"] if one["type"] == "example.com/lb"] == [
            {**gate, "lastProbeTime": None}
        ]
        gone = {"status": {"conditions": [{"type": "example.com/lb", "$patch": "delete"}]}}
        await dev.patch(PODS, "web", gone, type="strategic", subresource="status")
        await world.settle()
        assert ready(await dev.get(PODS, "web")) == "False"

    @staticmethod
    @syncing
    async def test_a_refusal_is_told_and_ends_when_the_policy_allows(world: World, dev: Virtual) -> None:
        await dev.pod("web", hostNetwork=True)
        await world.settle()
        assert await dev.on_host(PODS) == []
        pod = await dev.get(PODS, "web")
        condition = next(one for one in pod["status"]["conditions"] if one["type"] == "PodScheduled")
        assert (condition["status"], condition["reason"]) == ("False", "SyncRefused")
        assert "hostNetwork" in (await dev.events("SyncRefused"))[0]["message"]
        dev.policy = {"podSecurityStandard": "privileged"}
        await dev.stop_syncer()
        dev.start_syncer()
        await world.settle()
        pod = await dev.get(PODS, "web")
        assert pod["status"]["phase"] == "Running"
        assert "SyncRefused" not in str(pod["status"])

    @staticmethod
    @syncing
    async def test_an_ephemeral_container_starts(world: World, dev: Virtual) -> None:
        await dev.pod("web")
        await world.settle()
        debug = {"name": "debug", "image": "tools:1", "targetContainerName": "app"}
        patch = {"spec": {"ephemeralContainers": [debug]}}
        await dev.patch(PODS, "web", patch, type="strategic", subresource="ephemeralcontainers")
        await world.settle()
        host = await dev.host(PODS, "web")
        assert host is not None
        (made,) = host["spec"]["ephemeralContainers"]
        assert (made["image"], made["targetContainerName"]) == ("tools:1", "app")
        (status,) = (await dev.get(PODS, "web"))["status"]["ephemeralContainerStatuses"]
        assert "running" in status["state"]
        evil = {"name": "evil", "image": "evil:1", "securityContext": {"privileged": True}}
        patch = {"spec": {"ephemeralContainers": [evil]}}
        await dev.patch(PODS, "web", patch, type="strategic", subresource="ephemeralcontainers")
        await world.settle()
        host = await dev.host(PODS, "web")
        assert host is not None
        assert len(host["spec"]["ephemeralContainers"]) == 1
        assert "privileged container evil" in (await dev.events("SyncRefused"))[0]["message"]
        await quiet(world, dev)

    @staticmethod
    @syncing
    async def test_a_pod_is_resized(world: World, dev: Virtual) -> None:
        def asking(cpu: str) -> list[Any]:
            return [{"name": "app", "image": "app:1", "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": "1"}}}]

        await dev.pod("web", containers=asking("100m"))
        await world.settle()
        await dev.patch(PODS, "web", {"spec": {"containers": asking("200m")}}, type="strategic", subresource="resize")
        await world.settle()
        host = await dev.host(PODS, "web")
        assert host is not None
        assert host["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "200m"}
        (info,) = [one for one in world.snapshot.ready() if one.pods] if world.snapshot else []
        assert info.requested["cpu"] == 200
        changed = {"spec": {"containers": asking("300m")}}  # by the host itself: its affair
        name, namespace = dev.host_name("web"), dev.tenancy.namespace
        await world.host.patch(PODS, name, changed, namespace, type="strategic", subresource="resize")
        await world.settle()
        host = await dev.host(PODS, "web")
        assert host is not None
        assert host["spec"]["containers"][0]["resources"]["requests"] == {"cpu": "300m"}
        await quiet(world, dev)

    @staticmethod
    @syncing
    async def test_a_job_completes(world: World, dev: Virtual) -> None:
        template = {"spec": {"containers": APP, "restartPolicy": "Never"}}
        await dev.create(JOBS, "sum", spec={"completions": 2, "parallelism": 2, "template": template})
        await world.settle(10)
        job = await dev.get(JOBS, "sum")
        assert job["status"]["succeeded"] == 2
        assert {one["status"]["phase"] for one in await dev.all(PODS)} == {"Succeeded"}
        assert await dev.on_host(SECRETS) == [], "tokens go when the pod has ended"
        await dev.delete(JOBS, "sum", propagation_policy="Foreground")
        await world.settle()
        assert await dev.on_host(PODS) == []
        assert await dev.names(PODS) == []

    @staticmethod
    @syncing
    async def test_a_finished_pod_outlives_its_host_pod(world: World, dev: Virtual) -> None:
        await dev.pod("once", restartPolicy="Never")
        await world.settle(5)
        await world.host.delete(PODS, dev.host_name("once"), dev.tenancy.namespace)
        await world.settle()
        assert (await dev.get(PODS, "once"))["status"]["phase"] == "Succeeded"


class TestReferences:
    @staticmethod
    @syncing
    async def test_configmaps_and_secrets_come_and_go_with_their_pods(world: World, dev: Virtual) -> None:
        await dev.create(CONFIG_MAPS, "settings", data={"a": "1", "b": "2"})
        await dev.create(SECRETS, "login", stringData={"user": "me"})
        await dev.create(CONFIG_MAPS, "unused", data={"x": "1"})
        await world.settle()
        assert await dev.on_host(CONFIG_MAPS) == []
        sources = [{"configMapRef": {"name": "settings"}}]
        volumes = [{"name": "s", "secret": {"secretName": "login"}}]
        await dev.pod("web", containers=[{**APP[0], "envFrom": sources}], volumes=volumes)
        await world.settle()
        assert (await dev.get(PODS, "web"))["status"]["phase"] == "Running"
        settings, login = await dev.host(CONFIG_MAPS, "settings"), await dev.host(SECRETS, "login")
        assert settings is not None and login is not None
        assert settings["data"] == {"a": "1", "b": "2"}
        assert login["data"] == {"user": b64("me")}
        await dev.patch(CONFIG_MAPS, "settings", {"data": {"a": "3", "b": None}})
        await world.settle()
        settings = await dev.host(CONFIG_MAPS, "settings")
        assert settings is not None and settings["data"] == {"a": "3"}
        await dev.delete(PODS, "web")
        await world.settle()
        assert await dev.on_host(CONFIG_MAPS) == []
        assert await dev.on_host(SECRETS) == []
        assert (await dev.get(CONFIG_MAPS, "settings"))["data"] == {"a": "3"}

    @staticmethod
    @syncing
    async def test_nothing_is_missing_when_a_pod_starts(world: World, dev: Virtual) -> None:
        """What a pod needs is there before it: a node that finds something missing waits for seconds."""
        await dev.stop_syncer()
        for number in range(20):
            await dev.create(CONFIG_MAPS, f"c{number}", data={"a": "1"})
            volumes = [{"name": "c", "configMap": {"name": f"c{number}"}}]
            await dev.pod(f"p{number}", volumes=volumes)
        dev.start_syncer()
        await world.settle(1)
        assert {one["status"]["phase"] for one in await dev.all(PODS)} == {"Running"}
        assert await world.host.events("FailedMount") == []

    @staticmethod
    @syncing
    async def test_what_the_tenant_lacks_does_not_hold_the_pod_back(world: World, dev: Virtual) -> None:
        await dev.pod("web", volumes=[{"name": "c", "configMap": {"name": "later"}}])
        await world.settle(1)
        message = (await dev.events("FailedMount"))[0]["message"]
        assert message == 'MountVolume.SetUp failed for volume "c" : configmap "later" not found'
        await dev.create(CONFIG_MAPS, "later", data={})
        await world.settle()
        assert (await dev.get(PODS, "web"))["status"]["phase"] == "Running"

    @staticmethod
    @syncing
    async def test_hand_edits_on_the_host_are_healed(world: World, dev: Virtual) -> None:
        await dev.create(CONFIG_MAPS, "settings", data={"a": "1"})
        await dev.pod("web", volumes=[{"name": "c", "configMap": {"name": "settings"}}])
        await world.settle()
        name, namespace = dev.host_name("settings"), dev.tenancy.namespace
        changed = {"data": {"a": "evil", "b": "more"}, "metadata": {"labels": {"kept": "yes"}}}
        await world.host.patch(CONFIG_MAPS, name, changed, namespace)
        await world.settle()
        host = await world.host.get(CONFIG_MAPS, name, namespace)
        assert host["data"] == {"a": "1"}
        assert host["metadata"]["labels"]["kept"] == "yes"
        await world.host.delete(CONFIG_MAPS, name, namespace)
        await world.settle()
        assert (await world.host.get(CONFIG_MAPS, name, namespace))["data"] == {"a": "1"}


class TestTokens:
    @staticmethod
    @syncing
    async def test_a_pods_token_is_its_own_clusters(world: World, dev: Virtual) -> None:
        other = await world.virtual("other")
        pod = await dev.pod("web")
        await world.settle()
        name = dev.tenancy.token_name("web", "default", pod["metadata"]["uid"])
        secret = await world.host.get(SECRETS, name, dev.tenancy.namespace)
        (data,) = secret["data"].values()
        token = base64.b64decode(data).decode()
        request = Request("GET", "/api", headers={"authorization": f"Bearer {token}"})
        user = dev.served.authenticator(request)
        assert user.name == "system:serviceaccount:default:default"
        assert user.extra["authentication.kubernetes.io/pod-name"] == ("web",)
        for stranger in (other, world.host):
            with pytest.raises(StatusError) as refused:
                stranger.served.authenticator(request)
            assert refused.value.code == 401
        await dev.delete(PODS, "web")
        await world.settle()
        await world.clock.advance(61)  # as upstream, a token outlives its pod by a minute
        with pytest.raises(StatusError):
            dev.served.authenticator(request)

    @staticmethod
    @syncing
    async def test_tokens_are_renewed(world: World, dev: Virtual) -> None:
        pod = await dev.pod("web")
        await world.settle()
        name = dev.tenancy.token_name("web", "default", pod["metadata"]["uid"])
        before = await world.host.get(SECRETS, name, dev.tenancy.namespace)
        await world.settle(2800)
        assert (await world.host.get(SECRETS, name, dev.tenancy.namespace))["data"] == before["data"]
        await world.settle(200)
        assert (await world.host.get(SECRETS, name, dev.tenancy.namespace))["data"] != before["data"]


class TestServices:
    @staticmethod
    @syncing
    async def test_a_service_has_the_hosts_address(world: World, dev: Virtual) -> None:
        await dev.pod("web", metadata={"labels": {"app": "web"}})
        await dev.create(SERVICES, "web", spec={"selector": {"app": "web"}, "ports": [{"port": 80}]})
        await world.settle()
        service, host = await dev.get(SERVICES, "web"), await dev.host(SERVICES, "web")
        assert host is not None
        assert service["spec"]["clusterIP"] == host["spec"]["clusterIP"]
        assert service["spec"]["clusterIPs"] == [host["spec"]["clusterIP"]]
        (slice_,) = [
            one
            for one in await world.host.all(ENDPOINT_SLICES, dev.tenancy.namespace)
            if one["metadata"]["labels"]["kubernetes.io/service-name"] == host["metadata"]["name"]
        ]
        pod = await dev.get(PODS, "web")
        assert [one["addresses"] for one in slice_["endpoints"]] == [[pod["status"]["podIP"]]]
        (own,) = [one for one in await dev.all(ENDPOINT_SLICES) if one["metadata"]["name"].startswith("web-")]
        assert [one["addresses"] for one in own["endpoints"]] == [[pod["status"]["podIP"]]]

    @staticmethod
    @pytest.mark.parametrize(
        ("spec", "back"),
        [
            pytest.param({"clusterIP": "None", "selector": {"a": "b"}}, {"clusterIP": "None"}, id="headless"),
            pytest.param({"type": "ExternalName", "externalName": "example.com"}, {}, id="external-name"),
            pytest.param({"type": "NodePort", "ports": [{"port": 80}]}, {"nodePort": True}, id="node-port"),
            pytest.param({"type": "LoadBalancer", "ports": [{"port": 80}]}, {"nodePort": True}, id="load-balancer"),
        ],
    )
    @syncing
    async def test_kinds_of_services(world: World, dev: Virtual, spec: Any, back: Any) -> None:
        await dev.create(SERVICES, "web", spec=spec)
        await world.settle()
        service, host = await dev.get(SERVICES, "web"), await dev.host(SERVICES, "web")
        assert host is not None
        for field in ("type", "externalName", "clusterIP", "clusterIPs", "ipFamilies"):
            assert service["spec"].get(field) == host["spec"].get(field), field
        if back.get("nodePort"):
            assert service["spec"]["ports"][0]["nodePort"] == host["spec"]["ports"][0]["nodePort"]
        if spec.get("type") == "LoadBalancer":
            status = {"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}}}
            await world.host.patch(SERVICES, dev.host_name("web"), status, dev.tenancy.namespace, subresource="status")
            await world.settle()
            assert (await dev.get(SERVICES, "web"))["status"]["loadBalancer"]["ingress"][0]["ip"] == "192.0.2.7"

    @staticmethod
    @syncing
    async def test_node_ports_are_those_that_were_asked_for(world: World, dev: Virtual) -> None:
        ports = [
            {"name": "tcp", "port": 53, "nodePort": 30053},
            {"name": "udp", "port": 53, "protocol": "UDP", "nodePort": 30053},
            {"name": "any", "port": 80},
        ]
        await dev.create(SERVICES, "dns", spec={"type": "NodePort", "ports": ports})
        await world.settle()
        service, host = await dev.get(SERVICES, "dns"), await dev.host(SERVICES, "dns")
        assert host is not None
        assert service["spec"]["ports"] == host["spec"]["ports"]
        assert [one["nodePort"] for one in host["spec"]["ports"]][:2] == [30053, 30053]
        await dev.patch(SERVICES, "dns", {"spec": {"ports": [{"name": "tcp", "port": 53, "nodePort": 30054}]}})
        await world.settle()
        service, host = await dev.get(SERVICES, "dns"), await dev.host(SERVICES, "dns")
        assert host is not None
        assert [one["nodePort"] for one in host["spec"]["ports"]] == [30054]
        assert service["spec"]["ports"] == host["spec"]["ports"]
        assert await dev.events("NodePortUnavailable") == await dev.events("SyncFailed") == []

    @staticmethod
    @pytest.mark.parametrize("late", [False, True], ids=["at-creation", "by-a-change"])
    @syncing
    async def test_a_node_port_that_the_host_cannot_give(world: World, dev: Virtual, late: bool) -> None:
        other = await world.virtual("other")
        taken = {"type": "NodePort", "ports": [{"port": 80, "nodePort": 30080}]}
        await other.create(SERVICES, "web", spec=taken)
        await world.settle()
        if late:
            await dev.create(SERVICES, "web", spec={"type": "NodePort", "ports": [{"port": 80}]})
            await world.settle()
            await dev.patch(SERVICES, "web", {"spec": {"ports": [{"port": 8080, "nodePort": 30080}]}})
        else:
            await dev.create(SERVICES, "web", spec=taken)
        await world.settle()
        service, host = await dev.get(SERVICES, "web"), await dev.host(SERVICES, "web")
        assert host is not None
        assert service["spec"]["ports"] == host["spec"]["ports"]
        given = host["spec"]["ports"][0]["nodePort"]
        assert given != 30080
        assert host["spec"]["ports"][0]["port"] == (8080 if late else 80)
        (event,) = await dev.events("NodePortUnavailable")
        assert event["message"] == (
            f"The host cannot give node port 30080, but {given}: it is in use there or out of its range"
        )
        assert await dev.events("SyncFailed") == []
        assert (await other.get(SERVICES, "web"))["spec"]["ports"][0]["nodePort"] == 30080
        await quiet(world, dev)

    @staticmethod
    @syncing
    async def test_a_cluster_ip_that_was_asked_for_stays_behind(world: World, dev: Virtual) -> None:
        await dev.create(SERVICES, "dns", spec={"clusterIP": "10.96.0.10", "ports": [{"port": 53}]})
        await dev.create(SERVICES, "web", spec={"ports": [{"port": 80}]})
        await world.settle()
        service = await dev.get(SERVICES, "dns")
        assert service["spec"]["clusterIP"] != "10.96.0.10"
        (event,) = await dev.events("ClusterIPNotCarried")
        assert event["involvedObject"]["name"] == "dns"
        address = service["spec"]["clusterIP"]
        assert event["message"] == f"The host assigns cluster IPs: {address} instead of 10.96.0.10"

    @staticmethod
    @syncing
    async def test_how_traffic_is_spread_crosses(world: World, dev: Virtual) -> None:
        affinity = {"sessionAffinity": "ClientIP", "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 60}}}
        spec = {**affinity, "internalTrafficPolicy": "Local", "publishNotReadyAddresses": True}
        ports = [{"name": "a", "port": 53}, {"name": "b", "port": 53, "protocol": "UDP", "targetPort": "dns"}]
        await dev.create(SERVICES, "web", spec={**spec, "ports": ports, "selector": {"a": "b"}})
        await world.settle()
        host = await dev.host(SERVICES, "web")
        assert host is not None
        assert {field: host["spec"].get(field) for field in spec} == spec
        assert [(one["port"], one["protocol"], one["targetPort"]) for one in host["spec"]["ports"]] == [
            (53, "TCP", 53),
            (53, "UDP", "dns"),
        ]

    @staticmethod
    @syncing
    async def test_changes_go_down(world: World, dev: Virtual) -> None:
        await dev.create(SERVICES, "web", spec={"selector": {"app": "web"}, "ports": [{"port": 80}]})
        await world.settle()
        await dev.patch(SERVICES, "web", {"spec": {"ports": [{"port": 81}], "selector": {"app": None, "tier": "x"}}})
        await world.settle()
        host = await dev.host(SERVICES, "web")
        assert host is not None
        assert host["spec"]["ports"][0]["port"] == 81
        assert set(host["spec"]["selector"]) == {*dev.tenancy.labels({"tier": ""}), CLUSTER, "kloster.dev/namespace"}
        await dev.patch(SERVICES, "web", {"spec": {"selector": None}})
        await world.settle()
        host = await dev.host(SERVICES, "web")
        assert host is not None
        assert not host["spec"].get("selector")
        await dev.patch(SERVICES, "web", {"spec": {"type": "NodePort"}})
        await world.settle()
        service, host = await dev.get(SERVICES, "web"), await dev.host(SERVICES, "web")
        assert host is not None
        assert service["spec"]["ports"] == host["spec"]["ports"]
        await dev.patch(SERVICES, "web", {"spec": {"type": "ExternalName", "externalName": "example.com"}})
        await world.settle()
        host = await dev.host(SERVICES, "web")
        assert host is not None
        assert host["spec"]["type"] == "ExternalName"
        await dev.delete(SERVICES, "web")
        await world.settle()
        assert await dev.on_host(SERVICES) == []

    @staticmethod
    @syncing
    async def test_the_api_servers_own_service_stays(world: World, dev: Virtual) -> None:
        assert await dev.on_host(SERVICES) == []
        assert (await dev.get(SERVICES, "kubernetes"))["spec"]["clusterIP"] == "10.96.0.1"

    @staticmethod
    @syncing
    async def test_endpoints_without_a_selector_cross_as_slices(world: World, dev: Virtual) -> None:
        await dev.create(SERVICES, "db", spec={"ports": [{"port": 5432}]})
        await dev.pod("one")
        await world.settle()
        address = (await dev.get(PODS, "one"))["status"]["podIP"]
        subsets = [{"addresses": [{"ip": address}], "ports": [{"port": 5432}]}]
        await dev.create(ENDPOINTS, "db", subsets=subsets)
        await world.settle()
        (slice_,) = await dev.on_host(ENDPOINT_SLICES)
        assert slice_["metadata"]["labels"]["kubernetes.io/service-name"] == dev.host_name("db")
        assert [one["addresses"] for one in slice_["endpoints"]] == [[address]]
        await dev.delete(ENDPOINTS, "db")
        await world.settle(10)
        assert await dev.on_host(ENDPOINT_SLICES) == []

    @staticmethod
    @syncing
    async def test_slices_without_a_selector_cross(world: World, dev: Virtual) -> None:
        await dev.create(SERVICES, "db", spec={"ports": [{"port": 5432}]})
        for name in ("one", "two"):
            await dev.pod(name)
        await world.settle()
        one, two = [(await dev.get(PODS, name))["status"]["podIP"] for name in ("one", "two")]
        metadata = {"labels": {"kubernetes.io/service-name": "db"}}
        endpoints = [{"addresses": [one], "nodeName": "node-1"}]
        parts = {"addressType": "IPv4", "endpoints": endpoints, "ports": [{"port": 5432, "name": ""}]}
        await dev.create(ENDPOINT_SLICES, "db-1", metadata=metadata, **parts)
        await world.settle()
        host = await dev.host(ENDPOINT_SLICES, "db-1")
        assert host is not None
        assert host["metadata"]["labels"]["kubernetes.io/service-name"] == dev.host_name("db")
        assert [each["addresses"] for each in host["endpoints"]] == [[one]]
        await dev.patch(ENDPOINT_SLICES, "db-1", {"endpoints": [{"addresses": [two]}]})
        await world.settle()
        host = await dev.host(ENDPOINT_SLICES, "db-1")
        assert host is not None
        assert [each["addresses"] for each in host["endpoints"]] == [[two]]
        await dev.delete(SERVICES, "db")
        await world.settle()
        assert await dev.on_host(ENDPOINT_SLICES) == []


class TestClaims:
    @staticmethod
    @syncing
    async def test_a_claim_is_bound_when_its_first_pod_comes(world: World, dev: Virtual) -> None:
        spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        await dev.create(PERSISTENT_VOLUME_CLAIMS, "data", spec=spec)
        await world.settle()
        assert (await dev.get(PERSISTENT_VOLUME_CLAIMS, "data"))["status"]["phase"] == "Pending"
        assert "waiting for first consumer" in (await dev.events("WaitForFirstConsumer"))[0]["message"]
        await dev.pod("db", volumes=[{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}])
        await world.settle()
        assert (await dev.get(PODS, "db"))["status"]["phase"] == "Running"
        claim, host = await dev.get(PERSISTENT_VOLUME_CLAIMS, "data"), await dev.host(PERSISTENT_VOLUME_CLAIMS, "data")
        assert host is not None
        assert claim["status"] == host["status"]
        assert claim["status"]["capacity"] == {"storage": "1Gi"}
        assert claim["spec"]["storageClassName"] == "simulated"
        assert claim["spec"]["volumeName"] != host["spec"]["volumeName"]
        assert len(await world.host.all(PERSISTENT_VOLUMES)) == 1
        await dev.patch(PERSISTENT_VOLUME_CLAIMS, "data", {"spec": {"resources": {"requests": {"storage": "2Gi"}}}})
        await world.settle()
        assert (await dev.get(PERSISTENT_VOLUME_CLAIMS, "data"))["status"]["capacity"] == {"storage": "2Gi"}
        await dev.delete(PODS, "db")
        await dev.delete(PERSISTENT_VOLUME_CLAIMS, "data")
        await world.settle()
        assert await dev.on_host(PERSISTENT_VOLUME_CLAIMS) == []
        assert await world.host.all(PERSISTENT_VOLUMES) == []

    @staticmethod
    @syncing
    async def test_a_stateful_set_keeps_its_claims(world: World, dev: Virtual) -> None:
        labels = {"app": "db"}
        claim = {
            "metadata": {"name": "data"},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
        }
        pod = {"containers": [{**APP[0], "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}
        spec = {
            "replicas": 2,
            "serviceName": "db",
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
            "volumeClaimTemplates": [claim],
        }
        await dev.create(STATEFUL_SETS, "db", spec=spec)
        await world.settle(10)
        assert {one["metadata"]["name"]: one["status"]["phase"] for one in await dev.all(PODS)} == {
            "db-0": "Running",
            "db-1": "Running",
        }
        volumes = await world.host.names(PERSISTENT_VOLUMES)
        await dev.delete(PODS, "db-0")
        await world.settle(10)
        assert (await dev.get(PODS, "db-0"))["status"]["phase"] == "Running"
        assert await world.host.names(PERSISTENT_VOLUMES) == volumes

    @staticmethod
    @syncing
    async def test_a_claim_that_names_nothing_known(world: World, dev: Virtual) -> None:
        await dev.pod("db", volumes=[{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}])
        await world.settle()
        (condition,) = (await dev.get(PODS, "db"))["status"]["conditions"]
        assert condition["message"] == (
            '0/3 nodes are available: persistentvolumeclaim "data" not found. preemption: 0/3 nodes are available: '
            "3 Preemption is not helpful for scheduling."
        )
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "storageClassName": "fast",
        }
        await dev.create(PERSISTENT_VOLUME_CLAIMS, "data", spec=spec)
        await world.settle()
        (condition,) = (await dev.get(PODS, "db"))["status"]["conditions"]
        assert "pod has unbound immediate PersistentVolumeClaims" in condition["message"]
        assert (await dev.events("ProvisioningFailed"))[0]["message"] == 'storageclass.storage.k8s.io "fast" not found'
        parts = {"provisioner": "simulated.kloster.dev", "volumeBindingMode": "Immediate"}
        await world.host.create(STORAGE_CLASSES, "fast", **parts)
        await world.settle()
        assert (await dev.get(PODS, "db"))["status"]["phase"] == "Running"


def claim(**spec: Any) -> dict[str, Any]:
    return {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}


class TestEphemeralVolumes:
    @staticmethod
    @syncing
    async def test_a_pod_gets_a_volume_of_its_own(world: World, dev: Virtual) -> None:
        volume = {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": claim()}}}
        await dev.pod("web", volumes=[volume])
        await world.settle()
        pod, found = await dev.get(PODS, "web"), await dev.get(PERSISTENT_VOLUME_CLAIMS, "web-scratch")
        assert pod["status"]["phase"] == "Running"
        assert found["status"]["phase"] == "Bound"
        assert found["metadata"]["ownerReferences"][0]["uid"] == pod["metadata"]["uid"]
        assert await dev.events("FailedScheduling") == []
        assert len(await world.host.all(PERSISTENT_VOLUMES)) == 1
        await dev.delete(PODS, "web")
        await world.settle(10)
        assert await dev.names(PERSISTENT_VOLUME_CLAIMS) == await dev.names(PERSISTENT_VOLUMES) == []
        assert await dev.on_host(PERSISTENT_VOLUME_CLAIMS) == await world.host.all(PERSISTENT_VOLUMES) == []

    @staticmethod
    @syncing
    async def test_a_claim_of_that_name_that_is_not_the_pods_is_not_used(world: World, dev: Virtual) -> None:
        await dev.create(PERSISTENT_VOLUME_CLAIMS, "web-scratch", spec=claim())
        volume = {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": claim()}}}
        await dev.pod("web", volumes=[volume])
        await world.settle()
        assert await dev.host(PODS, "web") is None
        assert "pod is not owner" in (await dev.events("FailedBinding"))[0]["message"]
        await dev.delete(PERSISTENT_VOLUME_CLAIMS, "web-scratch")
        await world.settle(20)
        assert (await dev.get(PODS, "web"))["status"]["phase"] == "Running"

    @staticmethod
    @syncing
    async def test_on_the_host_itself(world: World, dev: Virtual) -> None:
        volume = {"name": "scratch", "ephemeral": {"volumeClaimTemplate": {"spec": claim()}}}
        await world.host.pod("web", volumes=[volume])
        await world.settle()
        assert (await world.host.get(PODS, "web"))["status"]["phase"] == "Running"


async def bound(world: World, cluster: Virtual, name: str = "data", **spec: Any) -> dict[str, Any]:
    """A claim with a pod that uses it."""
    await cluster.create(PERSISTENT_VOLUME_CLAIMS, name, spec=claim(**spec))
    await cluster.pod(f"user-of-{name}", volumes=[{"name": "d", "persistentVolumeClaim": {"claimName": name}}])
    await world.settle()
    return dict(await cluster.get(PERSISTENT_VOLUME_CLAIMS, name))


class TestVolumesOfTheHost:
    @staticmethod
    @syncing
    async def test_the_tenant_sees_those_that_its_claims_use(world: World, dev: Virtual) -> None:
        parameters = {"csi.storage.k8s.io/provisioner-secret-name": "of-the-host"}
        for name in ("fast", "unused"):
            parts = {"provisioner": "simulated.kloster.dev", "parameters": parameters, "mountOptions": ["x"]}
            await world.host.create(STORAGE_CLASSES, name, **parts)
        assert await dev.names(STORAGE_CLASSES) == await dev.names(PERSISTENT_VOLUMES) == []
        first = await bound(world, dev)
        second = await bound(world, dev, "more", storageClassName="fast")
        assert await dev.names(STORAGE_CLASSES) == ["fast", "simulated"]
        fast, default = await dev.all(STORAGE_CLASSES)
        assert "parameters" not in fast
        assert "mountOptions" not in fast
        assert default["metadata"]["annotations"]["storageclass.kubernetes.io/is-default-class"] == "true"
        volumes = {one["spec"]["claimRef"]["name"]: one for one in await dev.all(PERSISTENT_VOLUMES)}
        assert set(volumes) == {"data", "more"}
        for one in (first, second):
            volume = volumes[one["metadata"]["name"]]
            assert volume["metadata"]["name"] == one["spec"]["volumeName"] == f"pvc-{one['metadata']['uid']}"
            assert volume["spec"]["claimRef"]["uid"] == one["metadata"]["uid"]
            assert volume["spec"]["capacity"] == {"storage": "1Gi"}
            assert volume["status"]["phase"] == "Bound"
        shown = str(await dev.all(PERSISTENT_VOLUMES)) + str(await dev.all(STORAGE_CLASSES))
        shown += str(await dev.events())
        for hidden in (dev.tenancy.namespace, "of-the-host", *await world.host.names(PERSISTENT_VOLUMES)):
            assert hidden not in shown
        assert f"Successfully provisioned volume {first['spec']['volumeName']}" in shown

    @staticmethod
    @syncing
    async def test_all_storage_classes_are_shown_on_request(world: World, dev: Virtual) -> None:
        await dev.stop_syncer()
        await world.host.create(STORAGE_CLASSES, "fast", provisioner="example.com/fast")
        dev.start_syncer(enabled=(*EVERYTHING, "storageClasses.all"))
        await world.settle()
        assert await dev.names(STORAGE_CLASSES) == ["fast", "simulated"]
        await world.host.delete(STORAGE_CLASSES, "fast")
        await world.host.create(STORAGE_CLASSES, "slow", provisioner="example.com/slow")
        await world.settle()
        assert await dev.names(STORAGE_CLASSES) == ["simulated", "slow"]

    @staticmethod
    @syncing
    async def test_they_follow_the_host(world: World, dev: Virtual) -> None:
        found = await bound(world, dev)
        name = found["spec"]["volumeName"]
        await dev.patch(PERSISTENT_VOLUME_CLAIMS, "data", {"spec": {"resources": {"requests": {"storage": "2Gi"}}}})
        await world.settle()
        assert (await dev.get(PERSISTENT_VOLUMES, name))["spec"]["capacity"] == {"storage": "2Gi"}
        await dev.delete(PERSISTENT_VOLUMES, name)
        await dev.delete(STORAGE_CLASSES, "simulated")
        await world.settle()
        assert await dev.names(PERSISTENT_VOLUMES) == [name]
        assert await dev.names(STORAGE_CLASSES) == ["simulated"]
        await world.host.patch(STORAGE_CLASSES, "simulated", {"allowVolumeExpansion": False})
        await world.settle()
        assert (await dev.get(STORAGE_CLASSES, "simulated"))["allowVolumeExpansion"] is False
        await dev.delete(PODS, "user-of-data")
        await dev.delete(PERSISTENT_VOLUME_CLAIMS, "data")
        await world.settle()
        assert await dev.names(PERSISTENT_VOLUMES) == []
        await world.host.delete(STORAGE_CLASSES, "simulated")
        await world.settle()
        assert await dev.names(STORAGE_CLASSES) == []

    @staticmethod
    @syncing
    async def test_what_happened_while_the_syncer_was_away_is_made_up_for(world: World, dev: Virtual) -> None:
        await bound(world, dev)
        await dev.stop_syncer()
        await dev.delete(PODS, "user-of-data", grace_period_seconds=0)
        await dev.delete(PERSISTENT_VOLUME_CLAIMS, "data")
        await world.settle()
        assert len(await dev.names(PERSISTENT_VOLUMES)) == 1
        dev.start_syncer()
        await world.settle()
        assert await dev.names(PERSISTENT_VOLUMES) == []
        await quiet(world, dev)

    @staticmethod
    @syncing
    async def test_what_the_tenant_makes_is_left_alone(world: World, dev: Virtual) -> None:
        own = {"capacity": {"storage": "9Gi"}, "accessModes": ["ReadWriteOnce"], "nfs": {"server": "s", "path": "/"}}
        await dev.create(PERSISTENT_VOLUMES, "mine", spec=own)
        await dev.create(STORAGE_CLASSES, "simulated", provisioner="example.com/mine")
        await bound(world, dev)
        assert (await dev.get(STORAGE_CLASSES, "simulated"))["provisioner"] == "example.com/mine"
        assert "mine" in await dev.names(PERSISTENT_VOLUMES)
        assert (await dev.get(PERSISTENT_VOLUMES, "mine"))["spec"]["capacity"] == {"storage": "9Gi"}
        other = await world.virtual("other")
        assert await other.names(PERSISTENT_VOLUMES) == await other.names(STORAGE_CLASSES) == []


async def say_late(world: World, host: Object) -> None:
    """The host says something of a pod that has gone."""
    metadata = host["metadata"]
    await world.host.create(
        EVENTS,
        "late",
        metadata["namespace"],
        involvedObject={"kind": "Pod", **{field: metadata[field] for field in ("namespace", "name", "uid")}},
        reason="Late",
        type="Normal",
        message=f"{metadata['uid']} was {metadata['name']}",
        lastTimestamp=rfc3339(world.clock.now()),
    )
    await world.settle(1)


class TestEvents:
    @staticmethod
    @pytest.mark.parametrize(("away", "back"), [(60.0, True), (3700.0, False)], ids=["a-minute-old", "an-hour-old"])
    @syncing
    async def test_old_events_of_the_host_do_not_come_back(world: World, dev: Virtual, away: float, back: bool) -> None:
        await dev.pod("web")
        await world.settle()
        await dev.stop_syncer()
        (event,) = await dev.events("Scheduled")
        await dev.delete(EVENTS, event["metadata"]["name"])
        await world.settle(away)
        dev.start_syncer()
        await world.settle()
        assert bool(await dev.events("Scheduled")) is back

    @staticmethod
    @syncing
    async def test_what_was_said_of_a_pod_comes_up_while_it_is_going(world: World, dev: Virtual) -> None:
        """The host's pod has gone, the tenant's has not yet: as for a moment with every pod, here for a finalizer."""
        pod = await dev.pod("web", metadata={"finalizers": ["example.com/wait"]})
        await world.settle()
        (host,) = [one for one in await world.host.all(PODS) if one["metadata"]["name"].startswith("web-x-")]
        await dev.delete(PODS, "web", grace_period_seconds=0)
        await world.settle(1)
        assert await dev.find(PODS, "web") is not None
        assert await world.host.find(PODS, host["metadata"]["name"], host["metadata"]["namespace"]) is None
        await say_late(world, host)
        (event,) = await dev.events("Late")
        assert event["involvedObject"]["uid"] == pod["metadata"]["uid"]

    @staticmethod
    @syncing
    async def test_what_was_said_of_a_pod_comes_up_after_it_has_gone(world: World, dev: Virtual) -> None:
        """The next pod of that name is another one."""
        first = await dev.pod("web")
        await world.settle()
        (host,) = [one for one in await world.host.all(PODS) if one["metadata"]["name"].startswith("web-x-")]
        await dev.delete(PODS, "web", grace_period_seconds=0)
        await dev.pod("web")
        await world.settle(1)
        await say_late(world, host)
        (event,) = await dev.events("Late")
        assert event["involvedObject"]["uid"] == first["metadata"]["uid"]
        assert event["message"] == f"{first['metadata']['uid']} was web"

    @staticmethod
    @syncing
    async def test_nobody_is_remembered_for_long(world: World, dev: Virtual) -> None:
        await dev.pod("web")
        await world.settle()
        (host,) = [one for one in await world.host.all(PODS) if one["metadata"]["name"].startswith("web-x-")]
        await dev.delete(PODS, "web", grace_period_seconds=0)
        await world.settle(4)
        await say_late(world, host)
        assert await dev.events("Late") == []


class TestNamespaces:
    @staticmethod
    @syncing
    async def test_a_virtual_namespace_is_deleted(world: World, dev: Virtual) -> None:
        await dev.namespace("shop")
        await dev.create(CONFIG_MAPS, "settings", "shop", data={"a": "1"})
        await dev.create(SERVICES, "web", "shop", spec={"selector": {"a": "b"}, "ports": [{"port": 80}]})
        await dev.pod("web", "shop", volumes=[{"name": "c", "configMap": {"name": "settings"}}])
        await dev.pod("other")
        await world.settle()
        await dev.delete(NAMESPACES, "shop")
        await world.settle(20)
        assert "shop" not in await dev.names(NAMESPACES)
        for resource in (PODS, SERVICES, CONFIG_MAPS, SECRETS):
            left = [one["metadata"]["labels"]["kloster.dev/namespace"] for one in await dev.on_host(resource)]
            assert "shop" not in left, resource.plural
        assert len(await dev.on_host(PODS)) == 1

    @staticmethod
    @syncing
    async def test_the_host_namespace_is_deleted_behind_our_back(world: World, dev: Virtual) -> None:
        labels = {"app": "web"}
        template = {"metadata": {"labels": labels}, "spec": {"containers": APP}}
        spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
        await dev.create(DEPLOYMENTS, "web", spec=spec)
        await dev.create(SERVICES, "web", spec={"selector": labels, "ports": [{"port": 80}]})
        await world.settle()
        await world.host.delete(NAMESPACES, dev.tenancy.namespace)
        await world.settle(30)
        assert dev.tenancy.namespace not in await world.host.names(NAMESPACES)
        assert len(await dev.all(PODS)) == 2, "the tenant's controllers want them, they wait"
        await world.host.create(NAMESPACES, dev.tenancy.namespace, metadata={"labels": {CLUSTER: dev.tenancy.host_id}})
        await world.settle(2)
        assert {one["status"]["phase"] for one in await dev.all(PODS)} == {"Running"}
        service, host = await dev.get(SERVICES, "web"), await dev.host(SERVICES, "web")
        assert host is not None
        assert service["spec"]["clusterIP"] == host["spec"]["clusterIP"]


class TestNodes:
    @staticmethod
    @syncing
    async def test_what_the_tenant_sees(world: World, dev: Virtual) -> None:
        await world.host.patch(NODES, "node-1", {"metadata": {"labels": {"team": "secret"}}})
        await dev.pod("web", nodeName="node-1")
        await world.settle()
        node = await dev.get(NODES, "node-1")
        assert "team" not in node["metadata"]["labels"]
        assert "taints" not in node["spec"]
        assert node["status"]["addresses"] == [{"type": "Hostname", "address": "node-1"}]
        assert node["status"]["nodeInfo"]["containerRuntimeVersion"] == "simulated://"
        await world.host.patch(NODES, "node-1", {"spec": {"unschedulable": True}})
        await world.settle()
        node = await dev.get(NODES, "node-1")
        assert node["spec"]["unschedulable"] is True
        assert [one["key"] for one in node["spec"]["taints"]] == ["node.kubernetes.io/unschedulable"]
        await dev.patch(NODES, "node-1", {"spec": {"unschedulable": None}})
        await world.settle()
        assert (await dev.get(NODES, "node-1"))["spec"]["unschedulable"] is True, "the host's word counts"
        await world.host.patch(NODES, "node-1", {"spec": {"unschedulable": None}})
        await world.settle(10)
        assert (await dev.get(NODES, "node-1"))["spec"] == {}
