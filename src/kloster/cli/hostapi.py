"""The host's Kubernetes API for commands: synchronous, from the standard library alone, so that commands start fast."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from kloster.apimachinery.errors import StatusError
from kloster.cli.errors import CliError
from kloster.client.pem import load_pair

TIMEOUT = 30.0


class HostAPI:
    """One cluster, reached by a kubeconfig document with client certificate or token."""

    def __init__(self, kubeconfig: Mapping[str, Any]) -> None:
        cluster = kubeconfig["clusters"][0]["cluster"]
        user = kubeconfig["users"][0]["user"]
        parts = urlsplit(cluster["server"])
        self.server: str = cluster["server"]
        self._host, self._port, self._prefix = parts.hostname or "", parts.port or 443, parts.path.rstrip("/")
        self._name = cluster.get("tls-server-name") or self._host
        self._headers = {"Accept": "application/json", "User-Agent": "kloster-cli"}
        if user.get("token"):
            self._headers["Authorization"] = f"Bearer {user['token']}"
        self._context = _context(cluster, user)

    def get(self, path: str, **query: str) -> Any:
        return self.request("GET", path, query)

    def create(self, path: str, body: Any) -> Any:
        return self.request("POST", path, {}, body)

    def delete(self, path: str) -> Any:
        return self.request("DELETE", path, {})

    def patch(self, path: str, body: Any, kind: str = "application/merge-patch+json") -> Any:
        return self.request("PATCH", path, {}, body, kind)

    def request(
        self, method: str, path: str, query: Mapping[str, str], body: Any = None, kind: str = "application/json"
    ) -> Any:
        """One request with JSON both ways. Raises StatusError; CliError if the server cannot be reached."""
        connection = self._connect(TIMEOUT)
        try:
            response = self._send(connection, method, path, query, body, kind)
            text = response.read()
        except OSError as error:
            raise CliError(f"the host at {self.server} does not answer: {error}") from error
        finally:
            connection.close()
        return self._answer(response, text)

    def watch(self, path: str, timeout: float, **query: str) -> Iterator[tuple[str, Any]]:
        """(type, object) of each change, until the server or `timeout` (seconds) ends it."""
        asked = {**query, "watch": "true", "timeoutSeconds": str(max(1, int(timeout)))}
        connection = self._connect(timeout + 5)
        try:
            response = self._send(connection, "GET", path, asked, None, "application/json")
            if response.status >= 400:
                self._answer(response, response.read())
            for line in response:
                event = json.loads(line)
                yield event["type"], event["object"]
        except OSError as error:
            raise CliError(f"the host at {self.server} went away: {error}") from error
        finally:
            connection.close()

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
        body: Any,
        kind: str,
    ) -> http.client.HTTPResponse:
        url = self._prefix + quote(path) + (f"?{urlencode(query)}" if query else "")
        headers = dict(self._headers)
        data = None
        if body is not None:
            data, headers["Content-Type"] = json.dumps(body).encode(), kind
        connection.request(method, url, data, headers)
        return connection.getresponse()

    @staticmethod
    def _answer(response: http.client.HTTPResponse, text: bytes) -> Any:
        try:
            content = json.loads(text)
        except ValueError:
            content = text.decode(errors="replace")
        if response.status >= 400:
            status = content if isinstance(content, dict) else {"message": content}
            raise StatusError.from_status(status, response.status)
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
