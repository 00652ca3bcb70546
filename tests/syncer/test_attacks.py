"""Tenants are strangers: what one writes, or what somebody forges on the host, never reaches another."""

from __future__ import annotations

import json
from typing import Any, ClassVar

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from tests.syncer.converged import check, quiet
from tests.syncer.world import Virtual, World, syncing

from kloster.apimachinery.errors import StatusError
from kloster.client.api import Resource
from kloster.client.inprocess import InProcessTransport
from kloster.client.resources import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    EVENTS,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    SECRETS,
    SERVICES,
    STORAGE_CLASSES,
)
from kloster.client.transport import Request, User
from kloster.syncer.names import CLUSTER, KIND, NAME, NAMESPACE, UID

PARTS = ("metadata", "data", "spec")
SHOWN = (
    PODS,
    SERVICES,
    CONFIG_MAPS,
    SECRETS,
    EVENTS,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    STORAGE_CLASSES,
)


async def everything(cluster: Virtual) -> str:
    """All that a tenant can read, as text."""
    return json.dumps([await cluster.all(resource) for resource in SHOWN])


async def run_application(cluster: Virtual, namespace: str, name: str, mark: str) -> None:
    await cluster.create(CONFIG_MAPS, name, namespace, data={"mark": mark})
    await cluster.create(SECRETS, name, namespace, stringData={"mark": mark})
    labels = {"app": "same", "owner": mark}
    spec = {"selector": {"app": "same"}, "ports": [{"port": 80}]}
    await cluster.create(SERVICES, name, namespace, spec=spec)
    volumes: list[Any] = [
        {"name": "c", "configMap": {"name": name}},
        {"name": "s", "secret": {"secretName": name}},
    ]
    await cluster.pod(name, namespace, metadata={"labels": labels, "annotations": {"a": mark}}, volumes=volumes)


class TestTwoClusters:
    @staticmethod
    @syncing
    async def test_same_names_and_names_made_to_collide(world: World, dev: Virtual) -> None:
        """a-x-b in c and a in b-x-c, in both clusters, beside ordinary names in the same namespaces."""
        other = await world.virtual("other")
        for cluster in (dev, other):
            for namespace in ("c", "b-x-c"):
                await cluster.namespace(namespace)
            mark = f"mark-of-{cluster.name}"
            for namespace, name in (("c", "a-x-b"), ("b-x-c", "a"), ("c", "a"), ("default", "a")):
                await run_application(cluster, namespace, name, mark)
        await world.settle()
        for cluster, stranger in ((dev, other), (other, dev)):
            await check(cluster)
            pods = await cluster.all(PODS)
            assert len(pods) == 4
            assert {one["status"]["phase"] for one in pods} == {"Running"}
            text = await everything(cluster)
            assert f"mark-of-{stranger.name}" not in text
            assert stranger.tenancy.namespace not in text
            assert stranger.tenancy.host_id not in text
            assert cluster.tenancy.namespace not in text, "the host's names stay on the host"
            assert cluster.tenancy.host_id not in text
        names = [one["metadata"]["name"] for one in await dev.on_host(PODS)]
        assert len(set(names)) == 4
        for service in await dev.on_host(SERVICES):
            own = [p for p in await dev.on_host(PODS) if selected(service, p)]
            foreign = [p for p in await world.host.all(PODS) if selected(service, p) and p not in own]
            assert own and not foreign
        for cluster in (dev, other):
            await quiet(world, cluster)

    @staticmethod
    @syncing
    async def test_clusters_named_to_collide(world: World, dev: Virtual) -> None:
        """A cluster b-x-c and a cluster c whose namespace ends in -x-b, in different host namespaces."""
        one, two = await world.virtual("b-x-c"), await world.virtual("c")
        await two.namespace("default-x-b")
        await one.pod("a", "default")
        await two.pod("a", "default-x-b")
        await world.settle()
        assert one.host_name("a") != two.host_name("a", "default-x-b")
        await check(one)
        await check(two)

    @staticmethod
    @syncing
    async def test_affinity_and_spread_see_only_ones_own_pods(world: World, dev: Virtual) -> None:
        other = await world.virtual("other")
        labels = {"app": "same"}
        term = {"labelSelector": {"matchLabels": labels}, "topologyKey": "kubernetes.io/hostname"}
        field = "requiredDuringSchedulingIgnoredDuringExecution"
        alone = {"podAntiAffinity": {field: [{**term, "namespaceSelector": {}}]}}
        for cluster in (dev, other):
            for number in range(3):
                await cluster.pod(f"p{number}", metadata={"labels": labels}, affinity=alone)
        await world.settle()
        for cluster in (dev, other):
            nodes = [one["spec"].get("nodeName") for one in await cluster.all(PODS)]
            assert sorted(nodes) == ["node-1", "node-2", "node-3"], "three nodes hold one pod of each cluster"
        together = {"podAffinity": {field: [term]}}
        await world.virtual("third")
        third = world.clusters[-1]
        assert isinstance(third, Virtual)
        await third.pod("lonely", metadata={"labels": {"app": "else"}}, affinity=together)
        await world.settle()
        assert (await third.get(PODS, "lonely"))["status"]["phase"] == "Pending", "others' pods do not count"
        spread = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"s": "x"}},
            }
        ]
        for number in range(3):
            await third.pod(f"s{number}", metadata={"labels": {"s": "x"}}, topologySpreadConstraints=spread)
        await world.settle()
        nodes = [one["spec"]["nodeName"] for one in await third.all(PODS) if one["metadata"]["name"][0] == "s"]
        assert len(set(nodes)) == 3


