"""``kloster token``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from kloster.cli import clusters, locate, output
from kloster.cli.hostapi import HostAPI


def run(
    name: str,
    *,
    service_account: Annotated[
        str, Parameter(name=["--serviceaccount", "-s"], help="NAMESPACE/NAME inside the virtual cluster.")
    ] = "default/default",
    duration: Annotated[int, Parameter(help="Lifetime in seconds (at least 600).")] = 3600,
    namespace: locate.Namespace = clusters.DEFAULT_NAMESPACE,
    data_dir: locate.DataDirOption = None,
) -> None:
    """Print a token of a service account of a virtual cluster, for clients that take tokens.

    For example:

      kloster token dev
      kloster token dev -s ci/deployer --duration 7200
    """
    fleet = locate.find(data_dir)
    host = fleet.host()
    clusters.wait_ready(host, clusters.get(host, namespace, name))
    document = clusters.kubeconfig_of(host, namespace, name)
    where, _, account = service_account.rpartition("/")
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": duration},
    }
    path = f"/api/v1/namespaces/{where or 'default'}/serviceaccounts/{account}/token"
    output.say(HostAPI(document).create(path, request)["status"]["token"])
