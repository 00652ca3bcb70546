"""Grammars of names, and addresses as Go reads them."""

from __future__ import annotations

import pytest

from kloster.kinds import names


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        pytest.param(names.label, ["a", "1-a", "a" * 63], ["", "A", "a.b", "-a", "a-", "a" * 64, "a\n"], id="label"),
        pytest.param(names.subdomain, ["a.b", "1", "a" * 253], ["", "a..b", ".a", "a_b", "a" * 254], id="subdomain"),
        pytest.param(names.subdomain_underscore, ["_a.b", "a_b"], ["a.", "__a"], id="underscore"),
        pytest.param(names.label_1035, ["a", "a1"], ["1a", "a-", "a.b", "A"], id="label-1035"),
        pytest.param(names.wildcard_subdomain, ["*.a.b"], ["*", "*a.b", "a.b", "*.*.a"], id="wildcard"),
        pytest.param(
            names.qualified_name,
            ["a", "A_b.c", "a.b/C"],
            ["", "/a", "a/", "a/b/c", "A/b", "a b", "x" * 64],
            id="qualified",
        ),
        pytest.param(names.label_value, ["", "a", "A_b.c"], ["-a", "a b", "a" * 64, "é"], id="label-value"),
        pytest.param(names.c_identifier, ["_a1"], ["1a", "a-b", ""], id="identifier"),
        pytest.param(names.http_header, ["X-A"], ["a b", ""], id="header"),
        pytest.param(names.environment_variable, ["a b", "1", "~"], ["", "a=b", "é", "\t"], id="environment"),
        pytest.param(names.config_key, ["a", ".a", "A_b-c"], ["", "a b", ".", "..", "..a", "a" * 254], id="config-key"),
        pytest.param(names.percent, ["0%", "150%"], ["5", "%", "-5%"], id="percent"),
        pytest.param(names.port_name, ["http", "a-1"], ["", "1", "a--b", "-a", "A", "a" * 16], id="port-name"),
        pytest.param(names.path_segment, ["a b", "..."], [".", "..", "a/b", "a%b"], id="path"),
        pytest.param(
            names.ip, ["1.2.3.4", "01.2.3.4", "::1", "::ffff:1.2.3.4"], ["", "1.2.3", "::1%eth0", "256.1.1.1"], id="ip"
        ),
        pytest.param(
            names.canonical_ip,
            ["1.2.3.4", "2001:db8::1"],
            ["01.2.3.4", "2001:DB8::1", "::ffff:1.2.3.4"],
            id="strict-ip",
        ),
        pytest.param(names.cidr, ["10.0.0.1/8", "::/0"], ["10.0.0.0", "10.0.0.0/33", "x/8", "10.0.0.0/-1"], id="cidr"),
        pytest.param(
            names.canonical_cidr, ["10.0.0.0/8"], ["10.0.0.1/8", "10.0.0.0/08", "010.0.0.0/8"], id="strict-cidr"
        ),
    ],
)
def test_grammar(check: names.Check, good: list[str], bad: list[str]) -> None:
    assert [value for value in good if check(value)] == []
    assert [value for value in bad if not check(value)] == []


def test_several_complaints_in_order() -> None:
    assert names.port_name("-A--") == [
        "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
        "must contain at least one letter (a-z)",
        "must not contain consecutive hyphens",
        "must not begin or end with a hyphen",
    ]
    assert names.label("a.b") == ["must not contain dots"]
    assert names.qualified_name("/") == [
        "prefix part must be non-empty",
        "name part must be non-empty",
        "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
        "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
        "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
    ]


@pytest.mark.parametrize(
    ("rule", "name", "right"),
    [
        ("subdomain", "a-", True),
        ("subdomain", "-", False),
        ("label", "a.b-", False),
        ("path", ".", True),
        ("path", "a/", False),
        ("any", "A b", True),
    ],
)
def test_prefix_of_a_generated_name(rule: str, name: str, right: bool) -> None:
    assert (names.object_name(rule, name, prefix=True) == []) is right


def test_long_names_are_looked_at_in_linear_time() -> None:
    hostile = "a" * 1_000_000 + "!"
    assert names.subdomain(hostile)
    assert names.qualified_name(hostile)
    assert names.label_value(hostile)
