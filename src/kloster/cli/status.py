"""``kloster status``."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from kloster.cli import clusters, locate, output


def run(
    *,
    output_format: Annotated[output.Format, Parameter(name=["--output", "-o"], help="json or yaml.")] = "",
    data_dir: locate.DataDirOption = None,
) -> int:
    """Show whether the host runs, where, and how many clusters it serves. Exit code 1 if it does not run.

    For example:

      kloster status
      kloster status -o json
    """
    fleet = locate.find(data_dir)
    found = {"running": fleet.running, "dataDir": str(fleet.directory.root), **fleet.state}
    if fleet.running:
        items = fleet.host().get(clusters.collection(""))["items"]
        found["clusters"] = len(items)
    if output_format in ("json", "yaml"):
        output.document(found, output_format)
    elif fleet.running:
        output.done(f"host runs at {fleet.state['address']} (process {fleet.state['pid']})")
        output.say(f"  version:   {fleet.state.get('version', '')}")
        output.say(f"  nodes:     {fleet.state.get('nodes', '')}")
        output.say(f"  clusters:  {found['clusters']}")
        output.say(f"  data:      {fleet.directory.root}")
    else:
        output.say(f"no host is running in {fleet.directory.root}; start one with: kloster up")
    return 0 if fleet.running else 1
