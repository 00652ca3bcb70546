"""Decisions of RBAC, in tables; expectations were asked of a real kube-apiserver 1.34.4 where texts matter."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any

import pytest

from kloster.apimachinery import Object
from kloster.apiserver.authorization.rbac import Rbac
from kloster.apiserver.ports import Target
from kloster.client.transport import User

BOB = User("bob", groups=("dev", "system:authenticated"))
ROOT = User("root", groups=("system:masters",))
SA = User("system:serviceaccount:ns:sa", groups=("system:serviceaccounts", "system:serviceaccounts:ns"))


class Roles:
    """A RoleView that tests write to."""

    def __init__(self) -> None:
        self.generation = 0
        self.objects: dict[tuple[str, str], list[Object]] = {}

    def add(self, kind: str, name: str, namespace: str = "", **body: Any) -> None:
        self.generation += 1
        found = self.objects.setdefault((kind, namespace), [])
        found.append({"metadata": {"name": name, "namespace": namespace}, **body})

    def _find(self, kind: str, namespace: str, name: str) -> Object | None:
        return next((one for one in self.objects.get((kind, namespace), ()) if one["metadata"]["name"] == name), None)

    def role(self, namespace: str, name: str) -> Object | None:
        return self._find("Role", namespace, name)

    def cluster_role(self, name: str) -> Object | None:
        return self._find("ClusterRole", "", name)

    def role_bindings(self, namespace: str) -> Iterable[Object]:
        return self.objects.get(("RoleBinding", namespace), ())

    def cluster_role_bindings(self) -> Iterable[Object]:
        return self.objects.get(("ClusterRoleBinding", ""), ())


def rule(verbs: str, resources: str = "", groups: str = "", names: str = "", urls: str = "") -> Object:
    """Comma lists; the core group is the empty text."""
    found: Object = {"verbs": verbs.split(",")}
    if resources:
        found |= {"apiGroups": groups.split(","), "resources": resources.split(",")}
    if names:
        found["resourceNames"] = names.split(",")
    if urls:
        found["nonResourceURLs"] = urls.split(",")
    return found


def granted(*rules: Object, subject: Object | None = None) -> Roles:
    """Rules bound to bob (or another subject) in the whole cluster."""
    roles = Roles()
    roles.add("ClusterRole", "r", rules=list(rules))
    bind(roles, "b", "ClusterRole", "r", subject=subject)
    return roles


def bind(roles: Roles, name: str, kind: str, role: str, namespace: str = "", subject: Object | None = None) -> None:
    roles.add(
        "RoleBinding" if namespace else "ClusterRoleBinding",
        name,
        namespace,
        roleRef={"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role},
        subjects=[subject or {"kind": "User", "name": "bob"}],
    )


def resource(verb: str, plural: str, group: str = "", sub: str = "", namespace: str = "ns", name: str = "") -> Target:
    return Target(verb, "", True, group, "v1", plural, sub, namespace, name)


def path(verb: str, where: str) -> Target:
    return Target(verb, where)


@pytest.mark.parametrize(
    ("rules", "target", "allowed"),
    [
        pytest.param([rule("get", "pods")], resource("get", "pods"), True, id="exact"),
        pytest.param([rule("get", "pods")], resource("list", "pods"), False, id="other-verb"),
        pytest.param([rule("*", "pods")], resource("deletecollection", "pods"), True, id="any-verb"),
        pytest.param([rule("get", "pods")], resource("get", "pods", "apps"), False, id="other-group"),
        pytest.param([rule("get", "pods", "*")], resource("get", "pods", "apps"), True, id="any-group"),
        pytest.param([rule("get", "*")], resource("get", "pods", sub="log"), True, id="star-includes-subresources"),
        pytest.param([rule("get", "pods")], resource("get", "pods", sub="log"), False, id="subresource-is-apart"),
        pytest.param([rule("get", "pods/log")], resource("get", "pods", sub="log"), True, id="subresource"),
        pytest.param([rule("get", "pods/log")], resource("get", "pods"), False, id="subresource-only"),
        pytest.param([rule("get", "*/scale")], resource("get", "deployments", sub="scale"), True, id="star-scale"),
        pytest.param([rule("get", "*/scale")], resource("get", "deployments", sub="status"), False, id="star-other"),
        pytest.param([rule("get", "*/scale")], resource("get", "scale"), False, id="star-scale-is-no-resource"),
        pytest.param([rule("get", "pods", names="a")], resource("get", "pods", name="a"), True, id="name"),
        pytest.param([rule("get", "pods", names="a")], resource("get", "pods", name="b"), False, id="other-name"),
        pytest.param([rule("list", "pods", names="a")], resource("list", "pods"), False, id="name-never-lists"),
        pytest.param(
            [rule("get", "pods", names="a"), rule("get", "pods", names="b")],
            resource("get", "pods", name="b"),
            True,
            id="names-of-several-rules",
        ),
        pytest.param(
            [rule("get", "pods", names="a"), rule("get", "pods")],
            resource("get", "pods", name="z"),
            True,
            id="name-or-any",
        ),
        pytest.param([rule("get", urls="/healthz")], path("get", "/healthz"), True, id="path"),
        pytest.param([rule("get", urls="/healthz")], path("get", "/healthz/x"), False, id="path-is-exact"),
        pytest.param([rule("get", urls="/healthz/*")], path("get", "/healthz/x"), True, id="path-below"),
        pytest.param([rule("get", urls="/healthz/*")], path("get", "/healthz"), False, id="path-below-not-itself"),
        pytest.param([rule("get", urls="*")], path("get", "/anything"), True, id="any-path"),
        pytest.param([rule("get", urls="*")], path("post", "/anything"), False, id="path-other-verb"),
        pytest.param([rule("*", "*", "*")], path("get", "/healthz"), False, id="resources-are-no-paths"),
        pytest.param([rule("*", urls="*")], resource("get", "pods"), False, id="paths-are-no-resources"),
        pytest.param([], resource("get", "pods"), False, id="nothing"),
    ],
)
def test_rules(rules: list[Object], target: Target, allowed: bool) -> None:
    rbac = Rbac(granted(*rules))
    assert rbac.authorize(BOB, target).allowed is allowed
    assert rbac.authorize(BOB, target).allowed is allowed, "the second answer comes from the cache"


@pytest.mark.parametrize(
    ("subject", "user", "allowed"),
    [
        pytest.param({"kind": "User", "name": "bob"}, BOB, True, id="user"),
        pytest.param({"kind": "User", "name": "Bob"}, BOB, False, id="names-are-case-sensitive"),
        pytest.param({"kind": "Group", "name": "dev"}, BOB, True, id="group"),
        pytest.param({"kind": "Group", "name": "bob"}, BOB, False, id="group-is-no-user"),
        pytest.param({"kind": "User", "name": "dev"}, BOB, False, id="user-is-no-group"),
        pytest.param({"kind": "ServiceAccount", "name": "sa", "namespace": "ns"}, SA, True, id="service-account"),
        pytest.param({"kind": "ServiceAccount", "name": "sa", "namespace": "n"}, SA, False, id="other-namespace"),
        pytest.param({"kind": "ServiceAccount", "name": "sa"}, SA, False, id="cluster-binding-needs-namespace"),
        pytest.param({"kind": "User", "name": "system:serviceaccount:ns:sa"}, SA, True, id="account-as-user"),
    ],
)
def test_subjects(subject: Object, user: User, allowed: bool) -> None:
    rbac = Rbac(granted(rule("get", "pods"), subject=subject))
    assert rbac.authorize(user, resource("get", "pods")).allowed is allowed


def test_a_role_binding_counts_in_its_namespace_only() -> None:
    roles = Roles()
    roles.add("ClusterRole", "r", rules=[rule("get", "pods")])
    bind(roles, "b", "ClusterRole", "r", "ns", {"kind": "ServiceAccount", "name": "sa"})
    rbac = Rbac(roles)
    assert rbac.authorize(SA, resource("get", "pods", namespace="ns")).allowed
    assert not rbac.authorize(SA, resource("get", "pods", namespace="other")).allowed
    assert not rbac.authorize(SA, resource("get", "pods", namespace="")).allowed


def test_masters_need_no_role() -> None:
    assert Rbac(Roles()).authorize(ROOT, resource("delete", "nodes")).allowed
    assert Rbac(Roles()).authorize(ROOT, path("get", "/metrics")).allowed


def test_the_reason_says_which_binding_allowed() -> None:
    roles = granted(rule("get", "pods"), subject={"kind": "Group", "name": "dev"})
    reason = Rbac(roles).authorize(BOB, resource("get", "pods")).reason
    assert reason == 'RBAC: allowed by ClusterRoleBinding "b" of ClusterRole "r" to Group "dev"'


def test_the_reason_of_a_role_binding_names_its_namespace() -> None:
    roles = Roles()
    roles.add("Role", "r", "ns", rules=[rule("get", "pods")])
    bind(roles, "b", "Role", "r", "ns", {"kind": "ServiceAccount", "name": "sa"})
    reason = Rbac(roles).authorize(SA, resource("get", "pods")).reason
    assert reason == 'RBAC: allowed by RoleBinding "b/ns" of Role "r" to ServiceAccount "sa/ns"'


def test_a_denial_gives_a_reason_only_when_roles_are_missing() -> None:
    roles = granted(rule("get", "pods"))
    assert Rbac(roles).authorize(BOB, resource("list", "pods")).reason == ""
    bind(roles, "m", "ClusterRole", "cnope", "ns")
    expected = 'RBAC: clusterrole.rbac.authorization.k8s.io "cnope" not found'
    assert Rbac(roles).authorize(BOB, resource("list", "pods")).reason == expected
    bind(roles, "n", "Role", "nope", "ns")
    bind(roles, "o", "Role", "nope", "ns")
    both = (
        'RBAC: [clusterrole.rbac.authorization.k8s.io "cnope" not found, '
        'role.rbac.authorization.k8s.io "nope" not found]'
    )
    assert Rbac(roles).authorize(BOB, resource("list", "pods")).reason == both


def test_a_change_takes_effect_at_once() -> None:
    roles = granted(rule("get", "pods"))
    rbac = Rbac(roles)
    assert not rbac.authorize(BOB, resource("list", "pods")).allowed
    roles.add("ClusterRole", "more", rules=[rule("list", "pods")])
    bind(roles, "more", "ClusterRole", "more")
    assert rbac.authorize(BOB, resource("list", "pods")).allowed
    roles.objects[("ClusterRoleBinding", "")].clear()
    roles.generation += 1
    assert not rbac.authorize(BOB, resource("list", "pods")).allowed
    assert not rbac.authorize(BOB, resource("get", "pods")).allowed


def test_users_are_told_apart_by_groups() -> None:
    rbac = Rbac(granted(rule("get", "pods"), subject={"kind": "Group", "name": "dev"}))
    assert rbac.authorize(BOB, resource("get", "pods")).allowed
    assert not rbac.authorize(User("bob", groups=("ops",)), resource("get", "pods")).allowed


def test_rules_are_listed_by_kind() -> None:
    roles = granted(rule("get", "pods", names="a"), rule("get", urls="/version"))
    resources, others, incomplete = Rbac(roles).rules(BOB, "ns")
    assert resources == [{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "resourceNames": ["a"]}]
    assert others == [{"verbs": ["get"], "nonResourceURLs": ["/version"]}]
    assert incomplete is False
    bind(roles, "m", "ClusterRole", "nope")
    assert Rbac(roles).rules(BOB, "ns")[2] is True


def test_many_names_are_one_decision() -> None:
    rbac = Rbac(granted(rule("get", "pods")))
    for number in range(100):
        assert rbac.authorize(BOB, resource("get", "pods", name=f"p{number}")).allowed
    assert len(rbac._decisions) == 1


def test_strangers_cannot_fill_the_memory() -> None:
    rbac = Rbac(granted(rule("get", "pods")))
    for number in range(10_000):
        rbac.authorize(BOB, path("get", f"/{number}"))
        rbac.authorize(User(f"u{number}"), resource("get", "pods"))
    assert len(rbac._decisions) <= 4096
    assert len(rbac._grants) <= 1024


def test_asking_again_takes_microseconds() -> None:
    rbac = Rbac(granted(rule("get", "pods")))
    target = resource("get", "pods", name="x")
    rbac.authorize(BOB, target)
    best = min(_timed(rbac, target) for _ in range(5))
    assert best < 10e-6, "2 µs on an idle machine; five times that leaves room for a busy one"


def _timed(rbac: Rbac, target: Target) -> float:
    begun = time.perf_counter()
    for _ in range(2000):
        rbac.authorize(BOB, target)
    return (time.perf_counter() - begun) / 2000
