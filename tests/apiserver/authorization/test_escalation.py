"""Nobody hands out more than they hold. Texts are answers of a real kube-apiserver 1.34.4."""

from __future__ import annotations

from typing import Any

import pytest
from tests.apiserver.authorization.test_rbac import BOB, ROOT, Roles, bind, granted, rule

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError
from kloster.apiserver.authorization.escalation import Escalation, covers, missing_permissions
from kloster.apiserver.authorization.rbac import Rbac
from kloster.apiserver.ports import Target
from kloster.client.transport import User

GROUP = "rbac.authorization.k8s.io"


@pytest.mark.parametrize(
    ("owner", "servant", "missing"),
    [
        pytest.param([rule("get", "pods")], [rule("get", "pods")], [], id="same"),
        pytest.param([rule("*", "*", "*")], [rule("get,list", "pods,x/y", "a,b")], [], id="everything"),
        pytest.param([rule("get", "pods")], [rule("get,list", "pods")], [rule("list", "pods")], id="one-verb-more"),
        pytest.param([rule("get", "pods"), rule("list", "pods")], [rule("get,list", "pods")], [], id="together"),
        pytest.param([rule("get,list", "pods")], [rule("*", "pods")], [rule("*", "pods")], id="star-needs-star"),
        pytest.param([rule("get", "pods", names="a")], [rule("get", "pods", names="a")], [], id="name"),
        pytest.param([rule("get", "pods")], [rule("get", "pods", names="a")], [], id="all-cover-one"),
        pytest.param(
            [rule("get", "pods", names="a")], [rule("get", "pods")], [rule("get", "pods")], id="one-covers-not-all"
        ),
        pytest.param(
            [rule("get", "pods", names="a")],
            [rule("get", "pods", names="a,b")],
            [rule("get", "pods", names="b")],
            id="other-name",
        ),
        pytest.param([rule("get", "*/scale")], [rule("get", "deployments/scale")], [], id="star-scale"),
        pytest.param([rule("get", "*/scale")], [rule("get", "scale")], [rule("get", "scale")], id="star-scale-alone"),
        pytest.param([rule("get", urls="/a/*")], [rule("get", urls="/a/b")], [], id="path"),
        pytest.param([rule("get", urls="/a/*")], [rule("get", urls="/a/*")], [], id="path-star"),
        pytest.param([rule("get", urls="/a/*")], [rule("get", urls="/a")], [rule("get", urls="/a")], id="other-path"),
        pytest.param([], [rule("get", "pods")], [rule("get", "pods")], id="nothing"),
        pytest.param([], [], [], id="nothing-wanted"),
    ],
)
def test_covers(owner: list[Object], servant: list[Object], missing: list[Object]) -> None:
    assert covers(owner, servant) == missing


def test_the_text() -> None:
    user = User("system:serviceaccount:ns:bob", groups=("g1", "g2"))
    missing = covers(
        [rule("get", "pods")],
        [
            rule("get,list", "pods", names="a"),
            rule("get,list", "deployments", "apps", names="a"),
            rule("get", urls="/x"),
        ],
    )
    assert missing_permissions(user, missing, ['roles.x "n" not found', 'roles.x "m" not found']) == (
        'user "system:serviceaccount:ns:bob" (groups=["g1" "g2"]) is attempting to grant RBAC permissions not '
        "currently held:\n"
        '{APIGroups:[""], Resources:["pods"], ResourceNames:["a"], Verbs:["list"]}\n'
        '{APIGroups:["apps"], Resources:["deployments"], ResourceNames:["a"], Verbs:["get" "list"]}\n'
        '{NonResourceURLs:["/x"], Verbs:["get"]}; resolution errors: [[roles.x "n" not found, roles.x "m" not found]]'
    )


def target(verb: str, plural: str, namespace: str = "", name: str = "r") -> Target:
    return Target(verb, "", True, GROUP, "v1", plural, "", namespace, name)


