"""YAML as it is written: what a real kube-apiserver quotes is quoted, and nothing else."""

from __future__ import annotations

import pytest
import yaml

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


# What upstream makes of documents that its library reads in a way of its own.
READ = {
    "only the first document": (b"a: b\n---\nc: d\n", {"a": "b"}),
    "whatever follows a flow mapping": (b'{"a": "b"} x', {"a": "b"}),
    "binary": (b"a: !!binary aGVsbG8=", {"a": "hello"}),
    "tags that mean nothing": (
        b"{a: !foo bar, b: !x [v], c: !z {d: e}, f: !!timestamp 2020-01-01}",
        {"a": "bar", "b": ["v"], "c": {"d": "e"}, "f": "2020-01-01"},
    ),
    "a set": (b"!!set {a, b}", {"a": None, "b": None}),
    "no Python": (b"a: !!python/object/apply:os.system [x]", {"a": ["x"]}),
    "keys that are no texts": (b"{true: x, 1: v}", {"true": "x", "1": "v"}),
    "aliases": (b"{a: &l {x: z}, b: *l}", {"a": {"x": "z"}, "b": {"x": "z"}}),
}


@pytest.mark.parametrize(("body", "value"), READ.values(), ids=READ.keys())
def test_is_read_as_upstream(body: bytes, value: object) -> None:
    assert yaml_text.load(body)[0] == value


UNREADABLE = {
    "an alias of nothing": (b"a: *b\n", "unknown anchor 'b' referenced"),
    "an anchor in itself": (b"x: &a [*a]", "anchor value contains itself"),
    "aliases of aliases": (
        b"a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
        + b"".join(b"a%d: &a%d [%s]\n" % (n, n, b", ".join([b"*a%d" % (n - 1)] * 9)) for n in range(1, 9)),
        "document contains excessive aliasing",
    ),
    "too deep": (b"[" * 11_000 + b"]" * 11_000, "exceeded max depth of 10000"),
    "null as a key": (b"{~: x}", "invalid map key: <nil>"),
    "a list as a key": (b"{[a]: x}", "invalid map key: [a]"),
    "no base64": (b'a: !!binary "%%%"', "!!binary value contains invalid base64 data"),
    "a number that is a list": (b"a: !!int [1]", ""),
    "a mapping that is a text": (b"!!map x", ""),
}


@pytest.mark.parametrize(("body", "problem"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_what_cannot_be_read(body: bytes, problem: str) -> None:
    with pytest.raises(yaml.YAMLError) as caught:
        yaml_text.load(body)
    if problem:
        assert yaml_text.problem(caught.value) == problem