def selected(service: Any, pod: Any) -> bool:
    """Whether the host would send the service's traffic to the pod."""
    labels = pod["metadata"].get("labels") or {}
    same = service["metadata"]["namespace"] == pod["metadata"]["namespace"]
    return same and all(labels.get(key) == value for key, value in service["spec"]["selector"].items())


class TestForeignObjects:
    @staticmethod
    @pytest.mark.parametrize(
        ("resource", "parts"),
        [
            pytest.param(CONFIG_MAPS, {"data": {"precious": "yes"}}, id="configmap"),
            pytest.param(PODS, {"spec": {"containers": [{"name": "host", "image": "host:1"}]}}, id="pod"),
            pytest.param(SERVICES, {"spec": {"ports": [{"port": 1}]}}, id="service"),
        ],
    )
    @syncing
    async def test_an_object_in_the_way_is_not_touched(
        world: World, dev: Virtual, resource: Resource, parts: Any
    ) -> None:
        name, namespace = dev.host_name("web"), dev.tenancy.namespace
        await world.host.create(resource, name, namespace, **parts)
        await world.settle()
        before = await world.host.get(resource, name, namespace)
        await dev.create(CONFIG_MAPS, "web", data={"mine": "1"})
        await dev.create(SERVICES, "web", spec={"ports": [{"port": 80}]})
        await dev.pod("web", volumes=[{"name": "c", "configMap": {"name": "web"}}])
        await world.settle()
        after = await world.host.get(resource, name, namespace)
        for part in (after, before):
            part["metadata"] = part["metadata"]["uid"]
        assert [after.get(part) for part in PARTS] == [before.get(part) for part in PARTS]
        (event,) = await dev.events("SyncConflict")
        assert event["involvedObject"]["kind"] == resource.kind
        assert namespace not in event["message"]
        await dev.delete(resource, "web")
        await world.settle()
        assert await world.host.find(resource, name, namespace) is not None
        if resource is CONFIG_MAPS:
            await dev.create(CONFIG_MAPS, "web", data={"mine": "1"})
        await world.host.delete(resource, name, namespace)
        await world.settle()
        if resource is not PODS and resource is not SERVICES:
            assert (await dev.get(PODS, "web"))["status"]["phase"] == "Running", "the place is free: no wait"

    @staticmethod
    @syncing
    async def test_a_copied_manifest_is_not_ours(world: World, dev: Virtual) -> None:
        """Somebody copies a host object with all its marks under another name."""
        await dev.create(CONFIG_MAPS, "web", data={"a": "1"})
        await dev.pod("web", volumes=[{"name": "c", "configMap": {"name": "web"}}])
        await world.settle()
        host = await dev.host(CONFIG_MAPS, "web")
        assert host is not None
        marks = {"labels": host["metadata"]["labels"], "annotations": host["metadata"]["annotations"]}
        await world.host.create(CONFIG_MAPS, "copy", dev.tenancy.namespace, metadata=marks, data={"precious": "yes"})
        await world.settle()
        await dev.delete(PODS, "web")
        await dev.delete(CONFIG_MAPS, "web")
        await world.settle()
        await dev.stop_syncer()
        dev.start_syncer()
        await world.settle()
        assert (await world.host.get(CONFIG_MAPS, "copy", dev.tenancy.namespace))["data"] == {"precious": "yes"}
        assert await dev.host(CONFIG_MAPS, "web") is None

    @staticmethod
    @syncing
    async def test_marks_of_another_cluster_do_not_reach_it(world: World, dev: Virtual) -> None:
        """An object in dev's host namespace that claims to be other's."""
        other = await world.virtual("other")
        pod = await other.pod("web")
        await world.settle()
        marks = {
            "labels": {CLUSTER: other.tenancy.host_id},
            "annotations": {KIND: "Pod", NAME: "web", NAMESPACE: "default", UID: pod["metadata"]["uid"]},
        }
        spec = {"containers": [{"name": "app", "image": "evil:1"}], "restartPolicy": "Never"}
        await world.host.create(PODS, other.host_name("web"), dev.tenancy.namespace, metadata=marks, spec=spec)
        await world.settle(5)
        seen = await other.get(PODS, "web")
        assert seen["status"]["phase"] == "Running"
        assert await dev.names(PODS) == []
        await check(other)

    @staticmethod
    @syncing
    async def test_a_host_namespace_of_somebody_else_gets_nothing(world: World, dev: Virtual) -> None:
        await world.host.create(NAMESPACES, "precious")
        await world.settle()
        await dev.namespace("precious")
        await dev.pod("web", "precious")
        await world.settle()
        assert await world.host.names(PODS, "precious") == []


