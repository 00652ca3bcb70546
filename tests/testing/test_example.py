"""The how-to shows the example as it is, and what it shows works."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "greeter"
SHOWN = [
    *(("test-your-operator.md", f"greeter/{name}") for name in ("greeter.py", "crd.yaml", "conftest.py")),
    ("test-your-operator.md", "greeter/test_greeter.py"),
    ("test-your-go-operator.md", "envtest/suite_test.go"),
]


@pytest.mark.parametrize(("page", "name"), SHOWN)
def test_the_page_shows_the_files_as_they_are(page: str, name: str) -> None:
    text = (ROOT / "docs" / "how-to" / page).read_text()
    blocks = re.findall(r"```(?:python|yaml|go)\n(.*?)```", text, re.DOTALL)
    assert (ROOT / "examples" / name).read_text() in blocks


def test_the_example_passes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", str(tmp_path / "run")]
    done = subprocess.run(command, cwd=EXAMPLE, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout
