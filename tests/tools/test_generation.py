"""The packaged data is what the generator makes from the recordings: nobody edits it by hand, none is out of date."""

from __future__ import annotations

from pathlib import Path

import pytest
from tools.reference import __main__ as reference

from kloster.kinds import loading


@pytest.mark.skipif(not reference._SOURCE.is_dir(), reason=f"the recordings are not in {reference._SOURCE}")
@pytest.mark.parametrize("minor", [loading.minors()[0], loading.minors()[-1]])
def test_packing_the_recordings_again_changes_no_byte(minor: str, tmp_path: Path) -> None:
    reference.generate(minor, reference._SOURCE / minor, tmp_path, read_go=False)
    for name in (f"{minor}.zz", f"{minor}.descriptions.zz"):
        assert (tmp_path / name).read_bytes() == (reference._DATA / name).read_bytes(), name
