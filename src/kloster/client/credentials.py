"""What a client shows a server: TLS settings and the Authorization header, renewed where it has to be."""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
from pathlib import Path
from typing import Any

import orjson

from kloster.aio.clock import Clock, parse_rfc3339
from kloster.client.errors import ConfigError, ConnectionFailed
from kloster.client.kubeconfig import Connection, ExecCredential
from kloster.client.pem import load_pair

_REREAD = 60.0  # seconds between looks at a token file; the kubelet renews it long before it expires
_HELPER_TIMEOUT = 60.0


def tls_context(connection: Connection) -> ssl.SSLContext | None:
    """The TLS side of a connection; None for plain http and unix sockets."""
    if not connection.server.startswith("https://"):
        return None
    try:
        context = ssl.create_default_context(cadata=connection.ca.decode("ascii") if connection.ca else None)
        if connection.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        if connection.certificate and connection.key:
            load_pair(context, connection.certificate + b"\n" + connection.key)
    except (ssl.SSLError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"the certificates for {connection.server} cannot be used: {error}") from error
    return context


class Authorization:
    """Gives the Authorization header of a connection, or None."""

    def __init__(self, connection: Connection, clock: Clock) -> None:
        self._connection = connection
        self._clock = clock
        self._token = connection.token
        self._good_until = 0.0
        self._lock = asyncio.Lock()

    async def header(self) -> str | None:
        connection = self._connection
        if connection.token_file is not None:
            return f"Bearer {self._from_file(connection.token_file)}"
        if connection.credential is not None:
            token = await self._from_helper(connection.credential)
            return f"Bearer {token}" if token else None
        if connection.token:
            return f"Bearer {connection.token}"
        if connection.username:
            pair = f"{connection.username}:{connection.password}".encode()
            return f"Basic {base64.b64encode(pair).decode()}"
        return None

    def forget(self) -> None:
        """The server refused it: fetch a new one next time."""
        self._good_until = 0.0

    def _from_file(self, path: Path) -> str:
        if self._clock.monotonic() >= self._good_until or not self._token:
            try:
                self._token = path.read_text().strip()
            except OSError as error:
                raise ConfigError(f"the token file cannot be read: {error}") from error
            self._good_until = self._clock.monotonic() + _REREAD
        return self._token

    async def _from_helper(self, helper: ExecCredential) -> str:
        async with self._lock:
            if self._clock.now() < self._good_until:
                return self._token
            status = await run_helper(helper)
            self._token = str(status.get("token") or "")
            expires = status.get("expirationTimestamp")
            self._good_until = parse_rfc3339(expires) - 10 if expires else float("inf")
            return self._token


async def run_helper(helper: ExecCredential) -> dict[str, Any]:
    """Run a credential program; returns the status of the ExecCredential that it prints."""
    request = {"apiVersion": helper.api_version, "kind": "ExecCredential", "spec": {"interactive": False}}
    environment = {**os.environ, **helper.env, "KUBERNETES_EXEC_INFO": orjson.dumps(request).decode()}
    try:
        process = await asyncio.create_subprocess_exec(
            helper.command,
            *helper.args,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise ConfigError(f"the credential program {helper.command!r} cannot be run: {error}") from error
    try:
        async with asyncio.timeout(_HELPER_TIMEOUT):
            output, complaint = await process.communicate()
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise ConnectionFailed(f"the credential program {helper.command!r} did not answer") from error
    if process.returncode != 0:
        text = complaint.decode("utf-8", "replace").strip()
        raise ConnectionFailed(f"the credential program {helper.command!r} failed: {text}")
    try:
        status: dict[str, Any] = orjson.loads(output)["status"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise ConfigError(f"the credential program {helper.command!r} printed no ExecCredential") from error
    return status
