"""Answers as they are kept, and the differences that are known.

``answers/MINOR/KIND.jsonl.xz``  one case a line: [id, digest of the request, status, warnings, normalized body].
``known/MINOR/KIND.txt``  the ids of cases whose answers differ today, under ``# reason`` lines.
"""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson
from tests.differential.generated.cases import Case

ANSWERS = Path(__file__).parent / "answers"
KNOWN = Path(__file__).parent / "known"
UNEXPLAINED = "not looked into yet"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    warnings: str
    body: str

    def shown(self) -> str:
        """For people: one field a line."""
        lines = [str(self.status)]
        if self.warnings:
            lines.append(f"Warning: {self.warnings}")
        try:
            body = orjson.dumps(orjson.loads(self.body), option=orjson.OPT_INDENT_2).decode()
        except ValueError:
            body = self.body
        return "\n".join([*lines, body])


def digest(case: Case) -> int:
    """Changes with the request: then its recorded answer no longer belongs to it."""
    return zlib.crc32(orjson.dumps([case.method, case.path, case.type, case.body]))


def minors() -> list[str]:
    """Those that were recorded."""
    found = [path.name for path in ANSWERS.iterdir() if path.is_dir()]
    return sorted(found, key=lambda minor: int(minor.partition(".")[2]))


def is_recorded(minor: str, kind: str) -> bool:
    return _path(ANSWERS, minor, kind, "jsonl.xz").exists()


def save(minor: str, kind: str, answers: Mapping[str, tuple[int, Answer]]) -> None:
    lines = [orjson.dumps([id, sum, found.status, found.warnings, found.body]) for id, (sum, found) in answers.items()]
    path = _path(ANSWERS, minor, kind, "jsonl.xz")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(lzma.compress(b"\n".join(lines) + b"\n", preset=9 | lzma.PRESET_EXTREME))


def load(minor: str, kind: str) -> dict[str, tuple[int, Answer]]:
    """By the id of the case: the request's digest, and its answer."""
    text = lzma.decompress(_path(ANSWERS, minor, kind, "jsonl.xz").read_bytes())
    rows = (orjson.loads(line) for line in text.splitlines())
    return {id: (sum, Answer(status, warnings, body)) for id, sum, status, warnings, body in rows}


def known(minor: str, kind: str) -> dict[str, str]:
    """Ids of cases that differ → why."""
    path = _path(KNOWN, minor, kind, "txt")
    found: dict[str, str] = {}
    reason = UNEXPLAINED
    for line in path.read_text().splitlines() if path.exists() else ():
        if line.startswith("# "):
            reason = line[2:]
        elif line:
            found[line] = reason
    return found


def save_known(minor: str, kind: str, ids: Iterable[str], reasons: Mapping[str, str]) -> None:
    """Writes the ids under the reasons that are known for them."""
    groups: dict[str, list[str]] = {}
    for id in ids:
        groups.setdefault(reasons.get(id, UNEXPLAINED), []).append(id)
    path = _path(KNOWN, minor, kind, "txt")
    path.parent.mkdir(parents=True, exist_ok=True)
    if not groups:
        path.unlink(missing_ok=True)
        return
    parts = ["\n".join([f"# {reason}", *sorted(groups[reason])]) for reason in sorted(groups)]
    path.write_text("\n\n".join(parts) + "\n")


def _path(folder: Path, minor: str, kind: str, suffix: str) -> Path:
    return folder / minor / f"{kind.replace('/', '_')}.{suffix}"
