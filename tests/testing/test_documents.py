"""What `apply` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from kloster.testing import TestingError, documents

TWO = """
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
---
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Secret, metadata: {name: b}}
- {apiVersion: v1, kind: Namespace, metadata: {name: c}}
"""


def names(objects: list[dict[str, Any]]) -> list[str]:
    return [one["metadata"]["name"] for one in objects]


def test_every_form_is_read(tmp_path: Path) -> None:
    (tmp_path / "2.yaml").write_text(TWO)
    (tmp_path / "1.json").write_text('{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}')
    (tmp_path / "notes.txt").write_text("not read")
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "q"}}
    assert names(documents.read(TWO)) == ["a", "b", "c"]
    assert names(documents.read(tmp_path)) == names(documents.read(str(tmp_path))) == ["p", "a", "b", "c"]
    assert names(documents.read(str(tmp_path / "1.json"))) == ["p"]
    assert names(documents.read([pod, TWO])) == ["q", "a", "b", "c"]


def test_what_others_need_goes_first() -> None:
    first, rest = documents.ordered(documents.read(TWO))
    assert (names(first), names(rest)) == (["c"], ["a", "b"])


def test_text_means_what_it_means_to_kubectl() -> None:
    (found,) = documents.read(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {day: 2020-01-01, at: 22:22, on: x, z: 017}\n"
    )
    assert found["data"] == {"day": "2020-01-01", "at": "22:22", "true": "x", "z": 15}
    assert documents.read("") == documents.read("\n") == documents.read([]) == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        pytest.param("nowhere/", "nowhere cannot be read: No such file or directory", id="no-folder"),
        pytest.param("https://example.com/a.yaml", "is a URL; apply what you have downloaded", id="url"),
        pytest.param(None, "expected objects as dictionaries, YAML text, files .* found NoneType", id="none"),
        pytest.param(b"kind: Pod", "found bytes", id="bytes"),
        pytest.param(client.V1Pod(), "found V1Pod", id="model"),
        pytest.param({"apiVersion": "v1", "kind": "Pod", "metadata": "x"}, "has no metadata.name", id="metadata"),
        pytest.param("nowhere.yaml", "nowhere.yaml cannot be read: No such file or directory", id="no-file"),
        pytest.param("a: [", "the text given is no YAML", id="no-yaml"),
        pytest.param("just words", "document 1 of the text given is no Kubernetes object", id="no-object"),
        pytest.param({"kind": "Pod"}, "the object given is no Kubernetes object", id="no-api-version"),
        pytest.param(
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "a"}}, "has no metadata.name", id="no-name"
        ),
    ],
)
def test_what_cannot_be_applied_is_named(source: Any, words: str) -> None:
    with pytest.raises(TestingError, match=words):
        documents.read(source)


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(TestingError, match="has no files that end in"):
        documents.read(tmp_path)
