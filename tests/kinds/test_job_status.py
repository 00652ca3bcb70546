"""What may be reported of a job depends on who may report it: from 1.32 on, others than Kubernetes' own controller."""

from __future__ import annotations

from typing import Any

import pytest

from kloster.kinds.catalog import MINORS, catalog

JOB: dict[str, Any] = {"metadata": {"name": "a"}, "spec": {"completions": 1, "parallelism": 1}}
COMPLETE = {"type": "Complete", "status": "True"}
MET = {"type": "SuccessCriteriaMet", "status": "True"}
FAILED = {"type": "Failed", "status": "True"}
ALONE = [
    "status.completionTime: Required value: completionTime is required for Complete jobs",
    "status.conditions: Invalid value: cannot set Complete=True condition without the SuccessCriteriaMet=true"
    " condition",
    "status.startTime: Required value: startTime is required for finished job",
]


def _found(minor: str, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    kind = catalog(minor).lookup("batch", "v1", "jobs")
    assert kind is not None
    found = kind.strategy.validate_status({**JOB, "status": after}, {**JOB, "status": before})
    return [str(one) for one in found]


@pytest.mark.parametrize("minor", MINORS)
def test_a_bare_complete_condition_is_accepted_until_1_31(minor: str) -> None:
    assert sorted(_found(minor, {}, {"conditions": [COMPLETE]})) == ([] if minor == "1.31" else ALONE)


@pytest.mark.parametrize("minor", ["1.31", "1.34"])
@pytest.mark.parametrize(
    ("before", "after", "wanted"),
    [
        pytest.param(
            {}, {"active": -1}, "status.active: Invalid value: -1: must be greater than or equal to 0", id="negative"
        ),
        pytest.param(
            {},
            {"uncountedTerminatedPods": {"failed": ["a", "a"]}},
            'status.uncountedTerminatedPods.failed[1]: Duplicate value: "a"',
            id="counted twice",
        ),
        pytest.param(
            {"conditions": [MET]},
            {"conditions": []},
            "status.conditions: Invalid value: cannot disable the SuccessCriteriaMet=True condition",
            id="criteria no longer met",
        ),
        pytest.param(
            {"conditions": [COMPLETE]},
            {"conditions": [COMPLETE, MET]},
            "status.conditions: Invalid value: cannot set SuccessCriteriaMet=True for Job already has Complete=true"
            " conditions",
            id="criteria met late",
        ),
        pytest.param(
            {},
            {"conditions": [MET, FAILED]},
            "status.conditions: Invalid value: cannot set SuccessCriteriaMet=True and Failed=true conditions",
            id="met and failed",
        ),
    ],
)
def test_what_no_version_accepts(minor: str, before: dict[str, Any], after: dict[str, Any], wanted: str) -> None:
    assert wanted in _found(minor, before, after)
