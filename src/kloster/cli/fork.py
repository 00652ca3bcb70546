"""``kloster fork``."""

from __future__ import annotations

import copy
import time
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from kloster.cli import clusters, create, locate, output
from kloster.cli.hostapi import HostAPI

CLAIMS = "/api/v1/persistentvolumeclaims"


def run(
    source: Annotated[str, Parameter(name="SOURCE", help="The cluster to fork.")],
    name: Annotated[str, Parameter(name="NAME", help="What the fork is called.")],
    /,
    *,
    namespace: locate.Namespace = clusters.DEFAULT_NAMESPACE,
    workloads: Annotated[
        Literal["run", "suspended"] | None,
        Parameter(help="Whether the fork's pods start. Default: run on simulated nodes, suspended on others."),
    ] = None,
    connect: Annotated[bool, Parameter(help="Add a kubeconfig context and select it.")] = True,
    context: Annotated[str, Parameter(help="Name of the kubeconfig context.")] = "",
    output_format: Annotated[
        output.Format, Parameter(name=["--output", "-o"], help="Print the object alone: json, yaml or name.")
    ] = "",
    data_dir: locate.DataDirOption = None,
) -> None:
    """Make a copy-on-write branch of a cluster: everything in it, in milliseconds, whatever its size.

    The fork has an address, certificates and tokens of its own; those of the source are no good there. Its pods start
    anew. PersistentVolumeClaims start empty: volumes are not copied.

    For example:

      kloster fork dev try-it
      kloster fork staging migration -n teams --workloads suspended
      kloster fork prepared test-1 --no-connect -o name
    """
    clusters.check_name(name)
    clusters.check_name(namespace, "namespace")
    fleet = locate.find(data_dir)
    host = fleet.host()
    original = clusters.get(host, namespace, source)
    began = time.monotonic()
    with output.progress(f"forking cluster {source}"):
        made = create.make(host, namespace, name, _spec(original, workloads))
    if not output_format:
        output.done(f"cluster {name}, a fork of {source}", time.monotonic() - began)
        _say_what_differs(host, namespace, name, made)
        create.select(fleet, namespace, name, made, connect, context)
        return
    if connect:
        create.add_context(fleet, namespace, name, made, context)
    if output_format == "name":
        output.say(f"virtualcluster.kloster.dev/{name}")
    else:
        output.document(made, output_format)


def _spec(original: dict[str, Any], workloads: str | None) -> dict[str, Any]:
    """The source's spec, with what is the fork's own."""
    spec = copy.deepcopy(original.get("spec") or {})
    for own in ("from", "workloads"):
        spec.pop(own, None)
    (spec.get("exportKubeConfig") or {}).pop("context", None)
    spec["from"] = {"name": original["metadata"]["name"]}
    if workloads:
        spec["workloads"] = workloads
    return spec


def _say_what_differs(host: HostAPI, namespace: str, name: str, made: dict[str, Any]) -> None:
    claims = HostAPI(clusters.kubeconfig_of(host, namespace, name)).get(CLAIMS, limit="500")
    count = len(claims["items"])
    if count:
        more = "+" if claims["metadata"].get("continue") else ""
        output.say(f"  note: its {count}{more} PersistentVolumeClaims start empty: volumes are not copied")
    if made["status"].get("workloads") == "suspended":
        patch = """'{"spec":{"workloads":"run"}}'"""
        output.say("  note: its workloads are suspended; to start them:")
        output.say(f"    kloster connect --host -- kubectl patch vc {name} -n {namespace} --type merge -p {patch}")
