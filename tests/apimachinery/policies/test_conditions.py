"""Match conditions: all have to hold; one that is false decides, whatever fails beside it."""

from __future__ import annotations

import pytest

from kloster.apimachinery.cel.functions.authorization import Asked, AuthorizerValue
from kloster.apimachinery.policies.conditions import Verdict, compile_match_conditions, evaluate

_OBJECT = {"metadata": {"name": "a", "labels": {"x": "y"}}}


def _answer(*expressions: str) -> Verdict:
    conditions = [{"name": f"c{at}", "expression": text} for at, text in enumerate(expressions)]
    compiled = compile_match_conditions(conditions, 34)
    request = {"operation": "CREATE", "userInfo": {"username": "u", "groups": ["g"]}}
    allowed = AuthorizerValue(lambda asked: (asked.resource == "pods", "because"), Asked())
    values = {"object": _OBJECT, "oldObject": None, "request": request, "authorizer": allowed}
    return evaluate(compiled, values)


_MISSING = "expression 'object.spec.x == 1' resulted in error: no such key: spec"


@pytest.mark.parametrize(
    ("expressions", "verdict"),
    [
        pytest.param((), Verdict(True), id="none"),
        pytest.param(("object.metadata.name == 'a'", "oldObject == null"), Verdict(True), id="all hold"),
        pytest.param(
            ("'g' in request.userInfo.groups", "request.operation == 'DELETE'"), Verdict(False), id="one false"
        ),
        pytest.param(("object.spec.x == 1",), Verdict(False, _MISSING), id="error"),
        pytest.param(("object.spec.x == 1", "false"), Verdict(False), id="false beats error"),
        pytest.param(
            ("object.spec.x == 1", "object.spec.x == 1", "int(object.metadata.name) == 1"),
            Verdict(
                False,
                f"[{_MISSING}, expression 'int(object.metadata.name) == 1' resulted in error: type conversion error "
                "from 'string' to 'int']",
            ),
            id="errors together",
        ),
        pytest.param(
            ("authorizer.group('').resource('pods').namespace('n').check('get').allowed()",),
            Verdict(True),
            id="allowed",
        ),
        pytest.param(
            ("authorizer.group('').resource('secrets').check('get').reason() != 'because'",),
            Verdict(False),
            id="reason",
        ),
        pytest.param(
            tuple(f"authorizer.path('/{at}').check('get').allowed() || true" for at in range(8)),
            Verdict(
                False,
                "validation failed due to running out of cost budget, no further validation rules will be run",
            ),
            id="budget",
        ),
    ],
)
def test_conditions(expressions: tuple[str, ...], verdict: Verdict) -> None:
    assert _answer(*expressions) == verdict
