"""The files of deploy/ci as their services read them: schemas, and what schemas do not say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.deploy.runner import ACTION, ROOT, TEMPLATE, read

WORKFLOW = ROOT / "deploy/ci/github/example-workflow.yml"
EXAMPLE = ROOT / "deploy/ci/gitlab/example.gitlab-ci.yml"
HOW_TO = ROOT / "docs/how-to/run-in-ci.md"


@pytest.mark.parametrize(
    ("path", "schema"),
    [
        pytest.param(ACTION, ["vendor.github-actions"], id="action"),
        pytest.param(WORKFLOW, ["vendor.github-workflows"], id="workflow"),
        pytest.param(TEMPLATE, ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"], id="template"),
        pytest.param(EXAMPLE, ["vendor.gitlab-ci", "--data-transform", "gitlab-ci"], id="example"),
    ],
)
def test_schema(path: Path, schema: list[str], tmp_path: Path) -> None:
    """The services' own schemas, which come with check-jsonschema; and that the check can fail."""

    def check(file: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", *schema, str(file)]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    done = check(path)
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / path.name
    wrong.write_text(
        re.sub(
            r"^( +)(using|runs-on|artifacts|extends): .*|^( +)artifacts:",
            r"\1\3retry: [1]",
            path.read_text(),
            flags=re.MULTILINE,
        )
    )
    assert wrong.read_text() != path.read_text()
    assert check(wrong).returncode == 1


def test_no_input_is_put_into_a_script() -> None:
    """It would be a script itself; inputs come by the environment."""
    for step in read(ACTION)["runs"]["steps"]:
        assert "${{" not in step.get("run", "")
        assert "uses" in step or {"shell", "run", "env"} <= step.keys()


def test_every_input_is_used_and_every_one_used_is_there() -> None:
    inputs = read(ACTION)["inputs"]
    steps = ACTION.read_text().partition("\nruns:")[2]
    assert set(re.findall(r"inputs\.([\w-]+)", steps)) == set(inputs)
    assert all(one["description"] and ("default" in one) != one.get("required", False) for one in inputs.values())


def test_every_variable_is_set() -> None:
    job = read(TEMPLATE)[".kloster"]
    used = set(re.findall(r"\$\{?(KLOSTER\w*)", "\n".join(job["script"])))
    assert used == {name for name in job["variables"] if name.startswith("KLOSTER")}


def test_both_services_install_alike() -> None:
    steps = {step["name"]: step for step in read(ACTION)["runs"]["steps"]}
    install, told = steps["Install Kloster"]["run"].rstrip("\n").rsplit("\n", 1)
    assert "GITHUB_PATH" in told
    assert read(TEMPLATE)[".kloster"]["script"][0] == install + "\n"


def test_a_hidden_folder_is_kept() -> None:
    """upload-artifact leaves hidden files out, unless it is told not to."""
    upload = next(one for one in read(ACTION)["runs"]["steps"] if one.get("uses", "").startswith("actions/upload"))
    assert upload["with"]["include-hidden-files"] is True and "always()" in upload["if"]


def test_examples_use_what_there_is() -> None:
    (job,) = read(WORKFLOW)["jobs"].values()
    given = next(step for step in job["steps"] if "kloster" in step["uses"])["with"]
    assert given.keys() <= read(ACTION)["inputs"].keys()
    example = read(EXAMPLE)["operator"]
    assert example["extends"] in read(TEMPLATE)
    assert example["variables"].keys() <= read(TEMPLATE)[".kloster"]["variables"].keys()


def test_the_page_shows_the_examples_and_names_every_input() -> None:
    page = HOW_TO.read_text()
    for path in (WORKFLOW, EXAMPLE):
        assert path.read_text().partition("\n")[2] in page
    for name in read(ACTION)["inputs"]:
        assert f"`{name}`" in page, name
    for name in read(TEMPLATE)[".kloster"]["variables"]:
        assert f"`{name}`" in page, name
