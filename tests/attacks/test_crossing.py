"""What a tenant may not ask of the host: fields of pods, endpoints and streams that would give power over the node."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from tests.syncer.world import Virtual, World, syncing

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.client.client import Client
from kloster.client.http import HttpTransport
from kloster.client.kubeconfig import Connection
from kloster.client.resources import (
    CONFIG_MAPS,
    ENDPOINT_SLICES,
    EVENTS,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    SECRETS,
    SERVICES,
)
from kloster.client.transport import Request, Response
from kloster.syncer.connector import HostConnector
from kloster.syncer.hub import HostHub
from kloster.syncer.podspec import isolation, scheduling
from kloster.syncer.translator import Refused

SHOWN = (PODS, SERVICES, EVENTS, NODES, SECRETS, CONFIG_MAPS, PERSISTENT_VOLUME_CLAIMS, ENDPOINT_SLICES)


def container(**fields: Any) -> Object:
    return {"containers": [{"name": "app", "image": "app:1", **fields}]}


def handler(where: str, way: str, host: str = "169.254.169.254") -> Object:
    found: Object = {way: {"host": host, "port": 80}}
    if where in ("postStart", "preStop"):
        return container(lifecycle={where: found})
    return container(**{where: found})


POWER = {
    "hostNetwork": {**container(), "hostNetwork": True},
    "hostPID": {**container(), "hostPID": True},
    "hostIPC": {**container(), "hostIPC": True},
    "hostPath": {**container(), "volumes": [{"name": "v", "hostPath": {"path": "/"}}]},
    "nfs": {**container(), "volumes": [{"name": "v", "nfs": {"server": "10.0.0.1", "path": "/export"}}]},
    "gitRepo": {**container(), "volumes": [{"name": "v", "gitRepo": {"repository": "https://example.com/a"}}]},
    "privileged": container(securityContext={"privileged": True}),
    "privileged init": {**container(), "initContainers": container(securityContext={"privileged": True})["containers"]},
    "privileged ephemeral": {
        **container(),
        "ephemeralContainers": container(securityContext={"privileged": True})["containers"],
    },
    "capability": container(securityContext={"capabilities": {"add": ["SYS_ADMIN"]}}),
    "all capabilities": container(securityContext={"capabilities": {"add": ["ALL"]}}),
    "hostPort": container(ports=[{"containerPort": 80, "hostPort": 80}]),
    "procMount": container(securityContext={"procMount": "Unmasked"}),
    "seccomp": container(securityContext={"seccompProfile": {"type": "Unconfined"}}),
    "seccomp of the pod": {**container(), "securityContext": {"seccompProfile": {"type": "Unconfined"}}},
    "AppArmor": container(securityContext={"appArmorProfile": {"type": "Unconfined"}}),
    "SELinux type": container(securityContext={"seLinuxOptions": {"type": "spc_t"}}),
    "SELinux type of the pod": {**container(), "securityContext": {"seLinuxOptions": {"type": "unconfined_t"}}},
    "SELinux user": container(securityContext={"seLinuxOptions": {"user": "system_u"}}),
    "sysctl": {**container(), "securityContext": {"sysctls": [{"name": "kernel.msgmax", "value": "1"}]}},
    "hostProcess": {**container(), "securityContext": {"windowsOptions": {"hostProcess": True}}},
    "liveness by HTTP": handler("livenessProbe", "httpGet"),
    "readiness by TCP": handler("readinessProbe", "tcpSocket", "127.0.0.1"),
    "startup by HTTP": handler("startupProbe", "httpGet"),
    "postStart by HTTP": handler("postStart", "httpGet"),
    "preStop by TCP": handler("preStop", "tcpSocket"),
    "a runtime class": {**container(), "runtimeClassName": "unconfined"},
}

HARMLESS = {
    "nothing": container(),
    "a probe of itself": container(livenessProbe={"httpGet": {"port": 80, "path": "/"}}),
    "SELinux level": container(securityContext={"seLinuxOptions": {"type": "container_t", "level": "s0:c1"}}),
    "a capability": container(securityContext={"capabilities": {"add": ["NET_BIND_SERVICE"], "drop": ["ALL"]}}),
    "emptyDir": {**container(), "volumes": [{"name": "v", "emptyDir": {}}]},
}


class TestPods:
    @pytest.mark.parametrize("spec", POWER.values(), ids=POWER.keys())
    def test_power_over_the_node_is_refused(self, spec: Object) -> None:
        with pytest.raises(Refused):
            isolation.check(spec, {})
        isolation.check(spec, {"podSecurityStandard": "privileged"})

    @pytest.mark.parametrize("spec", HARMLESS.values(), ids=HARMLESS.keys())
    def test_the_rest_passes(self, spec: Object) -> None:
        isolation.check(spec, {})

    @staticmethod
    @syncing
    async def test_nothing_arrives_on_the_host(world: World, dev: Virtual) -> None:
        await dev.pod("share", volumes=[{"name": "v", "nfs": {"server": "10.0.0.1", "path": "/export"}}])
        await dev.pod("escape", **container(securityContext={"seLinuxOptions": {"type": "spc_t"}}))
        await dev.pod("ask", **handler("livenessProbe", "httpGet"))
        await world.settle()
        assert await dev.on_host(PODS) == []
        assert len(await dev.events("SyncRefused")) == 3


RESERVED = {"key": "team", "operator": "Equal", "value": "other", "effect": "NoSchedule"}
NOT_READY = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
ANYTHING = {"operator": "Exists"}


class TestTaints:
    """Nodes that the host keeps for somebody else."""

    @pytest.mark.parametrize(
        ("allowed", "crossing"),
        [
            pytest.param((), [NOT_READY], id="none"),
            pytest.param(("team",), [RESERVED, NOT_READY], id="one"),
            pytest.param(("node.kubernetes.io/",), [NOT_READY], id="no prefixes"),
            pytest.param(("*",), [RESERVED, NOT_READY, ANYTHING], id="all"),
        ],
    )
    def test_only_what_is_allowed_is_tolerated(self, allowed: tuple[str, ...], crossing: list[Object]) -> None:
        spec = {"tolerations": [RESERVED, NOT_READY, ANYTHING]}
        assert scheduling.tolerations(spec, {"tolerations": allowed}) == crossing

    @staticmethod
    @syncing
    async def test_the_pod_stays_off_them(world: World, dev: Virtual) -> None:
        taint = {"key": "team", "value": "other", "effect": "NoSchedule"}
        for node in await world.host.all(NODES):
            await world.host.patch(NODES, node["metadata"]["name"], {"spec": {"taints": [taint]}}, namespace="")
        for name, tolerations in (("exact", [RESERVED]), ("any", [ANYTHING])):
            await dev.pod(name, tolerations=tolerations)
        await world.settle()
        await dev.patch(
            PODS, "exact", {"spec": {"tolerations": [RESERVED, {**RESERVED, "operator": "Exists", "value": ""}]}}
        )
        await world.settle()
        for name in ("exact", "any"):
            host = await dev.host(PODS, name)
            assert host is not None
            assert not host["spec"].get("nodeName")
            assert "team" not in str(host["spec"].get("tolerations"))
            assert (await dev.get(PODS, name))["status"]["phase"] == "Pending"
        assert any("untolerated taint" in event["message"] for event in await dev.events("FailedScheduling"))


NUMBERS = ("nan", "inf", "-1e300", "1e400", "1.5", "x", "9" * 400)


class TestAnnotations:
    @staticmethod
    @pytest.mark.parametrize("number", NUMBERS)
    @pytest.mark.parametrize("name", ["run-seconds", "exit-code"])
    @syncing
    async def test_numbers_keep_nobody_busy(world: World, dev: Virtual, name: str, number: str) -> None:
        """They steer the host's simulated nodes."""
        await dev.pod("p", metadata={"annotations": {f"simulated.kloster.dev/{name}": number}}, restartPolicy="Never")
        await dev.pod("q")
        async with asyncio.timeout(30):
            await world.settle(10)
        assert (await dev.get(PODS, "q"))["status"]["phase"] == "Running"
        assert (await dev.get(PODS, "p"))["status"]["phase"] != "Pending"


