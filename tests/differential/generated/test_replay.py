"""The recorded cases, each compared with what a cluster in memory answers.

All of them, in all versions that were recorded; what differs must be known to, and what is known to differ must.
"""

from __future__ import annotations

import pytest
from tests.apiserver import hurry
from tests.differential.generated import corpus
from tests.differential.generated.cases import kinds
from tests.differential.generated.comparing import Outcome, replay

_SHOWN = 5


RECORDED = [(minor, kind) for minor in corpus.minors() for kind in kinds(minor) if corpus.is_recorded(minor, kind)]


@pytest.mark.parametrize(("minor", "kind"), RECORDED)
def test_answers_as_upstream(minor: str, kind: str) -> None:
    outcome: Outcome = hurry.run(replay(minor, kind))
    assert outcome.total > 40
    told = [f"{id}\n{outcome.told(id)}" for id in outcome.unknown[:_SHOWN]]
    assert not outcome.unknown, f"{len(outcome.unknown)} answers differ from upstream's:\n" + "\n\n".join(told)
    how = f"write down what is left: python -m tests.differential.generated known {minor} {kind}"
    assert not outcome.mended, f"equal now: {outcome.mended[:_SHOWN]}; {how}"