class TestForgedByTheTenant:
    @staticmethod
    @syncing
    async def test_marks_in_labels_and_annotations_mean_nothing(world: World, dev: Virtual) -> None:
        other = await world.virtual("other")
        victim = await other.pod("web")
        await world.settle()
        forged = {
            "labels": {CLUSTER: other.tenancy.host_id, NAMESPACE: "kube-system"},
            "annotations": {NAME: "web", NAMESPACE: "default", UID: victim["metadata"]["uid"]},
        }
        await dev.pod("evil", metadata=forged)
        await dev.create(
            SERVICES,
            "evil",
            metadata=forged,
            spec={"selector": {CLUSTER: other.tenancy.host_id}, "ports": [{"port": 80}]},
        )
        await world.settle()
        (host,) = await dev.on_host(PODS)
        assert host["metadata"]["labels"][CLUSTER] == dev.tenancy.host_id
        assert host["metadata"]["annotations"][NAME] == "evil"
        (service,) = await dev.on_host(SERVICES)
        assert service["spec"]["selector"][CLUSTER] == dev.tenancy.host_id
        assert not any(selected(service, one) for one in await other.on_host(PODS))
        await check(dev)
        await check(other)

    @staticmethod
    @syncing
    async def test_nobody_takes_the_place_of_a_token(world: World, dev: Virtual) -> None:
        pod = await dev.pod("web")
        await world.settle()
        token = dev.tenancy.token_name("web", "default", pod["metadata"]["uid"])
        for name in (f"web-token-{pod['metadata']['uid'][:8]}", token, "web"):
            await dev.create(SECRETS, name, stringData={"token": "mine"})
            await dev.pod(f"reads-{len(name)}", volumes=[{"name": "s", "secret": {"secretName": name}}])
        await world.settle()
        secret = await world.host.get(SECRETS, token, dev.tenancy.namespace)
        assert "token" not in secret["data"]
        await check(dev)

    @staticmethod
    @syncing
    async def test_a_gate_named_like_a_condition_of_the_kubelet(world: World, dev: Virtual) -> None:
        await dev.pod("web", readinessGates=[{"conditionType": "PodScheduled"}, {"conditionType": "Initialized"}])
        await world.settle()
        forged = {"type": "Initialized", "status": "False", "reason": "Forged"}
        await dev.patch(PODS, "web", {"status": {"conditions": [forged]}}, type="strategic", subresource="status")
        await world.settle()
        host = await dev.host(PODS, "web")
        assert host is not None
        assert "Forged" not in json.dumps(host["status"])

    @staticmethod
    @syncing
    async def test_forged_status_does_not_go_down(world: World, dev: Virtual) -> None:
        await dev.pod("web")
        await world.settle()
        forged = {"status": {"podIP": "10.0.0.1", "podIPs": [{"ip": "10.0.0.1"}], "hostIP": "10.9.9.9"}}
        await dev.patch(PODS, "web", forged, subresource="status")
        await world.settle()
        pod, host = await dev.get(PODS, "web"), await dev.host(PODS, "web")
        assert host is not None
        assert pod["status"]["podIP"] == host["status"]["podIP"] != "10.0.0.1"

    @staticmethod
    @syncing
    async def test_downward_values_are_the_tenants(world: World, dev: Virtual) -> None:
        fields = (
            "metadata.name",
            "metadata.namespace",
            "metadata.uid",
            "spec.serviceAccountName",
            "metadata.labels['a']",
        )
        env = [
            {"name": f"V{number}", "valueFrom": {"fieldRef": {"fieldPath": field}}}
            for number, field in enumerate(fields)
        ]
        await dev.pod("web", metadata={"labels": {"a": "b"}}, containers=[{"name": "c", "image": "i", "env": env}])
        await world.settle()
        host = await dev.host(PODS, "web")
        pod = await dev.get(PODS, "web")
        assert host is not None
        annotations = host["metadata"]["annotations"]
        values = []
        for variable in host["spec"]["containers"][0]["env"]:
            if "value" in variable:
                values.append(variable["value"])
            else:
                path = variable["valueFrom"]["fieldRef"]["fieldPath"]
                values.append(annotations[path.removeprefix("metadata.annotations['").removesuffix("']")])
        assert values == ["web", "default", pod["metadata"]["uid"], "default", "b"]


