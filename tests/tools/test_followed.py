"""How-to pages are followed literally: what is read from a page, and what running it notices."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tools.docs import empty
from tools.docs.empty import Step

PAGE = """# A page

`a.py`: a file, because the paragraph
begins with its name.

```python
print("it's run")
```

Not `b.py`, which is only mentioned.

```python
raise SystemExit
```

```console
$ cd sub && export SEEN=1
not a command
$ test "$SEEN" = 1
```
"""


def test_commands_and_named_files_are_followed_in_order() -> None:
    found = empty.steps(PAGE)
    assert found == [
        Step('print("it\'s run")\n', "a.py"),
        Step("cd sub && export SEEN=1"),
        Step('test "$SEEN" = 1'),
    ]


@pytest.mark.parametrize(
    ("steps", "code", "said"),
    [
        pytest.param([Step("print(1)\n", "a.py"), Step("python3 a.py")], 0, "1\n", id="a file is there"),
        pytest.param([Step("mkdir s && cd s"), Step('test "${PWD##*/}" = s')], 0, "$ mkdir s", id="one shell"),
        pytest.param([Step("false && true"), Step("echo on")], 1, "exit code 1", id="the first of two fails"),
        pytest.param([Step("nonsense"), Step("echo on")], 1, "exit code 127", id="no such command"),
    ],
)
def test_the_first_command_that_fails_ends_it(tmp_path: Path, steps: list[Step], code: int, said: str) -> None:
    done = subprocess.run(
        ["bash", "-c", empty.script(steps)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    assert said in done.stdout
    assert "$ echo on" not in done.stdout


def test_what_a_page_leaves_running_is_a_failure(tmp_path: Path) -> None:
    page, wheel = tmp_path / "page.md", tmp_path / "kloster-0.1.0-py3-none-any.whl"
    page.write_text("# A page\n\n```console\n$ setsid sleep 100 &\n```\n")
    wheel.touch()
    outcome = empty.follow(page, wheel, "uv")
    assert not outcome.good
    assert "still running: sleep 100" in outcome.text
    page.write_text("# A page\n\n```console\n$ sleep 0\n```\n")
    assert empty.follow(page, wheel, "uv").good


def test_nothing_of_this_repository_is_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{empty.ROOT / '.venv' / 'bin'}:/usr/bin:/bin")
    monkeypatch.setenv("KUBECONFIG", "/somewhere")
    given = empty.environment(tmp_path, tmp_path / "kloster-0.1.0-py3-none-any.whl", "uv")
    assert given["PATH"] == f"{tmp_path / 'bin'}:/usr/bin:/bin"
    assert "KUBECONFIG" not in given
    assert given["HOME"] == str(tmp_path / "home")
    assert "kloster==0.1.0" in Path(given["PIP_CONSTRAINT"]).read_text()
