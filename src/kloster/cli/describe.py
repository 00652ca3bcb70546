"""``kloster describe``."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter

from kloster.cli import clusters, locate, output
from kloster.cli.list import age, origin


def run(
    name: str,
    *,
    namespace: locate.Namespace = clusters.DEFAULT_NAMESPACE,
    output_format: Annotated[output.Format, Parameter(name=["--output", "-o"], help="json or yaml.")] = "",
    data_dir: locate.DataDirOption = None,
) -> None:
    """Show one virtual cluster: version, address, conditions, what it has on the host.

    For example:

      kloster describe dev
      kloster describe dev -o yaml
    """
    fleet = locate.find(data_dir)
    host = fleet.host()
    cluster = clusters.get(host, namespace, name)
    if output_format in ("json", "yaml"):
        output.document(cluster, output_format)
        return
    status = cluster.get("status") or {}
    host_namespace = status.get("hostNamespace", "")
    pods = host.get(f"/api/v1/namespaces/{host_namespace}/pods")["items"] if host_namespace else []
    running = sum(1 for pod in pods if (pod.get("status") or {}).get("phase") == "Running")
    for label, value in (
        ("Name", name),
        ("Namespace", namespace),
        ("Version", status.get("version", "")),
        ("Status", status.get("phase", "Pending")),
        *_origin(cluster),
        ("Age", age(cluster["metadata"]["creationTimestamp"])),
        ("Address", status.get("endpoint", "")),
        ("Common address", f"{status.get('commonEndpoint', '')} (tls-server-name: {status.get('serverName', '')})"),
        ("Host namespace", host_namespace),
        ("Pods on the host", f"{len(pods)} ({running} running, {fleet.state.get('nodes', '')} nodes)"),
    ):
        output.say(f"{label + ':':<18}{value}")
    output.say("Conditions:")
    rows = [
        [one["type"], one["status"], one["reason"], one["message"].replace("\n", "; ")]
        for one in status.get("conditions") or ()
    ]
    output.table(["  TYPE", "STATUS", "REASON", "MESSAGE"], [[f"  {row[0]}", *row[1:]] for row in rows])


def _origin(cluster: dict[str, Any]) -> list[tuple[str, str]]:
    """Of a fork."""
    status = cluster.get("status") or {}
    if not status.get("from"):
        return []
    since = f"{origin(cluster)} (at resourceVersion {status['from'].get('resourceVersion', '')})"
    return [("From", since), ("Workloads", status.get("workloads", ""))]