ADDRESSES = {
    "loopback": ("IPv4", "127.0.0.1"),
    "metadata": ("IPv4", "169.254.169.254"),
    "unspecified": ("IPv4", "0.0.0.0"),
    "loopback 6": ("IPv6", "::1"),
    "link-local 6": ("IPv6", "fe80::1"),
    "mapped loopback": ("IPv6", "::ffff:127.0.0.1"),
    "mapped metadata": ("IPv6", "::ffff:169.254.169.254"),
    "mapped, in hexadecimal": ("IPv6", "::ffff:a9fe:a9fe"),
}


class TestEndpoints:
    @staticmethod
    @pytest.mark.parametrize(("family", "address"), ADDRESSES.values(), ids=ADDRESSES.keys())
    @syncing
    async def test_the_node_is_no_endpoint(world: World, dev: Virtual, family: str, address: str) -> None:
        await dev.create(SERVICES, "s", spec={"ports": [{"port": 80}]})
        slice_: Object = {
            "addressType": family,
            "endpoints": [{"addresses": [address]}],
            "ports": [{"name": "", "port": 80, "protocol": "TCP"}],
        }
        try:
            labels = {"kubernetes.io/service-name": "s"}
            await dev.create(ENDPOINT_SLICES, "s-1", metadata={"labels": labels}, **slice_)
        except StatusError as error:
            assert error.code == 422
        await world.settle()
        assert await dev.on_host(ENDPOINT_SLICES) == []


