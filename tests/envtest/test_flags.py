"""Command lines: what upstream's parsers accept and say."""

from __future__ import annotations

import pytest

from kloster.envtest import etcdflags, flags


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(["--secure-port=1"], {"secure-port": ["1"]}, id="equals"),
        pytest.param(["--secure-port", "1"], {"secure-port": ["1"]}, id="two-words"),
        pytest.param(["--profiling"], {"profiling": ["true"]}, id="boolean"),
        pytest.param(["--profiling=F"], {"profiling": ["false"]}, id="boolean-value"),
        pytest.param(["--v=4", "-v=5"], {"v": ["4", "5"]}, id="verbosity"),
        pytest.param(
            ["--service-account-issuer=a", "--service-account-issuer=b"],
            {"service-account-issuer": ["a", "b"]},
            id="repeated",
        ),
        pytest.param(["--etcd-prefix="], {"etcd-prefix": [""]}, id="empty"),
    ],
)
def test_kube_apiserver_reads(arguments: list[str], expected: dict[str, list[str]]) -> None:
    assert flags.kube_apiserver(arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        pytest.param(["--nosuch"], "unknown flag: --nosuch", id="unknown"),
        pytest.param(["--insecure-port=0"], "unknown flag: --insecure-port", id="removed-in-1.24"),
        pytest.param(["--secure-port"], "flag needs an argument: --secure-port", id="without-value"),
        pytest.param(
            ["extra", "more"], '"kube-apiserver" does not take any arguments, got ["extra" "more"]', id="argument"
        ),
        pytest.param(
            ["--profiling=x"],
            'invalid argument "x" for "--profiling" flag: strconv.ParseBool: parsing "x": invalid syntax',
            id="not-boolean",
        ),
    ],
)
def test_kube_apiserver_refuses(arguments: list[str], text: str) -> None:
    with pytest.raises(flags.FlagError) as caught:
        flags.kube_apiserver(arguments)
    assert str(caught.value) == text


def test_etcd_reads() -> None:
    given = ["--data-dir", "/d", "-listen-client-urls=http://h:1", "--unsafe-no-fsync", "--experimental-txn-mode=x"]
    with pytest.raises(etcdflags.FlagError) as caught:
        etcdflags.parse(given)
    assert str(caught.value) == "flag provided but not defined: -experimental-txn-mode"
    assert etcdflags.parse(given[:-1]) == {
        "data-dir": "/d",
        "listen-client-urls": "http://h:1",
        "unsafe-no-fsync": "true",
    }


def test_etcd_refuses_what_it_could_not_keep() -> None:
    with pytest.raises(etcdflags.FlagError, match="TLS is not supported"):
        etcdflags.parse(["--cert-file=x"])
