"""Sends a kind's cases to a server, real or ours."""

from __future__ import annotations

import http.client
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
from tests.apiserver import world
from tests.differential import normal
from tests.differential.generated.cases import NAMESPACE, VERSION, Case, Plan
from tests.differential.generated.corpus import Answer
from tests.differential.model import AGENT
from tests.differential.record import RealServer

from kloster.apiserver.authorization.always import PrivilegedGroups, Union
from kloster.apiserver.authorization.rbac import Rbac
from kloster.apiserver.authorization.stored import StoredRoles
from kloster.apiserver.cluster import ServedCluster

# What the real server itself writes to once they are stored, a moment later.
_SETTLING = ("customresourcedefinitions", "apiservices", "flowschemas", "prioritylevelconfigurations")
_SETTLING_SECONDS = 2.0
_CREATED = (200, 201)


class PlayError(Exception):
    """The object that changes are to be tried on could not be stored."""


def play_real(kubeconfig: Path, plan: Plan) -> dict[str, Answer | None]:
    """All answers of a real server, by the cases' ids. Leaves it as it was."""
    with _Connection(kubeconfig) as server:
        answers: dict[str, Answer | None] = {case.id: server.answer(case, "") for case in plan.creations}
        if plan.stored is None:
            return answers
        status, body = server.send("POST", plan.collection, orjson.dumps(plan.stored), "application/json")
        version = _version(plan, status, body)
        try:
            if plan.collection.rpartition("/")[2] in _SETTLING:
                time.sleep(_SETTLING_SECONDS)
                _, body = server.send("GET", f"{plan.collection}/{plan.name}", b"", "")
                version = _version(plan, 200, body)
            answers.update((case.id, server.answer(case, version)) for case in plan.changes)
        finally:
            _remove(server, plan)
        return answers


def _remove(server: _Connection, plan: Plan) -> None:
    """With its finalizers: nobody else would do what they wait for."""
    single = f"{plan.collection}/{plan.name}"
    server.send("DELETE", single, b"", "")
    server.send("PATCH", single, b'{"metadata":{"finalizers":null}}', "application/merge-patch+json")
    if plan.kind == "v1/namespaces":
        bare = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": plan.name}, "spec": {}}
        server.send("PUT", f"{single}/finalize", orjson.dumps(bare), "application/json")
    status, body = server.send("GET", single, b"", "")
    if status != 404:
        raise PlayError(f"{plan.kind} is still there: {body.decode()}")


def prepare_real(kubeconfig: Path) -> None:
    """The namespace, with what controllers would put into it."""
    with _Connection(kubeconfig) as server:
        for path, obj in _SURROUNDINGS:
            status, body = server.send("POST", path, orjson.dumps(obj), "application/json")
            if status not in (*_CREATED, 409):
                raise PlayError(f"POST {path}: {body.decode()}")


_SURROUNDINGS: tuple[tuple[str, Any], ...] = (
    ("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}),
    (f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts", {"metadata": {"name": "default"}}),
)


async def play_ours(cluster: ServedCluster, plan: Plan, only: Iterable[str] | None = None) -> dict[str, Answer]:
    """The same of a cluster in memory; `only` these ids."""
    api = world.Api(cluster, agent=AGENT)
    chosen = None if only is None else frozenset(only)
    answers = {}
    for case in plan.creations:
        if chosen is None or case.id in chosen:
            answers[case.id] = await _ours(api, case, "")
    if plan.stored is None:
        return answers
    response = await api.send("POST", plan.collection, plan.stored)
    version = _version(plan, response.status, await world.read(response))
    for case in plan.changes:
        if chosen is None or case.id in chosen:
            answers[case.id] = await _ours(api, case, version)
    return answers


async def prepare_ours(minor: str) -> ServedCluster:
    cluster = await world.make(minor)
    roles = StoredRoles(cluster.store, lambda entry: cluster.view.object(entry) or {})
    cluster.authorizer = Union([PrivilegedGroups(), Rbac(roles)])
    api = world.Api(cluster, agent=AGENT)
    for path, obj in _SURROUNDINGS:
        await api.ok("POST", path, obj)
    return cluster


async def _ours(api: world.Api, case: Case, version: str) -> Answer:
    response = await api.send(case.method, case.path, _body(case, version), {"content-type": case.type})
    body = await world.read(response)
    return Answer(response.status, response.headers.get("warning", ""), normal.answer(body))


def _body(case: Case, version: str) -> bytes:
    return orjson.dumps(case.body).replace(VERSION.encode(), version.encode())


def _version(plan: Plan, status: int, body: bytes) -> str:
    if status not in _CREATED:
        raise PlayError(f"the full object of {plan.kind} was refused: {body.decode()}")
    return str(orjson.loads(body)["metadata"]["resourceVersion"])


class _Connection:
    """One kept connection to a real server."""

    def __init__(self, kubeconfig: Path) -> None:
        server = RealServer(kubeconfig)
        self._http = http.client.HTTPSConnection(
            server.address.hostname or "", server.address.port, context=server.tls, timeout=60
        )

    def __enter__(self) -> _Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def answer(self, case: Case, version: str) -> Answer | None:
        """None where the server's handler dies (a panic of upstream's): there is nothing to compare with."""
        try:
            status, warnings, body = self._send(case.method, case.path, _body(case, version), case.type)
        except http.client.RemoteDisconnected:
            self._http.close()
            return None
        return Answer(status, warnings, normal.answer(body))

    def send(self, method: str, path: str, body: bytes, type: str) -> tuple[int, bytes]:
        status, _, answer = self._send(method, path, body, type)
        return status, answer

    def _send(self, method: str, path: str, body: bytes, type: str) -> tuple[int, str, bytes]:
        headers = {"User-Agent": AGENT, **({"Content-Type": type} if type else {})}
        self._http.request(method, path, body or None, headers)
        response = self._http.getresponse()
        warnings = ", ".join(value for name, value in response.getheaders() if name.lower() == "warning")
        return response.status, warnings, response.read()
