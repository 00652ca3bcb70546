"""``kloster reset``."""

from __future__ import annotations

import time
import uuid
from typing import Annotated, Any

from cyclopts import Parameter

from kloster.cli import clusters, locate, output
from kloster.cli.errors import CliError
from kloster.cli.hostapi import HostAPI

ANNOTATION = "kloster.dev/reset"


def run(
    name: str,
    *,
    namespace: locate.Namespace = clusters.DEFAULT_NAMESPACE,
    output_format: Annotated[
        output.Format, Parameter(name=["--output", "-o"], help="Print the object alone: json, yaml or name.")
    ] = "",
    data_dir: locate.DataDirOption = None,
) -> None:
    """Set a fork back to the state at its fork. What was changed in it since then is lost.

    Its address, certificates and contexts stay. Open watches end; resourceVersions go on rising. Its pods start anew,
    and its claims are empty again.

    For example:

      kloster reset try-it
      kloster reset migration -n teams
    """
    host = locate.find(data_dir).host()
    cluster = clusters.get(host, namespace, name)
    if not (cluster.get("status") or {}).get("from"):
        raise CliError(f'cluster "{name}" is no fork, so there is no state at its fork to go back to')
    began = time.monotonic()
    with output.progress(f"resetting cluster {name}"):
        done = _reset(host, namespace, name)
    if output_format == "name":
        output.say(f"virtualcluster.kloster.dev/{name}")
    elif output_format:
        output.document(done, output_format)
    else:
        of = done["status"]["from"]
        text = f"cluster {name} is as it was forked off {of['name']}"
        output.done(text, time.monotonic() - began)


def _reset(host: HostAPI, namespace: str, name: str, timeout: float = 60.0) -> dict[str, Any]:
    """The object, once the reset that was asked for here has been done and the cluster is served again."""
    token = uuid.uuid4().hex
    asked = host.patch(clusters.path(namespace, name), {"metadata": {"annotations": {ANNOTATION: token}}})
    return clusters.wait_until(
        host,
        asked,
        lambda seen: (seen.get("status") or {}).get("reset") == token and clusters.is_ready(seen),
        "was not reset",
        timeout,
    )
