"""``kloster create``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import yaml
from cyclopts import Parameter

from kloster.cli import clusters, kubeconfig, locate, output, up
from kloster.cli.errors import CliError
from kloster.cli.hostapi import HostAPI


def run(
    name: str,
    *,
    namespace: locate.Namespace = clusters.DEFAULT_NAMESPACE,
    kubernetes_version: Annotated[
        str, Parameter(help="Kubernetes version, as 1.34, v1.34 or v1.34.4. Default: the newest.")
    ] = "",
    file: Annotated[
        Path | None, Parameter(name=["--values", "--file", "-f"], help="Spec of the cluster, in vcluster.yaml's keys.")
    ] = None,
    connect: Annotated[bool, Parameter(help="Add a kubeconfig context and select it.")] = True,
    context: Annotated[str, Parameter(help="Name of the kubeconfig context.")] = "",
    data_dir: locate.DataDirOption = None,
) -> None:
    """Create a virtual cluster and connect to it. Starts the embedded host if none runs.

    For example:

      kloster create dev
      kloster create ci-4711 --kubernetes-version 1.34 --no-connect
      kloster create team-a -n teams -f vcluster.yaml
    """
    clusters.check_name(name)
    clusters.check_name(namespace, "namespace")
    spec = _spec(file, kubernetes_version)
    if connect:
        kubeconfig.check(context or clusters.context_name(namespace, name))
    fleet = up.ensure(locate.find(data_dir), data_dir)
    host = fleet.host()
    began = time.monotonic()
    with output.progress(f"creating cluster {name}"):
        made = make(host, namespace, name, spec)
    version = made["status"].get("version", "")
    output.done(f"cluster {name}, Kubernetes {version}", time.monotonic() - began)
    for warning in _warnings(made):
        output.say(f"  warning: {warning}")
    select(fleet, namespace, name, made, connect, context)


def select(fleet: locate.Fleet, namespace: str, name: str, made: dict[str, Any], connect: bool, context: str) -> None:
    """Add the cluster's context and select it, if that is wanted, and say what comes next."""
    if not connect:
        output.say(f"  next: kloster connect {name}{_option(namespace)}")
        return
    chosen, was = add_context(fleet, namespace, name, made, context)
    note = f"  (was: {was}; back: kloster disconnect)" if was and was != chosen else "  (back: kloster disconnect)"
    output.done(f"current context: {chosen}{note}")


def add_context(
    fleet: locate.Fleet, namespace: str, name: str, made: dict[str, Any], context: str
) -> tuple[str, str | None]:
    """Add the cluster's context and select it. Returns its name, and which was current before."""
    chosen = context or made["status"].get("context") or clusters.context_name(namespace, name)
    mark = kubeconfig.Mark(str(fleet.directory.root), namespace, name)
    was = kubeconfig.add(clusters.kubeconfig_of(fleet.host(), namespace, name), chosen, mark, select=True)
    return chosen, was


def make(host: HostAPI, namespace: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    """The cluster, ready. One that is refused is taken away again: creating makes a whole cluster or none."""
    made = clusters.create(host, namespace, name, spec)
    try:
        return clusters.wait_ready(host, made)
    except clusters.Refused:
        host.delete(clusters.path(namespace, name))
        clusters.wait_gone(host, namespace, name)
        raise


def _option(namespace: str) -> str:
    return "" if namespace == clusters.DEFAULT_NAMESPACE else f" -n {namespace}"


def _spec(file: Path | None, version: str) -> dict[str, Any]:
    spec: dict[str, Any] = {}
    if file is not None:
        try:
            content = yaml.load(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
        except OSError as error:
            raise CliError(f"{file} cannot be read: {error.strerror}") from error
        except (ValueError, yaml.YAMLError) as error:
            raise CliError(f"{file} cannot be read as YAML: {error}") from error
        if content is not None and not isinstance(content, dict):
            raise CliError(f"{file}: expected a mapping with keys such as sync or policies, found {content!r}")
        spec = content or {}
    if version:
        spec["kubernetesVersion"] = version
    return spec


def _warnings(cluster: dict[str, Any]) -> list[str]:
    accepted = clusters.condition(cluster, "Accepted")
    text = accepted.get("message", "") if accepted.get("reason") == "AcceptedWithWarnings" else ""
    return [line for line in text.split("\n") if line]
