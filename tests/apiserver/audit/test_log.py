"""The file that audit events go to."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from kloster.apiserver.audit.event import Noted, event
from kloster.apiserver.audit.log import AuditLog
from kloster.client.transport import User


def told(number: int) -> dict[str, object]:
    noted = Noted(
        id=str(number), uri="/version?a=<b>&c", verb="get", agent="x", sources=(), received=0.0, user=User("jane")
    )
    return event(noted, "ResponseComplete")


def test_its_owner_alone_reads_it(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "deep" / "audit.log")
    log.write(told(1))
    log.close()
    path = tmp_path / "deep" / "audit.log"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "/version?a=\\u003cb\\u003e\\u0026c" in path.read_text()
    assert json.loads(path.read_text())["requestURI"] == "/version?a=<b>&c"


def test_large_ones_are_laid_aside(tmp_path: Path) -> None:
    log = AuditLog(tmp_path / "audit.log", size=1000, backups=2)
    for number in range(12):
        log.write(told(number))
    log.close()
    files = sorted(tmp_path.glob("audit-*.log"))
    assert len(files) == 2
    kept = [
        json.loads(line)["auditID"] for one in [*files, tmp_path / "audit.log"] for line in one.read_text().splitlines()
    ]
    assert kept == [str(number) for number in range(12)][-len(kept) :]
    assert all(stat.S_IMODE(one.stat().st_mode) == 0o600 for one in files)
    assert all(one.stat().st_size <= 1000 for one in files)


def test_an_older_file_is_continued(tmp_path: Path) -> None:
    for number in range(2):
        log = AuditLog(tmp_path / "audit.log")
        log.write(told(number))
        log.close()
    assert len((tmp_path / "audit.log").read_text().splitlines()) == 2
