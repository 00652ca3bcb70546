"""YAML as it is written: what a real kube-apiserver quotes is quoted, and nothing else."""

from __future__ import annotations

import pytest

from kloster.apiserver import yaml_text

# Each as 1.34.4 wrote it in a ConfigMap's data.
WRITTEN = [
    '"2026-11-25T15:30:24Z"',
    '"2026-11-25"',
    '"2026-1-2 3:4:5"',
    '"12:30:45"',
    "2026-13-25",
    '"2026-11-25t15:30:24.5+01:00"',
    '"1:20"',
    "2026-11-25 15:30:24 Z",
    '"12:30:45.5"',
    "2026-11-25T15:30:24",
    "2026-02-30",
    "2026-11-25T15:30",
]


@pytest.mark.parametrize("written", WRITTEN)
def test_times_are_quoted_as_upstream(written: str) -> None:
    text = written.strip('"')
    assert yaml_text.dump({"a": text}) == f"a: {written}\n".encode()
    assert yaml_text.load(f"a: {written}".encode())[0] == {"a": text}
