"""``kloster up``."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from kloster.cli import locate, output, start
from kloster.cli.errors import CliError


def run(
    *,
    data_dir: locate.DataDirOption = None,
    foreground: Annotated[bool, Parameter(help="Stay in the foreground, log to the terminal.", negative="")] = False,
    nodes: Annotated[int, Parameter(help="How many simulated nodes the embedded host has.")] = 3,
    workers: Annotated[
        int,
        Parameter(
            help="Processes that serve clusters; 1: the host's own; 0: one for each core. More than one pays where "
            "several clusters are busy at once and cores are free: each costs 45 MiB and a second at the start."
        ),
    ] = 1,
    local_webhooks: Annotated[
        bool, Parameter(help="Let clusters call webhooks that listen on this machine.", negative="")
    ] = False,
    audit_policy_file: Annotated[
        Path | None,
        Parameter(
            help="An audit policy (audit.k8s.io/v1): what it says is written to audit.log in the directory of each "
            "cluster (clusters/UID in the data directory), of 16 MiB, beside four older ones."
        ),
    ] = None,
    bind: Annotated[str, Parameter(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port of the common address; 0: the one used before, or a free one.")] = 0,
) -> None:
    """Start the embedded host and the fleet of its virtual clusters.

    Detaches when it is ready; does nothing if it is running already.

    For example:

      kloster up
      kloster up --nodes 5 --foreground
      KLOSTER_DATA_DIR=/tmp/k kloster up
    """
    fleet = locate.find(data_dir)
    if fleet.busy and not fleet.running and not foreground:
        fleet = locate.wait_ready(fleet.directory.root)
    if fleet.running:
        output.done(f"host is running already ({fleet.state['address']}, process {fleet.state['pid']})")
        return
    arguments = ["--nodes", str(nodes), "--workers", str(workers), "--bind", bind, "--port", str(port)]
    if local_webhooks:
        arguments.append("--local-webhooks")
    if audit_policy_file is not None:
        arguments += ["--audit-policy-file", str(audit_policy_file.absolute())]
    if foreground:
        start.refuse_sudo(fleet)
        fleet.directory.prepare()
        command = [sys.executable, "-m", "kloster.fleet", "--data-dir", str(fleet.directory.root), *arguments]
        os.execv(sys.executable, command)
    began = time.monotonic()
    with output.progress("starting the host"):
        state = start.detached(fleet, arguments)
    announce(state, time.monotonic() - began)
    output.say("  next: kloster create NAME")


def announce(state: dict[str, object], seconds: float) -> None:
    """The line that says that the host runs, and that its nodes only pretend."""
    output.done(f"host started ({state.get('nodes', 'simulated')} nodes)", seconds)


def ensure(fleet: locate.Fleet, data_dir: locate.DataDirOption) -> locate.Fleet:
    """The fleet, started with defaults if it does not run."""
    fleet = locate.wait_ready(fleet.directory.root)
    if fleet.running:
        return fleet
    began = time.monotonic()
    try:
        with output.progress("starting the host"):
            state = start.detached(fleet, [])
    except CliError:
        other = locate.wait_ready(fleet.directory.root)
        if other.running:  # somebody else was faster
            return other
        raise
    announce(state, time.monotonic() - began)
    started = locate.find(fleet.directory.root)
    if not started.running:
        raise CliError(f"the host started but left no trace in {fleet.directory.root}; see its log there")
    return started
