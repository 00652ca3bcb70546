"""Texts of refusals; every expectation is an answer of a real kube-apiserver 1.34.4."""

from __future__ import annotations

import pytest

from kloster.apimachinery import golang
from kloster.apiserver.authorization.always import AlwaysAllow, PrivilegedGroups, Union
from kloster.apiserver.authorization.messages import forbidden, quote_list
from kloster.apiserver.ports import Target, Verdict
from kloster.client.transport import User


def resource(verb: str, plural: str, group: str = "", sub: str = "", namespace: str = "", name: str = "") -> Target:
    return Target(verb, "", True, group, "v1", plural, sub, namespace, name)


@pytest.mark.parametrize(
    ("user", "target", "reason", "text"),
    [
        pytest.param(
            "system:anonymous",
            resource("list", "pods"),
            "",
            'pods is forbidden: User "system:anonymous" cannot list resource "pods" '
            'in API group "" at the cluster scope',
            id="cluster",
        ),
        pytest.param(
            "bob",
            resource("get", "pods", sub="log", namespace="default", name="x"),
            "",
            'pods "x" is forbidden: User "bob" cannot get resource "pods/log" '
            'in API group "" in the namespace "default"',
            id="subresource",
        ),
        pytest.param(
            "<b>",
            resource("deletecollection", "deployments", "apps", namespace="default"),
            "",
            'deployments.apps is forbidden: User "&lt;b&gt;" cannot deletecollection resource "deployments" '
            'in API group "apps" in the namespace "default"',
            id="markup",
        ),
        pytest.param(
            'b"o\\b',
            resource("get", "namespaces", namespace="foo", name="foo"),
            "",
            'namespaces "foo" is forbidden: User "b\\"o\\\\b" cannot get resource "namespaces" '
            'in API group "" in the namespace "foo"',
            id="quotes",
        ),
        pytest.param("bob", Target("get", "/x/y"), "", 'forbidden: User "bob" cannot get path "/x/y"', id="path"),
        pytest.param(
            "bob",
            resource("list", "pods", namespace="ns"),
            'RBAC: role.rbac.authorization.k8s.io "nope" not found',
            'pods is forbidden: User "bob" cannot list resource "pods" in API group "" in the namespace "ns": '
            'RBAC: role.rbac.authorization.k8s.io "nope" not found',
            id="reason",
        ),
    ],
)
def test_forbidden(user: str, target: Target, reason: str, text: str) -> None:
    error = forbidden(User(user), target, reason)
    assert error.message == text
    assert (error.code, error.reason) == (403, "Forbidden")


@pytest.mark.parametrize(
    ("target", "details"),
    [
        pytest.param(resource("get", "pods", "", "log", "ns", "x"), {"name": "x", "kind": "pods"}, id="resource"),
        pytest.param(resource("list", "deployments", "apps"), {"group": "apps", "kind": "deployments"}, id="group"),
        pytest.param(Target("get", "/x"), {}, id="path"),
    ],
)
def test_details(target: Target, details: dict[str, str]) -> None:
    assert forbidden(User("bob"), target).status()["details"] == details


@pytest.mark.parametrize(
    ("text", "quoted"),
    [
        pytest.param("a", '"a"', id="plain"),
        pytest.param("ä€", '"ä€"', id="printable"),
        pytest.param("\n\t\0\x7f", '"\\n\\t\\x00\\x7f"', id="control"),
        pytest.param("\u200b\U000e0001", '"\\u200b\\U000e0001"', id="invisible"),
    ],
)
def test_quote(text: str, quoted: str) -> None:
    assert golang.quoted(text) == quoted
    assert quote_list([text, "b"]) == f'[{quoted} "b"]'


class Says:
    def __init__(self, verdict: Verdict) -> None:
        self.verdict = verdict

    def authorize(self, user: User, target: Target) -> Verdict:
        return self.verdict


@pytest.mark.parametrize(
    ("verdicts", "outcome"),
    [
        pytest.param([Verdict(False), Verdict(True, "b")], Verdict(True, "b"), id="first-that-allows"),
        pytest.param([Verdict(False, "a", True), Verdict(True)], Verdict(False, "a", True), id="denial-ends-it"),
        pytest.param([Verdict(False, "a"), Verdict(False, "b")], Verdict(False, "a\nb"), id="reasons-joined"),
        pytest.param([], Verdict(False), id="nobody"),
    ],
)
def test_union(verdicts: list[Verdict], outcome: Verdict) -> None:
    assert Union([Says(verdict) for verdict in verdicts]).authorize(User("x"), Target("get", "/")) == outcome


def test_rules_of_a_union_are_all_rules_and_incomplete_if_one_cannot_tell() -> None:
    masters = User("x", groups=("system:masters",))
    resources, others, incomplete = Union([PrivilegedGroups(), AlwaysAllow(), AlwaysAllow()]).rules(masters, "ns")
    assert len(resources) == len(others) == 2
    assert incomplete is False
    assert Union([Says(Verdict(False))]).rules(masters, "ns") == ([], [], True)


def test_only_members_are_privileged() -> None:
    groups = PrivilegedGroups()
    assert groups.authorize(User("x", groups=("system:masters",)), Target("get", "/")).allowed
    assert not groups.authorize(User("system:masters"), Target("get", "/")).allowed
    assert groups.rules(User("x"), "") == ([], [], False)