def sliced(*addresses: str, family: str = "IPv4") -> Object:
    return {
        "metadata": {"labels": {"kubernetes.io/service-name": "s"}},
        "addressType": family,
        "endpoints": [{"addresses": [address]} for address in addresses],
        "ports": [{"name": "", "port": 80, "protocol": "TCP"}],
    }


async def _crossed(dev: Virtual) -> list[str]:
    return [
        address
        for slice_ in await dev.on_host(ENDPOINT_SLICES)
        for endpoint in slice_["endpoints"] or ()
        for address in endpoint["addresses"]
    ]


class TestForeignEndpoints:
    """CVE-2021-25740: endpoints that somebody else's forwarder would reach for the tenant."""

    @staticmethod
    @syncing
    async def test_only_own_pods_cross(world: World, dev: Virtual) -> None:
        other = await world.virtual("neighbour")
        await other.pod("theirs")
        await dev.pod("mine")
        await world.settle()
        theirs, mine = [(await one.get(PODS, name))["status"] for one, name in ((other, "theirs"), (dev, "mine"))]
        (node,) = [one for one in await world.host.all(NODES) if one["metadata"]["name"] == "node-1"]
        node_address = next(one["address"] for one in node["status"]["addresses"] if one["type"] == "InternalIP")
        foreign = (theirs["podIP"], node_address, "10.96.0.1", "192.0.2.1", "8.8.8.8")
        await dev.create(SERVICES, "s", spec={"ports": [{"port": 80}]})
        await dev.create(ENDPOINT_SLICES, "s-1", **sliced(*foreign, mine["podIP"]))
        await dev.create(ENDPOINT_SLICES, "s-2", **sliced("metadata.google.internal", family="FQDN"))
        await world.settle()
        assert await _crossed(dev) == [mine["podIP"]]
        assert any(foreign[0] in event["message"] for event in await dev.events("SyncRefused"))

    @staticmethod
    @syncing
    async def test_a_forged_status_helps_nobody(world: World, dev: Virtual) -> None:
        other = await world.virtual("neighbour")
        await other.pod("theirs")
        await dev.pod("mine")
        await world.settle()
        address = (await other.get(PODS, "theirs"))["status"]["podIP"]
        await dev.create(SERVICES, "s", spec={"ports": [{"port": 80}]})
        await dev.create(ENDPOINT_SLICES, "s-1", **sliced(address))
        forged = {"podIP": address, "podIPs": [{"ip": address}], "phase": "Running"}
        await dev.client.patch(PODS, "default", "mine", {"status": forged}, subresource="status")
        await dev.create(PODS, "held", spec={**container(), "schedulingGates": [{"name": "a.b/c"}]})
        await dev.client.patch(PODS, "default", "held", {"status": forged}, subresource="status")
        await world.settle()
        assert await _crossed(dev) == []

    @staticmethod
    @syncing
    async def test_the_address_of_a_pod_that_has_ended_is_not_its_own(world: World, dev: Virtual) -> None:
        await dev.create(SERVICES, "s", spec={"ports": [{"port": 80}]})
        await dev.pod(
            "job", metadata={"annotations": {"simulated.kloster.dev/run-seconds": "30"}}, restartPolicy="Never"
        )
        await world.settle()
        address = (await dev.get(PODS, "job"))["status"]["podIP"]
        await dev.create(ENDPOINT_SLICES, "s-1", **sliced(address))
        await world.settle()
        assert await _crossed(dev) == [address]
        await world.settle(60)
        assert (await dev.get(PODS, "job"))["status"]["phase"] == "Succeeded"
        assert await _crossed(dev) == []

    @staticmethod
    @syncing
    async def test_a_cluster_may_be_allowed_to(world: World, dev: Virtual) -> None:
        await dev.create(SERVICES, "s", spec={"ports": [{"port": 80}]})
        await dev.create(ENDPOINT_SLICES, "s-1", **sliced("192.0.2.1"))
        dev.policy = {"foreignEndpoints": True}
        await dev.stop_syncer()
        dev.start_syncer()
        await world.settle()
        assert await _crossed(dev) == ["192.0.2.1"]


class Recorded:
    """A host that notes what it is asked."""

    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        return Response(200)

    async def aclose(self) -> None:
        return None


