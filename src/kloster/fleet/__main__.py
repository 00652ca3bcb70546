"""``python -m kloster.fleet``: the process that ``kloster up`` starts."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import structlog
import uvloop

from kloster.apiserver.http.listeners import AddressInUse
from kloster.apiserver.observability import logging
from kloster.fleet.addresses import PortTaken
from kloster.fleet.audits import POLICY_FILE
from kloster.fleet.datadir import DataDirError
from kloster.fleet.process import Options, report_failure, run
from kloster.fleet.shared import LOCAL_WEBHOOKS
from kloster.stores.api import StoreError
from kloster.stores.disk import disk_full

log = structlog.get_logger("kloster")

FULL = "the disk of {} is full: free some space, or choose another directory with --data-dir"


def _options() -> Options:
    parser = argparse.ArgumentParser(prog="kloster.fleet")
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--bind", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--ready-fd", type=int, default=-1)
    parser.add_argument("--park-after", type=float, default=30.0)
    parser.add_argument("--lifeline-fd", type=int, default=-1)
    parser.add_argument("--temporary", type=Path)
    parser.add_argument("--local-webhooks", action="store_true")
    parser.add_argument("--audit-policy-file", type=Path)
    parsed = parser.parse_args()
    return Options(**vars(parsed))


def main() -> int:
    """Run; expected failures are one line and exit code 1."""
    options = _options()
    if options.local_webhooks:
        os.environ[LOCAL_WEBHOOKS] = "1"
    if options.audit_policy_file is not None:
        os.environ[POLICY_FILE] = str(options.audit_policy_file.absolute())
    logging.configure()
    try:
        uvloop.run(run(options))
    except Exception as error:
        foreseen = FULL.format(options.data_dir) if disk_full(error) else str(error)
        if foreseen != str(error) or isinstance(error, DataDirError | AddressInUse | PortTaken | StoreError):
            report_failure(options.ready_fd, foreseen)
            log.error("cannot start", error=foreseen)
            return 1
        report_failure(
            options.ready_fd, f"unexpected {type(error).__name__}: {error}; the log in the directory says more"
        )
        log.exception("the fleet's process failed")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
