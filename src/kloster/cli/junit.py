"""What test reports in JUnit's form say, and several of them as one."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element

LARGEST = 64 * 1024 * 1024
_PYTEST = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed)\b")
_GO_TEST = re.compile(r"^\s*--- (PASS|FAIL|SKIP): (\S+)", re.MULTILINE)
_GO_PACKAGE = re.compile(r"^(ok|FAIL|---)\s+(\S+)\s+(?:[\d.]+s|\(cached\)|\[build failed\])", re.MULTILINE)


@dataclass(slots=True)
class Counts:
    """How many tests did what; `failures` are the names of those that failed, in order."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.passed or self.failed or self.skipped)


def find(folder: Path, newer: float) -> list[Path]:
    """The reports in a folder that were written since `newer`."""
    found = []
    for path in sorted(folder.rglob("*.xml")):
        if path.stat().st_mtime >= newer and path.stat().st_size <= LARGEST and _suites(path) is not None:
            found.append(path)
    return found


def count(paths: Iterable[Path]) -> Counts:
    """What the reports say together."""
    counts = Counts()
    for path in paths:
        for case in (suite for suites in _suites(path) or () for suite in suites.iter("testcase")):
            if case.find("failure") is not None or case.find("error") is not None:
                counts.failed += 1
                counts.failures.append(case.get("name") or "unnamed")
            elif case.find("skipped") is not None:
                counts.skipped += 1
            else:
                counts.passed += 1
    return counts


def read_output(text: str) -> Counts:
    """What the output of pytest, or of `go test`, says where there is no report."""
    counts = Counts()
    summary = next((line for line in reversed(text.splitlines()) if " in " in line and _PYTEST.search(line)), "")
    if summary:
        for number, word in _PYTEST.findall(summary):
            if word in ("failed", "error", "errors"):
                counts.failed += int(number)
            elif word in ("passed", "xpassed"):
                counts.passed += int(number)
            else:
                counts.skipped += int(number)
        return counts
    for verdict, name in _GO_TEST.findall(text) or _GO_PACKAGE.findall(text):
        if verdict in ("PASS", "ok"):
            counts.passed += 1
        elif verdict == "SKIP":
            counts.skipped += 1
        elif verdict == "FAIL":
            counts.failed += 1
            counts.failures.append(name)
    return counts


def merge(reports: Mapping[str, Iterable[Path]], target: Path) -> None:
    """One report of several: each suite is named after the version (the mapping's key) that it ran on."""
    root = Element("testsuites")
    for version, paths in reports.items():
        for path in paths:
            for suite in _suites(path) or ():
                suite.set("name", f"{version} {suite.get('name') or path.stem}")
                for case in suite.iter("testcase"):
                    case.set("classname", f"{version}.{case.get('classname') or ''}".rstrip("."))
                root.append(suite)
    target.parent.mkdir(parents=True, exist_ok=True)
    ElementTree.ElementTree(root).write(target, encoding="utf-8", xml_declaration=True)


def _suites(path: Path) -> list[Element] | None:
    """The test suites of a report; None if it is none."""
    try:
        root = ElementTree.parse(path).getroot()
    except (OSError, ElementTree.ParseError):
        return None
    if root.tag == "testsuite":
        return [root]
    return list(root.findall("testsuite")) if root.tag == "testsuites" else None
