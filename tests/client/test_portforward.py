"""Connections through pods/portforward, with TLS and without, and what is said when nobody listens."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import uvloop
from tests.client.kubelet import Kubelet
from tests.client.test_outgoing import CA, OK, serving

from kloster.apimachinery import Object
from kloster.client.dialing import PodAddress, may_be_reached
from kloster.client.errors import ConnectionFailed
from kloster.client.outgoing import Outgoing, Reach
from kloster.client.portforward import PortForward
from kloster.client.recorded import RecordedTransport, answer
from kloster.client.transport import Request, Response

POD: Object = {
    "metadata": {"name": "hook-1", "namespace": "n"},
    "spec": {},
    "status": {"phase": "Running", "podIP": "10.1.2.3", "hostIP": "192.0.2.1"},
}


def left_over() -> list[str]:
    """What still pumps."""
    running = (repr(task) for task in asyncio.all_tasks())
    return [one for one in running if "feed" in one or "_forward" in one]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Callable[[Awaitable[None]], None]:
    found: Callable[[Awaitable[None]], None] = request.param
    return found


def test_a_call_over_tls(tmp_path: Path, run: Callable[[Awaitable[None]], None]) -> None:
    """The certificate is checked against the name in the URL, wherever the bytes go."""

    async def main() -> None:
        large = b"[" + b"1" * 300_000 + b"]"
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 200000\r\n\r\n" + b"x" * 200_000
        async with serving(tmp_path, answer) as (port, asked):
            kubelet = Kubelet({8443: port}, ping=True)
            way = PortForward(kubelet)
            found = await Outgoing(Reach.ELSEWHERE).post(
                "https://localhost:443/check?timeout=1s", large, ca=CA, timeout=10, dial=lambda: way.dial(POD, 8443)
            )
            assert found.body == b"x" * 200_000
            assert asked[0].startswith(b"POST /check?timeout=1s HTTP/1.1\r\nHost: localhost:443\r\n")
            assert asked[0].endswith(large)
            assert kubelet.asked[0].path == "/api/v1/namespaces/n/pods/hook-1/portforward"
            assert kubelet.asked[0].headers["sec-websocket-protocol"] == "v4.channel.k8s.io"
            assert kubelet.pongs == [b"are you there"]
            with pytest.raises(ConnectionFailed, match="certificate is not valid for this name"):
                await Outgoing(Reach.ELSEWHERE).post(
                    "https://svc.n.svc:443/", b"", ca=CA, timeout=10, dial=lambda: way.dial(POD, 8443)
                )
        assert not left_over()
        await asyncio.sleep(0.05)  # the server's connections end

    run(main())


def test_nobody_listens(run: Callable[[Awaitable[None]], None]) -> None:
    async def main() -> None:
        way = PortForward(Kubelet({}))
        with pytest.raises(ConnectionFailed) as caught:
            await Outgoing(Reach.ELSEWHERE).post(
                "https://svc.n.svc:443/x", b"", ca=CA, timeout=10, dial=lambda: way.dial(POD, 8443)
            )
        text = 'Post "https://svc.n.svc:443/x": dial tcp 10.1.2.3:8443: connect: connection refused'
        assert str(caught.value) == text

    run(main())


def test_time_is_bounded(tmp_path: Path, run: Callable[[Awaitable[None]], None]) -> None:
    async def main() -> None:
        async with serving(tmp_path, OK, pause=5.0) as (port, _):
            way = PortForward(Kubelet({1: port}))
            with pytest.raises(ConnectionFailed, match="context deadline exceeded"):
                await Outgoing(Reach.ELSEWHERE).post(
                    "https://localhost/", b"", ca=CA, timeout=0.3, dial=lambda: way.dial(POD, 1)
                )
        assert not left_over()

    run(main())


def test_a_refusal_of_the_api_server_is_told() -> None:
    async def main() -> None:
        path = "GET /api/v1/namespaces/n/pods/hook-1/portforward"
        transport = RecordedTransport({path: answer({"kind": "Status", "message": 'pods "hook-1" not found'}, 404)})
        with pytest.raises(ConnectionFailed, match=r'dial tcp 10.1.2.3:1: pods "hook-1" not found'):
            async with PortForward(transport).dial(POD, 1):
                pass

    asyncio.run(main())


class _Garbage(Kubelet):
    """Breaks the protocol."""

    async def __call__(self, request: Request) -> Response:
        async def forward(peer: object) -> None:
            await peer.write(b"\x82\xff" + b"\xff" * 20)  # type: ignore[attr-defined]

        return Response(101, upgrade=forward)


def test_garbage_ends_it() -> None:
    async def main() -> None:
        with pytest.raises(ConnectionFailed):
            await Outgoing(Reach.ELSEWHERE).post(
                "https://localhost/", b"", ca=CA, timeout=5, dial=lambda: PortForward(_Garbage({})).dial(POD, 1)
            )

    asyncio.run(main())


@pytest.mark.parametrize(
    ("spec", "status", "reached"),
    [
        pytest.param({}, {}, True, id="running"),
        pytest.param({"hostNetwork": True}, {}, False, id="host-network"),
        pytest.param({}, {"phase": "Succeeded"}, False, id="its-address-may-be-anothers"),
        pytest.param({}, {"podIP": "192.0.2.1"}, False, id="the-nodes-address"),
        pytest.param({}, {"podIP": "127.0.0.1"}, False, id="loopback"),
        pytest.param({}, {"podIP": "169.254.169.254"}, False, id="metadata"),
        pytest.param({}, {"podIP": ""}, False, id="none"),
    ],
)
def test_whose_address_is_its_own(spec: Object, status: Object, reached: bool) -> None:
    pod = {**POD, "spec": spec, "status": {**POD["status"], **status}}
    assert may_be_reached(pod) is reached
    if not reached:

        async def main() -> None:
            with pytest.raises(ConnectionFailed, match="no network of its own"):
                async with PodAddress().dial(pod, 443):
                    pass

        asyncio.run(main())
