"""``kloster demo``: the whole product in one run, every claim checked."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from kloster.apimachinery.errors import StatusError
from kloster.cli import clusters, demo_application, down, locate, output, start
from kloster.cli.errors import CliError
from kloster.cli.hostapi import HostAPI

NAME = "demo"
TIMEOUT = 60.0


def run(
    *,
    kubernetes_version: Annotated[str, Parameter(help="Kubernetes version of the virtual cluster.")] = "1.34",
    keep: Annotated[
        bool, Parameter(help="Leave the host running, to look around in it with kubectl.", negative="")
    ] = False,
) -> None:
    """Start a host, create a virtual cluster, run an application in it, check everything, clean up.

    Uses a directory of its own and leaves your clusters and your kubeconfig alone.

    For example:

      kloster demo
      kloster demo --kubernetes-version 1.31
      kloster demo --keep
    """
    with _fleet(keep) as fleet:
        host = fleet.host()
        cluster = _create(host, kubernetes_version)
        virtual = HostAPI(clusters.kubeconfig_of(host, clusters.DEFAULT_NAMESPACE, NAME))
        _check_version(virtual, kubernetes_version)
        with output.step("application applied: 9 objects"):
            for path, body in demo_application.OBJECTS:
                _apply(virtual, path, body)
        with output.step("application runs: Deployment 3/3, Job complete, custom resource served"):
            _wait(virtual)
        _show(host, virtual, cluster["status"]["hostNamespace"])
        output.say()
        for line in _how_to_connect(fleet, keep):
            output.say(line)
        output.say()
        if keep:
            return
        with output.step("cluster deleted; nothing is left on the host"):
            _delete(host, cluster["status"]["hostNamespace"])


@contextmanager
def _fleet(keep: bool) -> Iterator[locate.Fleet]:
    """A fleet in a directory of its own, stopped and removed afterwards unless it is to be kept."""
    root = Path(tempfile.mkdtemp(prefix="kloster-demo-"))
    try:
        began = time.monotonic()
        state = start.detached(locate.find(root), [], tied=not keep)
        output.done(f"host started ({state['nodeCount']} {state['nodes']} nodes)", time.monotonic() - began)
        try:
            yield locate.find(root)
        finally:
            if not keep:
                with output.step("host stopped"):
                    down.stop(locate.find(root))
    finally:
        if not keep:
            shutil.rmtree(root)


def _create(host: HostAPI, version: str) -> dict[str, Any]:
    with output.step("cluster created") as final:
        spec = {"kubernetesVersion": version}
        made = clusters.create(host, clusters.DEFAULT_NAMESPACE, NAME, spec)
        ready = clusters.wait_ready(host, made)
        final.append(f"cluster {NAME}, Kubernetes {ready['status']['version']}")
    return ready


def _check_version(virtual: HostAPI, version: str) -> None:
    found = virtual.get("/version")["gitVersion"]
    if not found.startswith(f"v{version.removeprefix('v')}"):
        raise CliError(f"the cluster says that it is {found}, expected {version}")


def _apply(virtual: HostAPI, path: str, body: dict[str, Any]) -> None:
    """Create one object. A custom resource is served a moment after its definition."""
    ends = time.monotonic() + 5
    while True:
        try:
            virtual.create(path, body)
            return
        except StatusError as error:
            if error.code != 404 or time.monotonic() > ends:
                raise
            time.sleep(0.02)


def _wait(virtual: HostAPI) -> None:
    """Until all that the demo claims is so. Raises CliError with what was there instead."""
    for what, check in demo_application.CHECKS.items():
        _until(virtual, what, check)


def _until(virtual: HostAPI, what: str, check: Callable[[HostAPI], str]) -> None:
    ends = time.monotonic() + TIMEOUT
    while found := check(virtual):
        if time.monotonic() > ends:
            raise CliError(f"{what}: not so after {TIMEOUT:.0f} s: {found}")
        time.sleep(0.05)


def _show(host: HostAPI, virtual: HostAPI, host_namespace: str) -> None:
    """The pods from both sides, with their names; checks that each has its counterpart."""
    inside = {one["metadata"]["uid"]: one for one in virtual.get(f"{demo_application.NAMESPACED}/pods")["items"]}
    outside = {
        one["metadata"]["annotations"]["kloster.dev/uid"]: one
        for one in host.get(f"/api/v1/namespaces/{host_namespace}/pods")["items"]
    }
    if not inside or inside.keys() != outside.keys():
        raise CliError(f"{len(inside)} pods in the cluster, {len(outside)} on the host: they do not correspond")
    output.say()
    rows = []
    for uid, pod in inside.items():
        rows.append(
            [
                f"{demo_application.NAMESPACE}/{pod['metadata']['name']}",
                pod["status"]["phase"],
                f"{host_namespace}/{outside[uid]['metadata']['name']}",
                pod["spec"]["nodeName"],
            ]
        )
    output.table(["IN THE CLUSTER", "STATUS", "ON THE HOST", "NODE"], sorted(rows))


def _delete(host: HostAPI, host_namespace: str) -> None:
    host.delete(clusters.path(clusters.DEFAULT_NAMESPACE, NAME))
    clusters.wait_gone(host, clusters.DEFAULT_NAMESPACE, NAME)
    left = [one["metadata"]["name"] for one in host.get("/api/v1/namespaces")["items"]]
    if host_namespace in left:
        raise CliError(f"the host still has the namespace {host_namespace}")
    pods = host.get("/api/v1/pods")["items"]
    if pods:
        raise CliError(f"the host still has {len(pods)} pods of the deleted cluster")


def _how_to_connect(fleet: locate.Fleet, keep: bool) -> list[str]:
    """The commands that connect kubectl; each works as it stands, here and afterwards."""
    program, root = _program(), fleet.directory.root
    if not keep:
        return [
            "  connect kubectl:  this demo is about to be removed; what connects kubectl is",
            f"                    {program} create dev    to a cluster of your own",
            f"                    {program} demo --keep   to a demo that stays (it prints the command)",
        ]
    return [
        f"  connect kubectl:  {program} connect {NAME} --data-dir {root}",
        f"  stop and remove:  {program} down --data-dir {root} && rm -r {root}",
    ]


def _program() -> str:
    """How this program was called: in a checkout it need not be on PATH."""
    called = Path(sys.argv[0])
    if called.name == "__main__.py":
        return f"{sys.executable} -m {__package__}"
    found = shutil.which(called.name)
    return called.name if found is not None and Path(found).samefile(called) else str(called)
