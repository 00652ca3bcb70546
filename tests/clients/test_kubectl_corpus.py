"""Every command of the corpus prints on a virtual cluster what it prints on a real one of the same minor."""

from __future__ import annotations

import difflib
from pathlib import Path

import pytest
from tests.clients.fleets import Cluster
from tests.clients.kubectl import scenario as scenarios
from tests.clients.kubectl.scenario import Result, Scenario, Step

MINOR = "1.34"


@pytest.mark.timeout(400)
@pytest.mark.parametrize("scenario", scenarios.corpus(), ids=lambda one: one.name)
def test_the_output_is_that_of_a_real_server(
    scenario: Scenario, kubectl_binary: Path, corpus_cluster: Cluster, tmp_path: Path
) -> None:
    golden = scenarios.read_golden(MINOR, scenario)
    assert [one.run for one in golden] == [step.run for step in scenario.steps], "record the golden file again"
    played = scenarios.play(scenario, kubectl_binary, corpus_cluster.kubeconfig, tmp_path)
    different = []
    for wanted, (step, found) in zip(golden, played, strict=True):
        same = wanted.comparable(step.compare) == found.comparable(step.compare)
        if same and step.differs:
            different.append(f"$ kubectl {step.run}\n  no longer differs, remove from the step: {step.differs}")
        elif not same and not step.differs:
            different.append(_difference(step, wanted, found))
    if different:
        total = f"{len(different)} of {len(golden)} commands differ from the real server"
        pytest.fail(total + "\n\n" + "\n\n".join(different), pytrace=False)


def _difference(step: Step, wanted: Result, found: Result) -> str:
    lines = [f"$ kubectl {step.run}"]
    if wanted.code != found.code:
        lines.append(f"  exit code {found.code}, the real server's {wanted.code}")
    for stream in ("stdout", "stderr"):
        real: list[str] = getattr(wanted, stream).splitlines()
        ours: list[str] = getattr(found, stream).splitlines()
        if step.compare == "sorted":
            real, ours = sorted(real), sorted(ours)
        diff = list(difflib.unified_diff(real, ours, f"real {stream}", f"kloster {stream}", lineterm="", n=1))
        lines += [f"  {line}" for line in diff[:60]]
    return "\n".join(lines)
