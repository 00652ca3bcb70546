"""What a run of somebody's suite ended as, and the record of the same run on a real server."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PASSED = "passed"
_ADDRESS = re.compile(r"0x[0-9a-f]+")


class SuiteError(Exception):
    """A suite cannot be run at all."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a test ended ("passed", "failed", "panicked", "skipped", "missing") and what it said if it failed."""

    state: str
    said: str = ""


Outcomes = Mapping[str, Outcome]


@dataclass(frozen=True, slots=True)
class Record:
    """The run on a real server.

    `reasons` says why tests do not pass there, `differences` which tests are known to end otherwise on Kloster, `races`
    which ones pass or fail by chance on any server: each entry names its tests, so that every line has its explanation.
    """

    name: str
    about: Mapping[str, str]
    outcomes: Outcomes
    reasons: tuple[Mapping[str, Any], ...]
    differences: tuple[Mapping[str, Any], ...]
    races: tuple[Mapping[str, Any], ...]

    @classmethod
    def read(cls, name: str) -> Record:
        data = json.loads((HERE / f"{name}.json").read_text())
        said = data["said"]
        outcomes = {test: Outcome(state, said.get(test, "")) for test, state in data["outcomes"].items()}
        entries = [tuple(data[kind]) for kind in ("reasons", "differences", "races")]
        return cls(name, data["about"], outcomes, *entries)

    def write(self) -> None:
        data = {
            "about": dict(self.about),
            "outcomes": {test: one.state for test, one in sorted(self.outcomes.items())},
            "said": {test: one.said for test, one in sorted(self.outcomes.items()) if one.said},
            "reasons": list(self.reasons),
            "differences": list(self.differences),
            "races": list(self.races),
        }
        (HERE / f"{self.name}.json").write_text(json.dumps(data, indent=1, ensure_ascii=False) + "\n")

    def expected(self) -> dict[str, Outcome]:
        """How the tests end on Kloster: as on the real server, apart from the known differences."""
        differing = {test: Outcome(entry["state"]) for entry in self.differences for test in entry["tests"]}
        return {**self.outcomes, **differing}

    def by_chance(self) -> set[str]:
        return {test for entry in self.races for test in entry["tests"]}

    def unexplained(self) -> list[str]:
        """What a record must not have: tests that fail without a reason, and reasons without a test that fails."""
        failing = {test for test, one in self.outcomes.items() if one.state != PASSED} - self.by_chance()
        explained = [test for entry in self.reasons for test in entry["tests"]]
        problems = [f"no reason: {test}" for test in sorted(failing - set(explained))]
        problems += [f"a reason for what passes: {test}" for test in sorted(set(explained) - failing)]
        for entry in self.differences:
            for test in entry["tests"]:
                if test not in self.outcomes or self.outcomes[test].state == entry["state"]:
                    problems.append(f"a difference that is none: {test}")
        return problems


def compare(record: Record, found: Outcomes) -> list[str]:
    """One line for each test that did not end as the record says, with what it said."""
    lines, expected, by_chance = [], record.expected(), record.by_chance()
    for test in sorted({*expected, *found}):
        wanted, got = expected.get(test, Outcome("missing")), found.get(test, Outcome("missing"))
        if test in by_chance and got.state in (PASSED, "failed"):
            continue
        if wanted.state != got.state:
            lines.append(f"{test}: {got.state}, expected {wanted.state}\n{got.said}")
        elif wanted.said and wanted.said != got.said:
            lines.append(f"{test}: {got.state} as expected, but it says\n{got.said}\nand not\n{wanted.said}")
    return lines


def of_ginkgo(report: Path, files: Iterable[str]) -> dict[str, Outcome]:
    """The specs of these files in a report of ginkgo's. Empty if the run wrote none."""
    if not report.exists() or not report.stat().st_size:
        return {}
    found = {}
    for suite in json.loads(report.read_text()):
        for spec in suite["SpecReports"]:
            if Path(spec["LeafNodeLocation"]["FileName"]).name not in files:
                continue
            words = [*(spec["ContainerHierarchyTexts"] or []), spec["LeafNodeText"]]
            said = spec.get("Failure", {}).get("Message", "") if spec["State"] == "failed" else ""
            found[" ".join(words)] = Outcome(spec["State"], _summary(said))
    return found


def _summary(message: str) -> str:
    """A failure of gomega's without the Go values that follow and without addresses in memory."""
    lines = [line.strip() for line in message.splitlines()]
    end = lines.index("{") if "{" in lines else len(lines)
    return "\n".join(_ADDRESS.sub("0x…", line) for line in lines[:end])


def of_go(output: str) -> dict[str, Outcome]:
    """The tests of `go test -v`, without those inside them."""
    states = {"PASS": PASSED, "FAIL": "failed", "SKIP": "skipped"}
    return {name: Outcome(states[state]) for state, name in re.findall(r"^--- (PASS|FAIL|SKIP): (\S+)", output, re.M)}


def of_junit(report: Path) -> dict[str, Outcome]:
    """The tests of a pytest run, by node id. What failed says the end of its log: it is for people, not for records."""
    if not report.exists():
        return {}
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        name = f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
        bad = [one for one in case if one.tag in {"failure", "error", "skipped"}]
        state = {"failure": "failed", "error": "failed", "skipped": "skipped"}[bad[0].tag] if bad else PASSED
        found[name] = Outcome(state, (bad[0].text or bad[0].get("message") or "")[-3000:] if bad else "")
    return found