def role(*rules: Object, **more: Any) -> Object:
    return {"metadata": {"name": "r"}, "rules": list(rules), **more}


def binding(kind: str, name: str) -> Object:
    return {"metadata": {"name": "b"}, "roleRef": {"apiGroup": GROUP, "kind": kind, "name": name}}


def checks(roles: Roles) -> Escalation:
    rbac = Rbac(roles)
    return Escalation(rbac, rbac)


EVERYTHING = [rule("*", "*", "*"), rule("*", urls="*")]
AGGREGATED = {"aggregationRule": {"clusterRoleSelectors": [{}]}}


@pytest.mark.parametrize(
    ("held", "written", "refused"),
    [
        pytest.param([rule("get", "pods")], role(rule("get", "pods")), "", id="what-is-held"),
        pytest.param([rule("get", "pods")], role(rule("list", "pods")), "is attempting to grant", id="more"),
        pytest.param([rule("escalate", "clusterroles", GROUP)], role(rule("list", "pods")), "", id="escalate"),
        pytest.param(
            [rule("escalate", "roles", GROUP)], role(rule("list", "pods")), "is attempting", id="escalate-other-kind"
        ),
        pytest.param(EVERYTHING, role(**AGGREGATED), "", id="aggregation-by-admin"),
        pytest.param([rule("get", "pods")], role(**AGGREGATED), "must have cluster-admin privileges", id="aggregation"),
    ],
)
def test_writing_a_role(held: list[Object], written: Object, refused: str) -> None:
    escalation = checks(granted(*held))
    escalation.check_role(ROOT, target("create", "clusterroles"), written)
    if not refused:
        escalation.check_role(BOB, target("create", "clusterroles"), written)
        return
    with pytest.raises(StatusError, match=refused) as error:
        escalation.check_role(BOB, target("create", "clusterroles"), written)
    assert error.value.message.startswith(f'clusterroles.{GROUP} "r" is forbidden: ')


@pytest.mark.parametrize(
    ("held", "kind", "code"),
    [
        pytest.param([rule("list", "pods")], "ClusterRole", 0, id="holds-it"),
        pytest.param([], "ClusterRole", 403, id="holds-nothing"),
        pytest.param([rule("bind", "clusterroles", GROUP, names="wanted")], "ClusterRole", 0, id="may-bind-it"),
        pytest.param([rule("bind", "clusterroles", GROUP, names="x")], "ClusterRole", 403, id="may-bind-another"),
        pytest.param([rule("bind", "roles", GROUP)], "ClusterRole", 403, id="may-bind-the-other-kind"),
        pytest.param([], "Role", 404, id="no-such-role"),
    ],
)
def test_writing_a_binding(held: list[Object], kind: str, code: int) -> None:
    roles = granted(*held)
    roles.add("ClusterRole", "wanted", rules=[rule("list", "pods")])
    escalation = checks(roles)
    wanted = binding(kind, "wanted")
    escalation.check_binding(ROOT, target("create", "rolebindings", "ns"), wanted)
    if not code:
        escalation.check_binding(BOB, target("create", "rolebindings", "ns"), wanted)
        return
    with pytest.raises(StatusError) as error:
        escalation.check_binding(BOB, target("create", "rolebindings", "ns"), wanted)
    assert error.value.code == code


def test_permissions_in_one_namespace_are_not_held_in_another() -> None:
    roles = Roles()
    roles.add("ClusterRole", "wanted", rules=[rule("list", "pods")])
    bind(roles, "b", "ClusterRole", "wanted", "ns")
    escalation = checks(roles)
    escalation.check_binding(BOB, target("create", "rolebindings", "ns"), binding("ClusterRole", "wanted"))
    for namespace, plural in (("other", "rolebindings"), ("", "clusterrolebindings")):
        with pytest.raises(StatusError, match="is attempting to grant"):
            escalation.check_binding(BOB, target("create", plural, namespace), binding("ClusterRole", "wanted"))
