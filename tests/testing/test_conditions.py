"""What can be waited for, and what is said when it does not come."""

from __future__ import annotations

from typing import Any

import pytest

from kloster.testing import TestingError, conditions
from kloster.testing.conditions import Wanted

AVAILABLE = {"type": "Available", "status": "True"}
DEPLOYMENT: dict[str, Any] = {
    "metadata": {"name": "web", "generation": 2},
    "status": {"observedGeneration": 2, "replicas": 3, "conditions": [AVAILABLE]},
}


def changed(**status: Any) -> dict[str, Any]:
    return {**DEPLOYMENT, "status": {**DEPLOYMENT["status"], **status}}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        pytest.param("pod/x", Wanted("pod", "x", "create"), id="nothing-is-create"),
        pytest.param("pod/x delete", Wanted("pod", "x", "delete"), id="delete"),
        pytest.param("pod/x for=delete", Wanted("pod", "x", "delete"), id="as-kubectl-writes-it"),
        pytest.param(
            "deployment/web condition=Available",
            Wanted("deployment", "web", "condition", "Available", "True"),
            id="true",
        ),
        pytest.param("d/w condition=Ready=False", Wanted("d", "w", "condition", "Ready", "False"), id="status"),
        pytest.param(
            "pod/x jsonpath={.status.phase}=Running",
            Wanted("pod", "x", "jsonpath", ".status.phase", "Running"),
            id="path",
        ),
        pytest.param(
            "pod/x jsonpath='{.status.phase}'='Running now'",
            Wanted("pod", "x", "jsonpath", ".status.phase", "Running now"),
            id="quoted",
        ),
        pytest.param(
            'pod/x jsonpath={.a[?(@.b=="c")].d}=e',
            Wanted("pod", "x", "jsonpath", '.a[?(@.b=="c")].d', "e"),
            id="filter",
        ),
        pytest.param("pod/x jsonpath={.status}", Wanted("pod", "x", "jsonpath", ".status", ""), id="anything"),
        pytest.param("a.example.com/x create", Wanted("a.example.com", "x", "create"), id="group"),
    ],
)
def test_conditions_are_read(text: str, wanted: Wanted) -> None:
    assert conditions.parse(text) == wanted


@pytest.mark.parametrize(
    "text",
    ["", "pod", "pod/", "/x", "pod/x ready", "pod/x jsonpath={.a[}=1", "pod/x condition"],
    ids=["empty", "no-name", "slash", "no-kind", "unknown", "bad-path", "no-type"],
)
def test_what_is_no_condition_is_refused(text: str) -> None:
    with pytest.raises(TestingError):
        conditions.parse(text)


@pytest.mark.parametrize(
    ("text", "found", "true"),
    [
        pytest.param("d/web condition=Available", DEPLOYMENT, True, id="condition"),
        pytest.param("d/web condition=available=true", DEPLOYMENT, True, id="any-case"),
        pytest.param("d/web condition=Available=False", DEPLOYMENT, False, id="other-status"),
        pytest.param("d/web condition=Available", changed(observedGeneration=1), False, id="about-an-older-generation"),
        pytest.param("d/web condition=Progressing", DEPLOYMENT, False, id="no-such-condition"),
        pytest.param("d/web condition=Available", None, False, id="no-object"),
        pytest.param("d/web jsonpath={.status.replicas}=3", DEPLOYMENT, True, id="number"),
        pytest.param("d/web jsonpath={.status.replicas}=2", DEPLOYMENT, False, id="other-number"),
        pytest.param("d/web jsonpath={.status.replicas}", DEPLOYMENT, True, id="anything"),
        pytest.param("d/web jsonpath={.status.nothing}", DEPLOYMENT, False, id="nothing"),
        pytest.param("d/web delete", DEPLOYMENT, False, id="still-there"),
        pytest.param("d/web delete", None, True, id="gone"),
        pytest.param("d/web create", DEPLOYMENT, True, id="there"),
        pytest.param("d/web create", None, False, id="not-there"),
    ],
)
def test_conditions_hold(text: str, found: dict[str, Any] | None, true: bool) -> None:
    assert conditions.parse(text).holds(found) is true


@pytest.mark.parametrize(
    ("text", "found", "words"),
    [
        pytest.param("d/web condition=A", None, "there is no such object", id="none"),
        pytest.param(
            "d/web condition=A",
            changed(conditions=[{"type": "A", "status": "False", "reason": "No", "message": "not yet"}]),
            "its conditions: A=False (No: not yet)",
            id="conditions",
        ),
        pytest.param(
            "d/web condition=A",
            {"metadata": {}, "status": {"phase": "Pending"}},
            'it has no conditions; its status: {"phase":"Pending"}',
            id="no-conditions",
        ),
        pytest.param("d/web jsonpath={.status.replicas}=2", DEPLOYMENT, "it was '3'", id="value"),
        pytest.param(
            "d/web delete",
            {"metadata": {"deletionTimestamp": "now", "finalizers": ["a/b"]}},
            "it is being deleted and has finalizers: a/b",
            id="finalizers",
        ),
    ],
)
def test_what_was_there_instead(text: str, found: dict[str, Any] | None, words: str) -> None:
    assert conditions.parse(text).instead(found) == words
