"""How commands speak: durations, tables, colours only where somebody looks."""

from __future__ import annotations

import sys

import pytest

from kloster.cli import output
from kloster.cli.errors import CliError, report
from kloster.cli.list import age


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0412, "41 ms"), (0.4999, "500 ms"), (0.5, "0.5 s"), (0.94, "0.9 s"), (59.9, "59.9 s"), (123.0, "2 min 3 s")],
)
def test_durations(seconds: float, text: str) -> None:
    assert output.took(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0s"), (0, "0s"), (119, "119s"), (120, "2m"), (7200, "2h"), (3 * 86400, "3d")]
)
def test_ages(seconds: int, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1_700_000_000.0 + seconds)
    assert age("2023-11-14T22:13:20Z") == text


def test_tables_have_columns_as_wide_as_needed(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(["A", "LONG HEADER"], [["value", "x"], ["v", ""]])
    assert capsys.readouterr().out == "A       LONG HEADER\nvalue   x\nv\n"


@pytest.mark.parametrize(
    ("terminal", "environment", "coloured"),
    [
        pytest.param(True, {}, True, id="terminal"),
        pytest.param(False, {}, False, id="pipe"),
        pytest.param(True, {"NO_COLOR": ""}, False, id="no-color"),
        pytest.param(True, {"TERM": "dumb"}, False, id="dumb"),
    ],
)
def test_colours(
    terminal: bool,
    environment: dict[str, str],
    coloured: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    output.done("it works", 1.0)
    assert ("\033[" in capsys.readouterr().out) is coloured


def test_a_step_is_reported_when_it_is_done_and_not_when_it_failed(capsys: pytest.CaptureFixture[str]) -> None:
    with output.step("made") as final:
        final.append("made two")
    assert capsys.readouterr().out.startswith("✓ made two ")
    with pytest.raises(CliError), output.step("made"):
        raise CliError("no")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("error", "text"),
    [
        pytest.param(CliError("do this"), "error: do this\n", id="foreseen"),
        pytest.param(
            RuntimeError("oops"), "error: unexpected RuntimeError: oops (KLOSTER_DEBUG=1 shows more)\n", id="unforeseen"
        ),
    ],
)
def test_errors(
    error: Exception, text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KLOSTER_DEBUG", raising=False)
    assert report(error) == 1
    assert capsys.readouterr().err == text
