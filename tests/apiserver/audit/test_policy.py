"""Which requests an audit policy tells; error texts are kube-apiserver 1.34.4's."""

from __future__ import annotations

import pytest

from kloster.apiserver.audit.policy import PolicyError, parse
from kloster.apiserver.ports import Target
from kloster.client.transport import User

HEAD = "apiVersion: audit.k8s.io/v1\nkind: Policy\n"
POLICY = parse(
    f"""{HEAD}
omitStages: [RequestReceived]
omitManagedFields: true
rules:
- level: None
  users: [quiet]
- level: None
  nonResourceURLs: ["/livez*", "/version"]
- level: Metadata
  resources: [{{group: "", resources: [secrets, "*/token"]}}]
- level: RequestResponse
  namespaces: [shop]
  resources: [{{group: apps}}]
  omitManagedFields: false
- level: Request
  verbs: [delete]
  userGroups: [admins]
  resources: [{{group: "", resources: ["pods/*"], resourceNames: [web]}}]
- level: Metadata
  omitStages: [ResponseStarted]
  resources: [{{group: "", resources: ["*"]}}]
""".encode()
)
JANE = User("jane", "", ("admins",))


def about(verb: str, resource: str, *, group: str = "", namespace: str = "", name: str = "") -> Target:
    plural, _, subresource = resource.partition("/")
    return Target(verb, "/…", True, group, "v1", plural, subresource, namespace, name)


@pytest.mark.parametrize(
    ("user", "target", "level"),
    [
        (User("quiet"), about("get", "secrets"), "None"),
        (JANE, Target("get", "/livez/ping"), "None"),
        (JANE, Target("get", "/version"), "None"),
        (JANE, Target("get", "/versions"), "None"),  # no rule at all
        (JANE, about("list", "secrets", namespace="shop"), "Metadata"),
        (JANE, about("create", "serviceaccounts/token", namespace="x", name="y"), "Metadata"),
        (JANE, about("get", "deployments", group="apps", namespace="shop"), "RequestResponse"),
        (JANE, about("get", "deployments/scale", group="apps", namespace="shop"), "RequestResponse"),
        (JANE, about("get", "deployments", group="apps", namespace="other"), "None"),
        (JANE, about("delete", "pods", name="web"), "Request"),
        (JANE, about("delete", "pods/eviction", name="web"), "Request"),
        (JANE, about("delete", "pods", name="other"), "Metadata"),
        (User("joe"), about("delete", "pods", name="web"), "Metadata"),
        (None, about("delete", "pods", name="web"), "Metadata"),
    ],
)
def test_the_first_rule_that_fits_decides(user: User | None, target: Target, level: str) -> None:
    assert POLICY.rule(user, target).level == level


def test_stages_and_managed_fields() -> None:
    assert POLICY.rule(JANE, about("get", "pods")).omitted == {"RequestReceived", "ResponseStarted"}
    assert POLICY.rule(JANE, about("get", "pods")).bare
    assert not POLICY.rule(JANE, about("get", "deployments", group="apps", namespace="shop")).bare
    assert POLICY.bodies
    assert not parse(f"{HEAD}rules: [{{level: Metadata}}]".encode()).bodies


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("rules: []", "loaded illegal policy with 0 rules"),
        (
            "rules: [{level: Loud}]",
            'rules[0].level: Unsupported value: "Loud": supported values: "None", "Metadata", "Request", '
            '"RequestResponse"',
        ),
        (
            "omitStages: [Later]\nrules: [{nonResourceURLs: [a, /a*b], namespaces: [z]}]",
            '[omitStages[0]: Invalid value: "Later": allowed stages are '
            "RequestReceived,ResponseStarted,ResponseComplete,Panic, rules[0].level: Required value, "
            "rules[0].nonResourceURLs[0]: Invalid value: \"a\": non-resource URL rules must begin with a '/' "
            "character, "
            "rules[0].nonResourceURLs[1]: Invalid value: \"/a*b\": non-resource URL wildcards '*' must be the final "
            'character of the rule, rules[0].nonResourceURLs: Invalid value: ["a","/a*b"]: rules cannot apply to both '
            "regular resources and non-resource URLs]",
        ),
        (
            'rules: [{level: None, resources: [{group: "", resourceNames: [a]}]}]',
            'rules[0].resources.resourceNames: Invalid value: ["a"]: using resourceNames requires at least one '
            "resource",
        ),
    ],
    ids=["no rules", "level", "several", "names alone"],
)
def test_wrong_policies_are_refused(text: str, words: str) -> None:
    with pytest.raises(PolicyError) as failure:
        parse(f"{HEAD}{text}".encode())
    assert str(failure.value) == words


@pytest.mark.parametrize(
    "text", ["", "[1]", "rules: [{level: None}]", "kind: Policy\napiVersion: v1", "a: b: c", "\x00"]
)
def test_what_is_no_policy_is_refused(text: str) -> None:
    with pytest.raises(PolicyError):
        parse(text.encode())


def test_unknown_fields_are_passed_over_and_told() -> None:
    found = parse(f"{HEAD}rules: [{{level: None, user: [a]}}]\nlevel: None".encode())
    assert found.warnings == ('unknown field "level"', 'unknown field "rules[0].user"')
