"""Where upstream's programs come from. (That they build is what `make differential` finds out.)"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.upstream import components

ORIGINAL = """module k8s.io/kubernetes

go 1.24.0

godebug (
	default=go1.24
	winsymlink=0
)

require k8s.io/api v0.0.0

replace (
	k8s.io/api => ./staging/src/k8s.io/api
	k8s.io/client-go => ./staging/src/k8s.io/client-go
	example.com/other => example.com/other v1.2.3
)
"""


def test_staging_modules_are_replaced_by_what_was_published() -> None:
    lines = components.own_module(ORIGINAL, "v1.34.4").splitlines()
    assert "require k8s.io/kubernetes v1.34.4" in lines
    assert [line for line in lines if line.startswith("replace")] == [
        "replace k8s.io/api => k8s.io/api v0.34.4",
        "replace k8s.io/client-go => k8s.io/client-go v0.34.4",
    ]
    assert "go 1.24.0" in lines
    assert "\twinsymlink=0" in lines


def test_a_single_setting_is_kept_as_well() -> None:
    lines = components.own_module("go 1.24.0\n\ngodebug default=go1.24\n", "v1.37.2").splitlines()
    assert "godebug default=go1.24" in lines


def test_a_folder_that_has_the_program_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(components, "_go", lambda *_: pytest.fail("nothing is to be built"))
    (tmp_path / "etcd").touch()
    assert components.component("etcd", "1.34", [tmp_path / "empty", tmp_path]) == tmp_path / "etcd"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"KLOSTER_UPSTREAM_CACHE": "/here", "XDG_CACHE_HOME": "/there"}, "/here"),
        ({"XDG_CACHE_HOME": "/there"}, "/there/kloster/upstream"),
    ],
    ids=["chosen", "XDG"],
)
def test_the_cache(variables: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("KLOSTER_UPSTREAM_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert components.cache() == Path(expected)


def test_what_is_built_already_is_not_built_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLOSTER_UPSTREAM_CACHE", str(tmp_path))
    monkeypatch.setattr(components, "_go", lambda *_: pytest.fail("nothing is to be built"))
    program = tmp_path / components.RELEASES["1.37"] / "kube-apiserver"
    program.parent.mkdir()
    program.touch()
    assert components.component("kube-apiserver", "1.37") == program


def test_without_go_it_says_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KLOSTER_UPSTREAM_CACHE", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(components.BuildError, match="or newer is needed on PATH"):
        components.component("etcd", "1.34")
