"""What a CI service does with the shell steps of deploy/ci, as far as they can tell."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from tests import nobody

ROOT = Path(__file__).resolve().parents[2]
ACTION = ROOT / "deploy/ci/github/action.yml"
TEMPLATE = ROOT / "deploy/ci/gitlab/kloster.gitlab-ci.yml"
TIMEOUT = 240
PIP = {"PIP_RETRIES": "0", "PIP_NO_COMPILE": "1"}
"""Nothing here is tried again in vain, nor compiled that is not used: it would take most of the time."""


def read(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(path.read_text())
    return found


@dataclass(frozen=True, slots=True)
class Done:
    """How a job ended: its exit code, what it has shown, what was handed to other actions (name → with)."""

    code: int
    shown: str
    used: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Machine:
    """A job's machine: nobody's home, no network, a folder for the job. `python`: the one on PATH."""

    folder: Path
    python: Path

    def prepare(self) -> None:
        for name in ("home", "workspace", "temp", "bin", "tmp"):
            (self.folder / name).mkdir(parents=True)
        for path in (self.folder, *self.folder.iterdir()):
            path.chmod(0o777)
        (self.folder / "bin" / "python3").symlink_to(self.python)

    @property
    def workspace(self) -> Path:
        return self.folder / "workspace"

    @property
    def path(self) -> str:
        return f"{self.folder}/bin:/usr/bin:/bin"

    @property
    def own(self) -> dict[str, str]:
        return {"HOME": str(self.folder / "home"), "TMPDIR": str(self.folder / "tmp")}

    def shell(self, shell: Sequence[str], script: str, environment: Mapping[str, str], at: Path) -> tuple[int, str]:
        path = self.folder / "script"
        path.write_text(script)
        path.chmod(0o644)
        done = subprocess.run(
            [sys.executable, nobody.__file__, "--offline", *shell, str(path)],
            cwd=at,
            env={"PATH": self.path, **self.own, **PIP, **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TIMEOUT,
            check=False,
        )
        return done.returncode, done.stdout

    def github(self, **inputs: str) -> Done:
        """Run the action as a GitHub runner does: a step after the other, those with `always()` after a failure too."""
        action = read(ACTION)
        values = {name: str(one.get("default", "")) for name, one in action["inputs"].items()}
        inputs = {name.replace("_", "-"): value for name, value in inputs.items()}
        assert inputs.keys() <= values.keys()
        values.update(inputs)
        context = {f"inputs.{name}": value for name, value in values.items()}
        context |= {"runner.temp": str(self.folder / "temp"), "runner.os": "Linux", "runner.arch": "X64"}
        added = self.folder / "temp" / "path"
        added.touch()
        added.chmod(0o666)
        code, shown, used = 0, "", {}
        for step in action["runs"]["steps"]:
            if not _wanted(step.get("if", "success()"), context, code):
                continue
            if "uses" in step:
                used[step["uses"].partition("@")[0]] = {
                    key: _filled(str(one), context) for key, one in step["with"].items()
                }
                continue
            assert step["shell"] == "bash"
            environment = {name: _filled(one, context) for name, one in step["env"].items()}
            environment["GITHUB_PATH"] = str(added)
            environment["PATH"] = os.pathsep.join([*reversed(added.read_text().splitlines()), self.path])
            at = self.workspace / _filled(step["working-directory"], context)
            ended, text = self.shell(["bash", "--noprofile", "--norc", "-eo", "pipefail"], step["run"], environment, at)
            code, shown = code or ended, shown + text
        return Done(code, shown, used)

    def gitlab(self, shell: str = "bash", **variables: str) -> Done:
        """Run the template's job as a GitLab runner with the shell executor does: all scripts in one shell."""
        job = read(TEMPLATE)[".kloster"]
        environment = {"CI_PROJECT_DIR": str(self.workspace), **job["variables"], **variables}
        for name, value in environment.items():
            environment[name] = _expanded(value, environment)
        code, shown = self.shell([shell, "-e"], "\n".join(job["script"]), environment, self.workspace)
        (folder,), report = job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]
        kept = {"paths": _expanded(folder, environment), "junit": _expanded(report, environment)}
        return Done(code, shown, {"artifacts": kept})


def _expanded(text: str, variables: Mapping[str, str]) -> str:
    return re.sub(r"\$(\w+)", lambda found: variables[found[1]], text)


def _filled(text: str, context: Mapping[str, str]) -> str:
    """With the values of ``${{ … }}``; of functions, `hashFiles` alone is known."""
    return re.sub(
        r"\$\{\{ ([^}]+) \}\}", lambda found: "hash" if found[1].startswith("hashFiles(") else context[found[1]], text
    )


def _wanted(condition: str, context: Mapping[str, str], code: int) -> bool:
    """Of conditions those forms are known that the action uses."""
    verdicts = []
    for term in condition.split(" && "):
        if term in ("always()", "success()"):
            verdicts.append(term == "always()" or code == 0)
            continue
        found = re.fullmatch(r"(\S+) (==|!=) '(\w*)'", term)
        assert found is not None, term
        verdicts.append((context[found[1]] == found[3]) == (found[2] == "=="))
    return all(verdicts) and (code == 0 or "always()" in condition)