FORGED = {
    "authorization": "Bearer tenant",
    "impersonate-user": "admin",
    "impersonate-group": "system:masters",
    "impersonate-uid": "1",
    "impersonate-extra-scopes": "x",
    "x-remote-user": "admin",
    "x-remote-group": "system:masters",
    "x-remote-extra-scopes": "x",
    "x-forwarded-for": "127.0.0.1",
    "transfer-encoding": "chunked",
    "content-length": "7",
}


class TestStreams:
    @staticmethod
    @syncing
    async def test_only_the_pod_and_no_identity(world: World, dev: Virtual) -> None:
        await dev.pod("p")
        await world.settle()
        pod = await dev.get(PODS, "p")
        host = Recorded()
        connector = HostConnector(HostHub(Client(host), world.host.source), dev.tenancy)
        path = "/api/v1/namespaces/default/pods/p/log/../../../../kube-system/secrets"
        await connector.connect(Request("GET", path, [], {**FORGED, "accept": "text/plain"}), "log", pod)
        (asked,) = host.requests
        assert asked.path == f"/api/v1/namespaces/vc-dev/pods/{dev.host_name('p')}/log"
        assert asked.headers == {"accept": "text/plain"}
        assert asked.user is None

    @staticmethod
    @syncing
    async def test_a_proxied_path_stays_in_the_pod(world: World, dev: Virtual) -> None:
        await dev.pod("p")
        await world.settle()
        pod, host = await dev.get(PODS, "p"), Recorded()
        connector = HostConnector(HostHub(Client(host), world.host.source), dev.tenancy)
        asking = Request("GET", "/api/v1/namespaces/default/pods/p/proxy/x", [("a", "b")], {**FORGED, "accept": "a/b"})
        await connector.proxy_pod(asking, "/a/b", pod, "https", "8443")
        await connector.proxy_pod(asking, "", pod, "", "")
        name = dev.host_name("p")
        base = "/api/v1/namespaces/vc-dev/pods"
        assert [one.path for one in host.requests] == [f"{base}/https:{name}:8443/proxy/a/b", f"{base}/{name}/proxy"]
        assert [(one.query, one.headers) for one in host.requests] == [([("a", "b")], {"accept": "a/b"})] * 2
        for path in ("/../../secrets", "/a/..", "/./a", "/..\\..\\secrets"):
            with pytest.raises(StatusError, match="is not clean"):
                await connector.proxy_pod(asking, path, pod, "", "80")
        assert len(host.requests) == 2

    def test_a_path_is_sent_as_it_is(self) -> None:
        """The host must see the dots, and refuse, rather than a path that they lead to."""
        seen: list[bytes] = []

        async def go() -> None:
            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                seen.append(await reader.readline())
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                await writer.drain()
                writer.close()

            async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
                async with HttpTransport(Connection(f"http://127.0.0.1:{port}")) as transport:
                    await transport(Request("GET", "/api/v1/pods/p/proxy/../../../secrets/a%2fb"))

        asyncio.run(go())
        assert seen == [b"GET /api/v1/pods/p/proxy/../../../secrets/a%252fb HTTP/1.1\r\n"]


class TestBackUp:
    @staticmethod
    @syncing
    async def test_nothing_of_the_host_is_told(world: World, dev: Virtual) -> None:
        """Of all that a tenant can read; that a node has an address is told, as upstream tells it."""
        other = await world.virtual("neighbour")
        await other.pod("p")
        claim = {"name": "c", "persistentVolumeClaim": {"claimName": "none"}}
        await dev.pod("waits", volumes=[{"name": "s", "secret": {"secretName": "missing"}}, claim])
        await dev.pod("runs", nodeName="node-1", tolerations=[{"operator": "Exists"}])
        spec = {"ports": [{"port": 80}], "externalIPs": ["172.18.0.1"], "loadBalancerIP": "1.2.3.4"}
        await dev.create(SERVICES, "s", spec={**spec, "type": "LoadBalancer", "selector": {"a": "b"}})
        await world.settle(10)
        told = json.dumps([await dev.all(resource) for resource in SHOWN])
        for word in ("vc-dev", "-x-", "id-of-dev", "neighbour", "tenant.kloster.dev"):
            assert word not in told, told[max(0, told.find(word) - 200) :][:400]
        service = await dev.host(SERVICES, "s")
        assert service is not None
        assert not {"externalIPs", "loadBalancerIP"} & service["spec"].keys()
        host = await dev.host(PODS, "runs")
        assert host is not None
        required = "requiredDuringSchedulingIgnoredDuringExecution"
        assert host["spec"]["affinity"]["nodeAffinity"][required]["nodeSelectorTerms"]
        assert host["spec"]["automountServiceAccountToken"] is False