class TestTexts:
    @staticmethod
    @syncing
    async def test_the_hosts_taints_are_not_told(world: World, dev: Virtual) -> None:
        taint = {"key": "dedicated", "value": "team-secret", "effect": "NoSchedule"}
        for number in (1, 2, 3):
            await world.host.patch(NODES, f"node-{number}", {"spec": {"taints": [taint]}})
        await dev.pod("web")
        await world.settle()
        text = await everything(dev)
        assert "untolerated taint" in text
        assert "team-secret" not in text and "dedicated" not in text

    @staticmethod
    @syncing
    async def test_a_refusal_of_the_host_is_told_in_the_tenants_words(world: World, dev: Virtual) -> None:
        big = [{"name": "a", "image": "a", "resources": {"requests": {"cpu": "1"}, "limits": {"cpu": "2"}}}]
        limit = {"spec": {"limits": [{"type": "Pod", "max": {"cpu": "1"}}]}}
        ranges = Resource("", "v1", "limitranges", "LimitRange", True)
        await world.host.create(ranges, "small", dev.tenancy.namespace, **limit)
        await dev.pod("web", containers=big)
        await world.settle()
        event = (await dev.events("SyncFailed"))[0]
        assert event["message"].startswith(
            'The host refused the Pod: pods "web" is forbidden: maximum cpu usage per Pod'
        )
        await world.host.delete(ranges, "small", dev.tenancy.namespace)
        await world.settle(300)
        assert (await dev.get(PODS, "web"))["status"]["phase"] == "Running"

    @staticmethod
    @syncing
    async def test_no_text_of_a_busy_day_names_the_host(world: World, dev: Virtual) -> None:
        other = await world.virtual("other")
        labels = {"app": "web"}
        for cluster in (dev, other):
            template = {
                "metadata": {"labels": labels},
                "spec": {
                    "containers": [{"name": "c", "image": "i", "envFrom": [{"configMapRef": {"name": "missing"}}]}],
                    "volumes": [{"name": "s", "secret": {"secretName": "absent", "optional": True}}],
                },
            }
            spec = {"replicas": 2, "selector": {"matchLabels": labels}, "template": template}
            await cluster.create(DEPLOYMENTS, "web", spec=spec)
            crash = {"simulated.kloster.dev/exit-code": "1", "simulated.kloster.dev/run-seconds": "1"}
            await cluster.pod("crash", metadata={"annotations": crash})
        await world.settle(30)
        text = await everything(dev)
        assert 'configmap \\"missing\\" not found' in text
        assert "back-off" in text
        for word in (dev.tenancy.namespace, other.tenancy.namespace, "-x-default-x-", "id-of-", "kloster.dev/cluster"):
            assert word not in text, word


