"""A synchronous client of one cluster, from the standard library alone, so that what uses it starts fast.

One connection is kept and used again, by one thread at a time. That the server has closed it meanwhile is noticed
before a request is sent; if it closes it just then, reading (which does no harm) is tried again on a new one.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import select
import ssl
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from kloster.apimachinery.errors import StatusError
from kloster.client.pem import load_pair

TIMEOUT = 30.0
JSON = "application/json"


class Blocking:
    """One cluster, reached by a kubeconfig document (its first cluster and user) with client certificate or token.

    Methods raise StatusError for what the server refuses and OSError if it cannot be reached.
    """

    def __init__(self, kubeconfig: Mapping[str, Any], user_agent: str = "kloster", timeout: float = TIMEOUT) -> None:
        cluster = kubeconfig["clusters"][0]["cluster"]
        user = kubeconfig["users"][0]["user"]
        parts = urlsplit(cluster["server"])
        self.server: str = cluster["server"]
        self.timeout = timeout
        self._host, self._port, self._prefix = parts.hostname or "", parts.port or 443, parts.path.rstrip("/")
        self._name = cluster.get("tls-server-name") or self._host
        self._headers = {"Accept": JSON, "User-Agent": user_agent}
        if user.get("token"):
            self._headers["Authorization"] = f"Bearer {user['token']}"
        self._context = _context(cluster, user)
        self._lock = threading.Lock()
        self._kept: http.client.HTTPSConnection | None = None
        self._process = 0

    def get(self, path: str, **query: str) -> Any:
        return self.request("GET", path, query)

    def create(self, path: str, body: Any) -> Any:
        return self.request("POST", path, {}, body)

    def delete(self, path: str) -> Any:
        return self.request("DELETE", path, {})

    def patch(self, path: str, body: Any, kind: str = "application/merge-patch+json") -> Any:
        return self.request("PATCH", path, {}, body, kind)

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Any = None,
        kind: str = JSON,
        accept: str = "",
    ) -> Any:
        """One request with JSON both ways; an answer that is not JSON is returned as text."""
        with self._lock:
            while True:
                reused, connection = self._connection()
                try:
                    response = self._send(connection, method, path, query, body, kind, accept)
                    text = response.read()
                    break
                except BaseException as error:
                    self._forget()
                    if reused and method == "GET" and isinstance(error, OSError | http.client.HTTPException):
                        continue
                    if isinstance(error, http.client.HTTPException):
                        raise ConnectionError(f"{type(error).__name__}: {error}") from error
                    raise
            if response.will_close:
                self._forget()
        return _answer(response.status, text)

    def watch(self, path: str, timeout: float, **query: str) -> Iterator[tuple[str, Any]]:
        """(type, object) of each change, until the server or `timeout` (seconds) ends it."""
        asked = {**query, "watch": "true", "timeoutSeconds": str(max(1, int(timeout)))}
        connection = self._connect(timeout + 5)
        try:
            response = self._send(connection, "GET", path, asked)
            if response.status >= 400:
                _answer(response.status, response.read())
            for line in response:
                event = json.loads(line)
                yield event["type"], event["object"]
        finally:
            connection.close()

    def close(self) -> None:
        with self._lock:
            self._forget()

    def __del__(self) -> None:
        if hasattr(self, "_kept"):
            self._forget()

    def _connection(self) -> tuple[bool, http.client.HTTPSConnection]:
        """The kept connection if it can be used (then the first is true), otherwise a new one."""
        kept = self._kept
        if kept is not None:
            inherited = self._process != os.getpid()  # this process is a fork: the connection is its parent's
            if not inherited and kept.sock is not None and not select.select([kept.sock], [], [], 0)[0]:
                return True, kept
            self._forget()
        self._kept = self._connect(self.timeout)
        self._process = os.getpid()
        return False, self._kept

    def _forget(self) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def _connect(self, timeout: float) -> http.client.HTTPSConnection:
        connection = http.client.HTTPSConnection(self._host, self._port, timeout=timeout, context=self._context)
        if self._name != self._host:
            connection.connect = lambda: _connect_as(connection, self._context, self._name)  # type: ignore[method-assign]
        return connection

    def _send(
        self,
        connection: http.client.HTTPSConnection,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Any = None,
        kind: str = JSON,
        accept: str = "",
    ) -> http.client.HTTPResponse:
        url = self._prefix + quote(path) + (f"?{urlencode(query)}" if query else "")
        headers = dict(self._headers)
        if accept:
            headers["Accept"] = accept
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), kind
        connection.request(method, url, data, headers)
        return connection.getresponse()


def _answer(status: int, text: bytes) -> Any:
    try:
        content = json.loads(text)
    except ValueError:
        content = text.decode(errors="replace")
    if status >= 400:
        told = content if isinstance(content, dict) else {"message": content}
        raise StatusError.from_status(told, status)
    return content


def _connect_as(connection: http.client.HTTPSConnection, context: ssl.SSLContext, name: str) -> None:
    """Connect to the address, but ask for (and expect) the certificate of `name`."""
    http.client.HTTPConnection.connect(connection)
    connection.sock = context.wrap_socket(connection.sock, server_hostname=name)


def _context(cluster: Mapping[str, Any], user: Mapping[str, Any]) -> ssl.SSLContext:
    if cluster.get("insecure-skip-tls-verify"):
        context = ssl._create_unverified_context()
    else:
        authority = _data(cluster, "certificate-authority")
        context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    certificate, key = _data(user, "client-certificate"), _data(user, "client-key")
    if certificate and key:
        load_pair(context, certificate + b"\n" + key)
    return context


def _data(section: Mapping[str, Any], name: str) -> bytes:
    """PEM of ``NAME-data`` or of the file ``NAME``."""
    if section.get(f"{name}-data"):
        return base64.b64decode(section[f"{name}-data"])
    return Path(section[name]).read_bytes() if section.get(name) else b""
