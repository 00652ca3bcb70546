"""pods/proxy, services/proxy and nodes/proxy: what is found out before anybody is asked, and who is asked for what.

The refusals are kube-apiserver's 1.34.
"""

from __future__ import annotations

from typing import Any

import pytest
from tests.apiserver.world import Api, on_cluster

from kloster.apimachinery import Object
from kloster.apiserver.cluster import ServedCluster
from kloster.client.transport import Request, Response

CORE = "/api/v1/namespaces/n"


class Nodes:
    """Writes down what is asked for."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []

    async def connect(self, request: Request, subresource: str, pod: Object) -> Response:
        raise AssertionError(subresource)

    async def proxy_pod(self, request: Request, path: str, pod: Object, scheme: str, port: str) -> Response:
        self.asked.append((request.method, path, pod["metadata"]["name"], scheme, port))
        return Response(200, {}, b"hello")

    async def proxy_node(self, request: Request, path: str, node: Object) -> Response:
        self.asked.append((request.method, path, node["metadata"]["name"]))
        return Response(200, {}, b"hello")


async def prepare(api: Api) -> None:
    ports = [{"containerPort": 8080}, {"containerPort": 9090, "name": "metrics"}]
    for name in ("p", "idle"):
        spec = {"containers": [{"name": "c", "image": "i", "ports": ports}]}
        made = await api.ok("POST", f"{CORE}/pods", {"metadata": {"name": name}, "spec": spec})
        if name == "p":
            status = {"podIP": "10.1.2.3", "podIPs": [{"ip": "10.1.2.3"}], "phase": "Running"}
            await api.ok("PATCH", f"{CORE}/pods/p/status", {"status": status})
            target = {"kind": "Pod", "namespace": "n", "name": "p", "uid": made["metadata"]["uid"]}
    service_ports = [{"name": "web", "port": 80, "targetPort": 8080}, {"name": "metrics", "port": 90}]
    for name in ("s", "none", "strange"):
        await api.ok("POST", f"{CORE}/services", {"metadata": {"name": name}, "spec": {"ports": service_ports}})
        addresses: list[Object] = [{"ip": "10.1.2.3", "targetRef": target}]
        if name == "strange":
            addresses = [{"ip": "192.0.2.1"}, {"ip": "10.1.2.3", "targetRef": {**target, "uid": "other"}}]
        subset = {"addresses": addresses, "ports": [{"name": "web", "port": 8080}]}
        subsets = [] if name == "none" else [subset]
        await api.ok("POST", f"{CORE}/endpoints", {"metadata": {"name": name}, "subsets": subsets})
    await api.ok("POST", "/api/v1/nodes", {"metadata": {"name": "node-1"}})


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        ("namespaces/n/pods/p/proxy", ("", "p", "", "8080")),
        ("namespaces/n/pods/p/proxy/", ("/", "p", "", "8080")),
        ("namespaces/n/pods/p:9090/proxy/a/proxy/b", ("/a/proxy/b", "p", "", "9090")),
        ("namespaces/n/pods/https:p:/proxy/x", ("/x", "p", "https", "8080")),
        ("namespaces/n/services/s:web/proxy/x", ("/x", "p", "", "8080")),
        ("namespaces/n/services/s:80/proxy/", ("/", "p", "", "8080")),
        ("namespaces/n/services/http:s:80/proxy/", ("/", "p", "http", "8080")),
        ("nodes/node-1/proxy/pods", ("/pods", "node-1")),
        ("nodes/node-1:10250/proxy/metrics/cadvisor", ("/metrics/cadvisor", "node-1")),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_who_is_asked(path: str, asked: tuple[str, ...], method: str) -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        await prepare(api)
        nodes = cluster.ports.nodes = Nodes()
        answer = await api.send(method, f"/api/v1/{path}", headers={"accept": "text/html"})
        assert (answer.status, answer.body) == (200, b"hello")
        assert nodes.asked == [(method, *asked)]

    on_cluster(body)


@pytest.mark.parametrize(
    ("path", "code", "message"),
    [
        ("namespaces/n/pods/idle/proxy/", 400, "address not allowed"),
        ("namespaces/n/pods/nope/proxy/", 404, 'pods "nope" not found'),
        ("namespaces/n/pods/ftp:p:80/proxy/", 400, 'invalid pod request "ftp:p:80"'),
        ("namespaces/n/services/none/proxy/", 503, 'no endpoints available for service "none"'),
        ("namespaces/n/services/strange:web/proxy/", 503, 'no endpoints available for service "strange:web"'),
        ("namespaces/n/services/s:other/proxy/", 503, 'no endpoints available for service "s:other"'),
        ("namespaces/n/services/s:81/proxy/", 503, 'no service port 81 found for service "s"'),
        ("namespaces/n/services/nope:80/proxy/", 404, 'services "nope" not found'),
        ("namespaces/n/services/a:b:c:d/proxy/", 400, 'invalid service request "a:b:c:d"'),
        ("nodes/nope:10250/proxy/x", 404, 'nodes "nope" not found'),
        ("namespaces/n/pods/p/log/x", 404, "the server could not find the requested resource"),
    ],
)
def test_what_is_refused(path: str, code: int, message: str) -> None:
    async def body(cluster: ServedCluster, api: Api) -> None:
        await prepare(api)
        nodes = cluster.ports.nodes = Nodes()
        answer: Any = await api.json("GET", f"/api/v1/{path}")
        assert (answer["code"], answer["message"]) == (code, message)
        assert nodes.asked == []

    on_cluster(body)