class TestRefusals:
    @staticmethod
    @syncing
    async def test_they_are_told_once(world: World, dev: Virtual) -> None:
        """Neither a second look nor a restart makes news of what the tenant knows."""
        await dev.pod("web", hostPID=True)
        spec = {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
            "dataSource": {"kind": "VolumeSnapshot", "name": "theirs", "apiGroup": "snapshot.storage.k8s.io"},
        }
        await dev.create(PERSISTENT_VOLUME_CLAIMS, "data", spec=spec)
        await world.settle()
        for name, resource in (("web", PODS), ("data", PERSISTENT_VOLUME_CLAIMS)):
            await dev.patch(resource, name, {"metadata": {"labels": {"again": "yes"}}})
        await world.settle()
        assert [one["count"] for one in await dev.events("SyncRefused")] == [1, 1]
        assert await dev.on_host(PODS) == [] == await dev.on_host(PERSISTENT_VOLUME_CLAIMS)
        await quiet(world, dev)


class TestStreams:
    @staticmethod
    @syncing
    async def test_logs_are_asked_for_at_the_host_pod(world: World, dev: Virtual) -> None:
        """Nothing of the tenant's request but its question goes to the host, and nothing of the host's names comes
        back."""
        seen: list[Request] = []
        original = world.host.served.ports.nodes
        assert original is not None

        class Recording:
            async def connect(self, request: Request, subresource: str, pod: Any) -> Any:
                seen.append(request)
                return await original.connect(request, subresource, pod)

            proxy_pod = original.proxy_pod
            proxy_node = original.proxy_node

        world.host.served.ports.nodes = Recording()
        await dev.pod("web")
        await world.settle()
        with pytest.raises(StatusError) as refused:
            await dev.client.json("GET", PODS.path("default", "web", "log"), [("tailLines", "5")])
        assert refused.value.code == 501
        assert refused.value.message.startswith('pod "web" has no logs')
        (request,) = seen
        assert request.path == PODS.path(dev.tenancy.namespace, dev.host_name("web"), "log")
        assert request.query == [("tailLines", "5")]
        headers = {
            "authorization": "Bearer secret",
            "cookie": "secret",
            "impersonate-user": "somebody",
            "impersonate-extra-a": "b",
        }
        connector = dev.served.ports.nodes
        assert connector is not None
        asked = Request("GET", PODS.path("default", "web", "log"), headers=headers)
        await connector.connect(asked, "log", await dev.get(PODS, "web"))
        assert not {"authorization", "cookie", "impersonate-user", "impersonate-extra-a"} & seen[-1].headers.keys()

    @staticmethod
    @syncing
    async def test_a_pod_of_the_same_name_that_is_another_is_not_reached(world: World, dev: Virtual) -> None:
        pod = await dev.pod("web")
        await world.settle()
        connector = dev.served.ports.nodes
        assert connector is not None
        other = {**pod, "metadata": {**pod["metadata"], "uid": "another"}}
        with pytest.raises(StatusError) as refused:
            await connector.connect(Request("GET", PODS.path("default", "web", "log")), "log", other)
        assert refused.value.code == 404


