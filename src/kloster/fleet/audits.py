"""Audit logs of a fleet: one policy for all clusters, a file for each, in the cluster's directory.

The policy is named by an environment variable, which workers inherit, and read when a process starts. The files are
bounded, for what tenants ask is theirs to choose: 16 MiB, and four older ones.
"""

from __future__ import annotations

import os
from pathlib import Path

from kloster.apiserver.audit.log import AuditLog
from kloster.apiserver.audit.policy import Policy, PolicyError, parse
from kloster.fleet.datadir import DataDirError

POLICY_FILE = "KLOSTER_AUDIT_POLICY_FILE"
FILE = "audit.log"
SIZE = 16 << 20
BACKUPS = 4


def policy() -> Policy | None:
    """The policy that the environment names, None if it names none. Raises DataDirError."""
    path = os.environ.get(POLICY_FILE, "")
    return read(Path(path)) if path else None


def read(path: Path) -> Policy:
    """The policy in a file. Raises DataDirError."""
    try:
        return parse(path.read_bytes())
    except OSError as error:
        raise DataDirError(f"the audit policy {path} cannot be read: {error.strerror or error}") from error
    except PolicyError as error:
        raise DataDirError(f"{path} is no audit policy: {error}") from error


def begin(directory: Path) -> AuditLog:
    """The log of the cluster whose directory it is. Raises DataDirError."""
    try:
        return AuditLog(directory / FILE, SIZE, BACKUPS)
    except OSError as error:
        raise DataDirError(f"{directory / FILE} cannot be written: {error.strerror or error}") from error
