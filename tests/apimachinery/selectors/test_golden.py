"""Selectors against the words of a real server (tests/golden/selectors)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from kloster.apimachinery import selectors
from kloster.apimachinery.errors import StatusError

ANSWERS = yaml.safe_load((Path(__file__).parents[2] / "golden" / "selectors" / "answers.yaml").read_text())
POD_FIELDS = ("metadata.name", "metadata.namespace", "spec.nodeName", "status.phase")


def cases(name: str) -> list[Any]:
    return [pytest.param(case["text"], case.get("error"), id=case["text"][:30] or "empty") for case in ANSWERS[name]]


@pytest.mark.parametrize(("text", "error"), cases("labels"))
def test_labels(text: str, error: str | None) -> None:
    if error is None:
        selectors.parse_labels(text)
        return
    with pytest.raises(StatusError) as caught:
        selectors.parse_labels(text)
    assert (caught.value.code, caught.value.message) == (400, error)


@pytest.mark.parametrize(("text", "error"), cases("fields"))
def test_fields(text: str, error: str | None) -> None:
    check_fields(text, (), error)


@pytest.mark.parametrize(("text", "error"), cases("podFields"))
def test_fields_of_pods(text: str, error: str | None) -> None:
    check_fields(text, POD_FIELDS, error)


def check_fields(text: str, selectable: tuple[str, ...], error: str | None) -> None:
    if error is None:
        selectors.parse_fields(text, selectable)
        return
    with pytest.raises(StatusError) as caught:
        selectors.parse_fields(text, selectable)
    assert (caught.value.code, caught.value.message) == (400, error)