class TestAddresses:
    """Only the syncer may change a service's address; no request from outside can pass for it."""

    PATCH: ClassVar[dict[str, Any]] = {"spec": {"clusterIP": "10.96.77.77", "clusterIPs": ["10.96.77.77"]}}

    @staticmethod
    @syncing
    async def test_a_cluster_admin_may_not(world: World, dev: Virtual) -> None:
        await dev.create(SERVICES, "web", spec={"ports": [{"port": 80}]})
        await world.settle()
        with pytest.raises(StatusError) as refused:
            await dev.patch(SERVICES, "web", TestAddresses.PATCH)
        assert refused.value.code == 422
        assert "may not change once set" in refused.value.message

    @staticmethod
    @syncing
    async def test_impersonating_the_syncer_does_not_help(world: World, dev: Virtual) -> None:
        """Whoever is cluster-admin may act as anybody by name and groups; the syncer's right is neither."""
        await dev.create(SERVICES, "web", spec={"ports": [{"port": 80}]})
        await world.settle()
        transport = InProcessTransport(dev.handler, User("tenant", groups=("system:masters",)))
        headers = {
            "content-type": "application/merge-patch+json",
            "impersonate-user": "system:kloster",
            "impersonate-group": "system:masters",
            "impersonate-extra-assigns": "true",
        }
        body = json.dumps(TestAddresses.PATCH).encode()
        path = SERVICES.path("default", "web")
        response = await transport(Request("PATCH", path, headers=headers, body=body))
        assert response.status == 422

    @staticmethod
    @syncing
    async def test_no_authenticated_user_has_the_right(world: World, dev: Virtual) -> None:
        pair = dev.identity.admin(world.clock.now())
        certificate = x509.load_pem_x509_certificate(pair.certificate).public_bytes(Encoding.DER)
        user = dev.served.authenticator(Request("GET", "/", peer_certificate=certificate))
        assert "system:masters" in user.groups
        assert user.assigns is False

    @staticmethod
    @syncing
    async def test_address_objects_follow(world: World, dev: Virtual) -> None:
        """IPAddress objects of the virtual cluster name the addresses that its services have, each once."""
        addresses = Resource("networking.k8s.io", "v1", "ipaddresses", "IPAddress", False)
        for number in range(12):
            await dev.create(SERVICES, f"s{number}", spec={"ports": [{"port": 80}]})
        await world.settle()
        services = {one["spec"]["clusterIP"]: one["metadata"]["name"] for one in await dev.all(SERVICES)}
        objects = {one["metadata"]["name"]: one["spec"]["parentRef"]["name"] for one in await dev.all(addresses)}
        assert objects == services
        assert len(services) == 13
        for number in range(12):
            await dev.delete(SERVICES, f"s{number}")
        await world.settle()
        assert await dev.names(addresses) == ["10.96.0.1"]
