"""Making and deleting virtual clusters for tests, through the host's API like everybody else."""

from __future__ import annotations

import base64
import contextlib
import secrets
import time
from collections.abc import Mapping
from typing import Any

import yaml

from kloster.apimachinery.errors import StatusError
from kloster.fleet.virtualcluster import KUBECONFIG_SECRET_PREFIX, VIRTUAL_CLUSTERS, condition
from kloster.testing import versions
from kloster.testing.errors import TestingError
from kloster.testing.fleets import Fleet

NAMESPACE = "default"
LETTERS = "bcdfghjklmnpqrstvwxz2456789"
TIMEOUT = 30.0
PATIENCE = 1.0
"""Seconds after which it is asked what is in the way."""
TRANSIENT = ("InternalError", "HostConflict")


def version(text: str) -> str:
    """``1.34``, ``v1.34.4`` → ``1.34``. Raises TestingError naming what there is."""
    try:
        return versions.one(str(text))
    except ValueError as error:
        raise TestingError(str(error)) from error


def named(pattern: str) -> str:
    """A name: the pattern with six random letters in place of ``*``."""
    return str(pattern).replace("*", "".join(secrets.choice(LETTERS) for _ in range(6)))


def begin(fleet: Fleet, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    """Have the fleet make a cluster. Returns the VirtualCluster as it is now. Raises TestingError."""
    body = {
        "apiVersion": VIRTUAL_CLUSTERS.api_version,
        "kind": VIRTUAL_CLUSTERS.kind,
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": dict(spec),
    }
    ends = time.monotonic() + TIMEOUT
    while True:
        try:
            made: dict[str, Any] = fleet.request("POST", VIRTUAL_CLUSTERS.path(NAMESPACE), body)
            return made
        except StatusError as error:
            going = error.code == 409 and name in fleet.deletions.asked
            if not going or time.monotonic() > ends:
                raise TestingError(f'cluster "{name}" cannot be created: {error.message}') from error
        time.sleep(0.01)


def no_space(fleet: Fleet, name: str) -> TestingError:
    root = fleet.directory.root
    return TestingError(f'cluster "{name}" cannot be made: the disk of {root} is full; free some space')


def wait_ready(fleet: Fleet, name: str) -> dict[str, Any]:
    """The VirtualCluster, ready. Raises TestingError with the fleet's reason if it cannot be."""
    ends = time.monotonic() + TIMEOUT
    while True:
        found = fleet.request("GET", VIRTUAL_CLUSTERS.path(NAMESPACE, name))
        ready = condition(found, "Ready") or {}
        if ready.get("status") == "True":
            return dict(found)
        refused = ready.get("status") == "False" and ready.get("reason") not in TRANSIENT
        if not refused and ends - time.monotonic() < TIMEOUT - PATIENCE and fleet.disk_is_full():
            raise no_space(fleet, name)
        if refused or time.monotonic() > ends:
            with contextlib.suppress(StatusError):
                fleet.request("DELETE", VIRTUAL_CLUSTERS.path(NAMESPACE, name))
            text = ready.get("message") or "its status says nothing"
            raise TestingError(text if refused else f'cluster "{name}" was not ready after {TIMEOUT:.0f} s: {text}')
        time.sleep(0.005)


def get(fleet: Fleet, name: str) -> dict[str, Any]:
    """The VirtualCluster. Raises TestingError if there is none."""
    try:
        found: dict[str, Any] = fleet.request("GET", VIRTUAL_CLUSTERS.path(NAMESPACE, name))
        return found
    except StatusError as error:
        raise TestingError(f'there is no cluster "{name}": {error.message}') from error


def kubeconfig(fleet: Fleet, name: str) -> tuple[dict[str, Any], bytes]:
    """The cluster's kubeconfig, read and as it stands in its Secret on the host."""
    path = f"/api/v1/namespaces/{NAMESPACE}/secrets/{KUBECONFIG_SECRET_PREFIX}{name}"
    text = base64.b64decode(fleet.request("GET", path)["data"]["config"])
    return yaml.load(text, Loader=yaml.CSafeLoader), text
