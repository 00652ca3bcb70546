"""Calls webhooks by their clientConfig: a URL, or a Service of the cluster.

A Service is reached at one of its pods (`backends`), over the way that leads to the cluster's pods (`Ports.dialer`).
Pods of simulated nodes run nothing: there a test says who stands in for them (`rehearsal.standins`). An envtest has no
nodes at all, and its suites give URLs.

https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/#contacting-the-webhook
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import posixpath
from collections import Counter
from urllib.parse import urlsplit

import orjson

from kloster.apimachinery import Object
from kloster.apiserver import backends
from kloster.apiserver.backends import Unreachable
from kloster.apiserver.cluster import ServedCluster
from kloster.apiserver.pending import WebhookFailed
from kloster.apiserver.rehearsal.standins import POD, SERVICE
from kloster.client.errors import ConnectionFailed
from kloster.client.outgoing import Answer, Dial, Outgoing, Reach

AT_ONCE = 64
"""Calls under way at a time for one cluster: a tenant's slow webhooks are that tenant's affair."""


class Callouts:
    """A `WebhookCaller`."""

    def __init__(self, reach: Reach) -> None:
        self._outgoing = Outgoing(reach)
        self._under_way: Counter[str] = Counter()

    async def __call__(self, cluster: ServedCluster, client: Object, body: bytes, timeout: float) -> bytes:
        if self._under_way[cluster.id] >= AT_ONCE:
            raise WebhookFailed(f"{AT_ONCE} calls of this cluster are waiting already")
        url = _url(client, timeout)
        self._under_way[cluster.id] += 1
        try:
            bundle = _bundle(client)
            async with asyncio.timeout(timeout):
                dial, at = await _way(cluster, client)
            answer = await self._outgoing.post(url, body, ca=bundle, timeout=timeout, dial=dial, at=at)
        except TimeoutError as error:
            raise WebhookFailed(f'Post "{url}": context deadline exceeded') from error
        except Unreachable as error:
            raise WebhookFailed(f'Post "{url}": {error}') from error
        except ConnectionFailed as error:
            raise WebhookFailed(str(error)) from error
        finally:
            self._under_way[cluster.id] -= 1
            if not self._under_way[cluster.id]:
                del self._under_way[cluster.id]
        if not 200 <= answer.status < 300:
            raise WebhookFailed(_refusal(answer))
        return answer.body


async def time_out(client: Object, timeout: float) -> WebhookFailed:
    """What comes of calling a webhook that does not answer, once its time is up."""
    await asyncio.sleep(timeout)
    return WebhookFailed(f'Post "{_url(client, timeout)}": context deadline exceeded')


def refused(cluster: ServedCluster, client: Object, timeout: float) -> WebhookFailed:
    """What comes of calling a webhook when nobody listens where it should be."""
    url = _url(client, timeout)
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port or 443
    service = client.get("service") or {}
    if not client.get("url"):
        found = cluster.view.get("/services", service.get("namespace", ""), service.get("name", "")) or {}
        host = (found.get("spec") or {}).get("clusterIP") or host
    elif host == "localhost":
        host = "127.0.0.1"
    shown = f"[{host}]" if ":" in host else host
    return WebhookFailed(f'Post "{url}": dial tcp {shown}:{port}: connect: connection refused')


def _url(client: Object, timeout: float) -> str:
    return f"{_cleaned(_address(client))}?timeout={timeout:g}s"


def _bundle(client: Object) -> str:
    try:
        return base64.b64decode(client.get("caBundle") or "").decode()
    except (binascii.Error, ValueError) as error:
        raise WebhookFailed("unable to load root certificates: unable to parse bytes as PEM block") from error


def _address(client: Object) -> str:
    """The URL of a clientConfig."""
    if client.get("url"):
        return str(client["url"])
    service = client.get("service") or {}
    host = f"{service.get('name', '')}.{service.get('namespace', '')}.svc"
    return f"https://{host}:{service.get('port') or 443}{service.get('path') or ''}"


async def _way(cluster: ServedCluster, client: Object) -> tuple[Dial | None, tuple[str, int] | None]:
    """How to get to what a clientConfig names: a way to a pod, or a stand-in's place; neither for a URL.

    Raises Unreachable.
    """
    service = client.get("service")
    if client.get("url") or not service:
        return None, None
    namespace, name, number = service.get("namespace", ""), service.get("name", ""), service.get("port") or 443
    port = backends.service_port(cluster, namespace, name, number)
    rehearsal = cluster.ports.rehearsal
    if rehearsal is not None and (found := rehearsal.stand_ins.find(SERVICE, namespace, name, number)):
        return None, (found.host, found.at)
    backend = await backends.choose(cluster, namespace, name, port)
    pod = backend.pod["metadata"]
    if rehearsal is not None and (found := rehearsal.stand_ins.find(POD, namespace, pod["name"], backend.port)):
        return None, (found.host, found.at)
    dialer = cluster.ports.dialer
    if dialer is None:
        raise Unreachable(f'there is no way from this API server to pod "{pod["name"]}" behind service "{name}"')
    return (lambda: dialer.dial(backend.pod, backend.port)), None


def _cleaned(url: str) -> str:
    """The path as client-go joins it: without doubled slashes, dots and a slash at the end."""
    parts = urlsplit(url)
    path = posixpath.normpath("/" + parts.path.lstrip("/"))
    return f"{parts.scheme}://{parts.netloc}{'' if path == '/' else path}"


_TEXTS = {
    401: "the server has asked for the client to provide credentials",
    403: "the server rejected our request for an unknown reason",
    404: "the server could not find the requested resource",
    405: "the server does not allow this method on the requested resource",
    429: "the server has received too many requests and has asked us to try again later",
    503: "the server is currently unable to handle the request",
    504: "the server was unable to return a response in the time allotted, but may still be processing the request",
}


def _refusal(answer: Answer) -> str:
    """What client-go makes of an answer that is none."""
    try:
        status = orjson.loads(answer.body)
        if isinstance(status, dict) and status.get("kind") == "Status" and status.get("message"):
            return str(status["message"])
    except orjson.JSONDecodeError:
        pass
    if answer.status in _TEXTS:
        return _TEXTS[answer.status]
    if answer.status >= 500:
        said = answer.body[:1024].decode("utf-8", "replace").strip() if answer.text else "unknown"
        shown = orjson.dumps(said).decode()
        return f"an error on the server ({shown}) has prevented the request from succeeding"
    return f"the server responded with the status code {answer.status} but did not return more information"
