"""``kloster list``."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Annotated, Any

from cyclopts import Parameter

from kloster.cli import clusters, kubeconfig, locate, output


def run(
    *,
    namespace: Annotated[str, Parameter(name=["--namespace", "-n"], help="Only of this namespace of the host.")] = "",
    output_format: Annotated[output.Format, Parameter(name=["--output", "-o"], help="json, yaml, wide or name.")] = "",
    data_dir: locate.DataDirOption = None,
) -> None:
    """List the virtual clusters.

    For example:

      kloster list
      kloster list -o wide
      kloster list -n teams -o json
    """
    fleet = locate.find(data_dir)
    found = fleet.host().get(clusters.collection(namespace))
    items = found["items"]
    if output_format in ("json", "yaml"):
        output.document(found, output_format)
    elif output_format == "name":
        for one in items:
            output.say(f"virtualcluster.kloster.dev/{one['metadata']['name']}")
    elif not items:
        output.say("no clusters yet; make one with: kloster create NAME")
    else:
        _table(items, fleet, output_format == "wide")


def _table(items: list[dict[str, Any]], fleet: locate.Fleet, wide: bool) -> None:
    contexts = {(mark.namespace, mark.name): name for _, name, mark in kubeconfig.ours()}
    current = kubeconfig.current()[0]
    header = ["NAMESPACE", "NAME", "VERSION", "STATUS", "FROM", "AGE", "CONTEXT"]
    if wide:
        header += ["ENDPOINT", "HOST NAMESPACE", "NODES"]
    rows = []
    for one in items:
        metadata, status = one["metadata"], one.get("status") or {}
        context = contexts.get((metadata["namespace"], metadata["name"]), "")
        row = [
            metadata["namespace"],
            metadata["name"],
            status.get("version", ""),
            status.get("phase", "Pending"),
            origin(one),
            age(metadata["creationTimestamp"]),
            f"{context} *" if context and context == current else context,
        ]
        if wide:
            row += [status.get("endpoint", ""), status.get("hostNamespace", ""), str(fleet.state.get("nodes", ""))]
        rows.append(row)
    output.table(header, rows)


def origin(cluster: dict[str, Any]) -> str:
    """What a cluster is a fork of: a name, with its namespace if that is another."""
    found = (cluster.get("status") or {}).get("from") or {}
    same = found.get("namespace") == cluster["metadata"]["namespace"]
    return str(found.get("name", "") if same or not found else f"{found['namespace']}/{found['name']}")


def age(timestamp: str) -> str:
    """How long ago, in kubectl's short form."""
    seconds = int(time.time() - datetime.fromisoformat(timestamp.replace("Z", "+00:00")).timestamp())
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size}{unit}"
    return f"{max(0, seconds)}s"
