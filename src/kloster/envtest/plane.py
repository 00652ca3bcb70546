"""The control plane of one envtest: a store in memory, and an API server for each kube-apiserver that comes.

    Unix socket ─▶ one line of JSON: version, flags, directory ─▶ `visit` ─▶ `ApiServer`, until the visitor hangs up

Every visitor brings flags of its own: port, certificates, who is let in, which admission plugins run. What they have
in common is the store, as API servers on one etcd have. Controllers run for a visitor that asks for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import os
import socket
from collections.abc import Sequence
from pathlib import Path

import orjson
import uvloop

from kloster.aio.clock import SystemClock
from kloster.aio.signals import stop_event
from kloster.apiserver.http.listeners import AddressInUse, raise_descriptor_limit
from kloster.apiserver.observability import logging
from kloster.envtest import options, template
from kloster.envtest.flags import FlagError
from kloster.envtest.options import Options, OptionsError
from kloster.envtest.server import ApiServer
from kloster.kinds.catalog import parse_version
from kloster.stores.memory import MemoryStore

LOOK_EVERY = 0.5
LONGEST_REQUEST = 4 * 1024 * 1024
PATIENCE = 30.0
"""Seconds for a visitor to say what it wants."""


class Plane:
    """The store of a cluster of `minor`, and those who serve it."""

    def __init__(self, minor: str) -> None:
        self.minor = minor
        self.clock = SystemClock()
        self.store = MemoryStore([template.build(minor, self.clock.now())])

    async def serve(self, version: str, arguments: Sequence[str], directory: Path) -> ApiServer:
        """An API server, listening. Raises FlagError, OptionsError, AddressInUse, ValueError."""
        if (minor := parse_version(version)) != self.minor:
            raise OptionsError(f"this etcd is for Kubernetes {self.minor}; take the one beside kube-apiserver {minor}")
        server = ApiServer(minor, options.parse(arguments, directory, self.clock.now()), self.store, self.clock)
        try:
            await server.start()
            if server.options.controllers:
                await _run_controllers(server, server.options)
        except BaseException:
            await server.close()
            raise
        return server

    async def visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve for one kube-apiserver, as long as it keeps the connection."""
        try:
            await self._visit(reader, writer)
        except (OSError, ValueError, TimeoutError):
            pass  # the visitor is gone, or none of ours
        finally:
            writer.close()

    async def _visit(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(PATIENCE):
            request = orjson.loads(await reader.readuntil(b"\n"))
        try:
            server = await self.serve(request["version"], request["arguments"], Path(request["directory"]))
        except FlagError as error:
            return _tell(writer, log=f"Error: {error}", exit=1)
        except (OptionsError, AddressInUse, ValueError) as error:
            return _tell(writer, log=f'E "command failed" err={orjson.dumps(str(error)).decode()}', exit=1)
        try:
            for warning in server.options.warnings:
                _tell(writer, log=f"W {warning}")
            _tell(writer, log=f"I Serving securely on {server.options.bind}:{server.options.port}")
            await reader.read()
        finally:
            await server.close()
        return _tell(writer, exit=0)

    async def close(self) -> None:
        await self.store.close()


def _tell(writer: asyncio.StreamWriter, **message: object) -> None:
    writer.write(orjson.dumps(message) + b"\n")


async def _run_controllers(server: ApiServer, wanted: Options) -> None:
    """Controllers are loaded for those who ask: others have their first request served so much sooner."""
    controllers = importlib.import_module("kloster.envtest.controllers")
    await controllers.attach(server, wanted.controllers)


def run(controls: Sequence[socket.socket], version: str, parent: int) -> None:
    """Serve whoever comes, until SIGTERM or SIGINT, or until the process `parent` (0: none) is no longer ours."""
    logging.configure(level="warning")
    raise_descriptor_limit()
    uvloop.run(_run(controls, version, parent))


async def _run(controls: Sequence[socket.socket], version: str, parent: int) -> None:
    stop = stop_event()
    plane = Plane(parse_version(version))
    gc.freeze()
    gc.enable()
    servers = [
        await asyncio.start_unix_server(plane.visit, sock=control, limit=LONGEST_REQUEST) for control in controls
    ]
    await until(stop, parent)
    for server in servers:
        server.close()
    visits = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in visits:
        task.cancel()
    await asyncio.gather(*visits, return_exceptions=True)
    await plane.close()


async def until(stop: asyncio.Event, parent: int) -> None:
    """Wait for the signal, or for the parent's end."""
    while not stop.is_set() and (parent == 0 or os.getppid() == parent):
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK_EVERY if parent else None)
