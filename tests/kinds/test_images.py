"""The default pull policy follows the image's tag."""

from __future__ import annotations

import pytest

from kloster.kinds import images

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("nginx", "latest"),
        ("nginx:1", "1"),
        ("a.b/c", "latest"),
        ("a:5000/b", "latest"),
        ("a:5000/b:v2", "v2"),
        ("localhost/x:v1", "v1"),
        (f"x@{DIGEST}", ""),
        (f"x:latest@{DIGEST}", "latest"),
        ("Foo", ""),
        ("Foo/bar", "latest"),
        ("", ""),
        ("a b", ""),
        ("a" * 64, ""),
        ("b" * 300, ""),
        ("-" * 100_000, ""),
    ],
)
def test_tag(image: str, tag: str) -> None:
    assert images.tag(image) == tag


def test_pull_policy() -> None:
    assert images.pull_policy("nginx") == "Always"
    assert images.pull_policy("nginx:1") == "IfNotPresent"
    assert images.pull_policy("not an image") == "IfNotPresent"
