"""A cluster reached over the network: HTTP/1.1 by aiohttp, as measured the fastest way to talk to a kube-apiserver.

Answers to ordinary requests are read whole. Watches and followed logs come as streams. A request that asks for an
upgrade (exec, attach, port-forward) gets a connection of its own, see `upgrade`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Self
from urllib.parse import quote

import aiohttp
from yarl import URL

from kloster.aio.clock import Clock, SystemClock
from kloster.client import upgrade
from kloster.client.credentials import Authorization, tls_context
from kloster.client.errors import ConnectionFailed
from kloster.client.kubeconfig import Connection
from kloster.client.transport import Request, Response

_CONNECT = 10.0
_SILENCE = 330.0  # a watch that is asked to end within 5 minutes and says nothing for longer is dead
_AT_ONCE = 100  # requests in flight; streams do not count


class HttpTransport:
    """A `Transport` to one server with one identity. Use as an async context manager, or call `aclose`.

    request_timeout     seconds for a whole request that is not a stream
    """

    def __init__(self, connection: Connection, *, clock: Clock | None = None, request_timeout: float = 60.0) -> None:
        self.connection = connection
        self._tls = tls_context(connection)
        self._authorization = Authorization(connection, clock or SystemClock())
        socket = connection.server.startswith("unix://")
        self._socket = connection.server.removeprefix("unix://") if socket else ""
        self._base = URL("http://localhost" if socket else connection.server.rstrip("/"))
        self._timeout = aiohttp.ClientTimeout(total=request_timeout, sock_connect=_CONNECT)
        self._stream_timeout = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT, sock_read=_SILENCE)
        self._limit = asyncio.Semaphore(_AT_ONCE)
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __call__(self, request: Request) -> Response:
        """Raises ConnectionFailed when no answer arrives."""
        headers = dict(request.headers)
        if "authorization" not in headers:
            authorization = await self._authorization.header()
            if authorization:
                headers["authorization"] = authorization
        if "upgrade" in headers:
            return await upgrade.ask(self._base, self._tls, self._socket, self._server_name, request, headers)
        try:
            if _is_stream(request):
                return await self._stream(request, headers)
            async with self._limit:
                return await self._whole(request, headers)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ConnectionFailed(f"{self.connection.server}: {error or type(error).__name__}") from error

    async def _whole(self, request: Request, headers: dict[str, str]) -> Response:
        answer = await self._send(request, headers, self._timeout)
        async with answer:
            body = await answer.read()
        if answer.status == 401:
            self._authorization.forget()
        return Response(answer.status, _headers(answer), body)

    async def _stream(self, request: Request, headers: dict[str, str]) -> Response:
        answer = await self._send(request, headers, self._stream_timeout)
        if answer.status >= 400:
            async with answer:
                return Response(answer.status, _headers(answer), await answer.read())
        return Response(answer.status, _headers(answer), stream=self._chunks(answer))

    async def _chunks(self, answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
        try:
            async for chunk in answer.content.iter_any():
                yield chunk
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise ConnectionFailed(f"{self.connection.server}: {error or type(error).__name__}") from error
        finally:
            answer.close()

    async def _send(
        self, request: Request, headers: dict[str, str], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.ClientResponse:
        if self._session is None:
            self._session = self._new_session()
        # Encoded here, so that ".." stays what it is: yarl would resolve it, and the request go to another path.
        path = quote(self._base.path.rstrip("/") + request.path, safe="/:@!$&'()*+,;=~-._")
        url = self._base.with_path(path, encoded=True).with_query(request.query)
        return await self._session.request(
            request.method,
            url,
            data=request.body or None,
            headers=headers,
            timeout=timeout,
            allow_redirects=False,
            proxy=self.connection.proxy or None,
            server_hostname=self._server_name or None,
        )

    def _new_session(self) -> aiohttp.ClientSession:
        connector: aiohttp.BaseConnector
        if self._socket:
            connector = aiohttp.UnixConnector(self._socket, limit=0)
        else:
            connector = aiohttp.TCPConnector(ssl=self._tls if self._tls is not None else True, limit=0)
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=("Content-Type",),
            read_bufsize=1 << 18,
            trust_env=True,
        )

    @property
    def _server_name(self) -> str:
        return self.connection.tls_server_name


def _is_stream(request: Request) -> bool:
    """Watches and followed logs have no end that one could wait for."""
    return request.param("watch") in ("true", "1") or request.param("follow") in ("true", "1")


def _headers(answer: aiohttp.ClientResponse) -> dict[str, str]:
    """Lower-case names; what described the encoding on the wire is gone, since bodies arrive decoded."""
    hop = ("content-encoding", "content-length", "transfer-encoding", "connection")
    headers: dict[str, str] = {}
    for name, value in answer.headers.items():
        key = name.lower()
        if key not in hop:
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return headers
