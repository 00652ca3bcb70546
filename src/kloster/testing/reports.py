"""What a cluster held, in words and in files, for who looks into a failed test."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import yaml

from kloster.apimachinery.errors import StatusError
from kloster.apiserver.audit.event import line as audit_line
from kloster.testing.errors import TestingError
from kloster.testing.resources import Resources
from kloster.testing.traffic import Requests

MANY = 20
HIDDEN = "(left out)"
BOOTSTRAP = "kubernetes.io/bootstrapping"
"""The label of roles that every cluster has."""


class Cluster(Protocol):
    """What is dumped."""

    name: str
    version: str
    resources: Resources
    requests: Requests

    def list(
        self, resource: str, *, namespace: str = "", labels: str = "", fields: str = ""
    ) -> Sequence[dict[str, Any]]: ...

    def events(self, about: str = "", *, namespace: str = "") -> Sequence[dict[str, Any]]: ...

    def logs(
        self, pod: str = "", *, namespace: str = "default", container: str = "", previous: bool = False
    ) -> str: ...


def order(event: dict[str, Any]) -> tuple[str, int]:
    """To sort events by: when they happened last, then when they were written."""
    return moment(event), int(event["metadata"]["resourceVersion"])


def moment(event: dict[str, Any]) -> str:
    """When an event happened last."""
    series = event.get("series") or {}
    found = (
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event["metadata"].get("creationTimestamp")
    )
    return str(found or "")


def line(event: dict[str, Any]) -> str:
    """An event as ``kubectl get events`` shows it."""
    about = event.get("involvedObject") or {}
    times = f" (x{event['count']})" if (event.get("count") or 1) > 1 else ""
    what = f"{str(about.get('kind', '')).lower()}/{about.get('name', '')}"
    return (
        f"{moment(event)} {event.get('type', '')} {event.get('reason', '')} {what}: {event.get('message', '')}{times}"
    )


def about(events: Sequence[dict[str, Any]]) -> str:
    """The last events, to be put behind a message."""
    return "".join(f"\n  {line(one)}" for one in events[-MANY:])


def dump(cluster: Cluster, folder: Path) -> Path:
    """One file for each object, ``events.txt``, ``cluster.txt``, ``requests.txt``, ``audit.log``, the logs."""
    folder.mkdir(parents=True, exist_ok=True)
    cluster.resources.refresh()
    (folder / "cluster.txt").write_text(f"name: {cluster.name}\nKubernetes: {cluster.version}\n")
    (folder / "events.txt").write_text("".join(f"{line(one)}\n" for one in cluster.events()))
    for resource in cluster.resources.all:
        if resource.plural == "events":
            continue
        with contextlib.suppress(StatusError):
            name = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
            for found in cluster.list(name, labels=f"!{BOOTSTRAP}"):
                _write(folder / "objects", name, found)
    _logs(cluster, folder / "logs")
    with contextlib.suppress(StatusError, TestingError):
        (folder / "requests.txt").write_text(cluster.requests.text())
    with contextlib.suppress(StatusError, TestingError):
        _audit(folder / "audit.log", cluster.requests.audit())
    return folder


def _audit(path: Path, events: Sequence[dict[str, Any]]) -> None:
    """One event a line, for its owner's eyes: it says who asked what."""
    path.touch(mode=0o600)
    path.write_bytes(b"".join(map(audit_line, events)))


def _write(folder: Path, resource: str, found: dict[str, Any]) -> None:
    metadata = found["metadata"]
    metadata.pop("managedFields", None)
    if found["kind"] == "Secret":
        found = {
            **found,
            **{part: dict.fromkeys(found[part], HIDDEN) for part in ("data", "stringData") if part in found},
        }
        (metadata.get("annotations") or {}).pop("kubectl.kubernetes.io/last-applied-configuration", None)
    path = folder / (metadata.get("namespace") or "_cluster") / resource / f"{file_name(metadata['name'])}.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.dump(found, Dumper=yaml.CSafeDumper, sort_keys=False))


def _logs(cluster: Cluster, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    (folder / "fleet.txt").write_text(_own_lines(cluster.logs(), cluster.name))
    for pod in cluster.list("pods"):
        namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
        for container in pod["spec"]["containers"]:
            try:
                text = cluster.logs(name, namespace=namespace, container=container["name"])
            except StatusError as error:
                text = f"{error.message}\n"
            (folder / f"{namespace}.{name}.{container['name']}.txt").write_text(text)


def _own_lines(log: str, name: str) -> str:
    """What the fleet says of this cluster, and of none."""
    return "".join(f"{one}\n" for one in log.splitlines() if name in one or "/test-" not in one)


def file_name(text: str) -> str:
    """A name for a file or folder, readable and harmless."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:150] or "unnamed"
