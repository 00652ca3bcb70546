"""Nobody may hand out more than they hold: checks for writes of roles and bindings.

A role is written, or a role bound, only by those who hold every permission in it, in that namespace, or who may
``escalate`` the role or ``bind`` it. system:masters are never checked.
https://kubernetes.io/docs/reference/access-authn-authz/rbac/#privilege-escalation-prevention-and-bootstrapping
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kloster.apimachinery import Object, errors, golang
from kloster.apimachinery.errors import StatusError
from kloster.apiserver.authorization.always import MASTERS
from kloster.apiserver.authorization.messages import quote_list
from kloster.apiserver.authorization.rbac import GROUP, Rbac, aggregate
from kloster.apiserver.ports import Authorizer, Target
from kloster.client.transport import User

_EVERYTHING: list[Object] = [
    {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]},
    {"verbs": ["*"], "nonResourceURLs": ["*"]},
]


def covers(owner: Sequence[Object], servant: Iterable[Object]) -> list[Object]:
    """What of the servant's rules the owner's do not allow, one verb and resource at a time; empty: all is covered.

    Raises StatusError 413 for more of them than can be compared while everybody waits: three lists of a hundred names
    are a million permissions. Rules that one of the owner's covers as a whole are not taken apart.
    """
    missing: list[Object] = []
    left = MOST_COMPARED
    price = sum(1 + sum(map(len, rule.values())) // 32 for rule in owner) or 1
    for whole in servant:
        if any(_covers_whole(one, whole) for one in owner):
            continue
        for rule in _broken_down(whole):
            left -= price
            if left < 0:
                raise errors.too_large("Request entity too large: the rules are too many to compare with those held")
            if not any(_covers(one, rule) for one in owner):
                missing.append(rule)
    return missing


MOST_COMPARED = 200_000
"""Comparisons of a permission with a rule, half a microsecond each."""


def _covers_whole(owner: Object, rule: Object) -> bool:
    """Whether a rule has all that another has."""
    if rule.get("nonResourceURLs") or owner.get("resourceNames"):
        return False
    return all(
        "*" in held or held.issuperset(rule.get(name) or ())
        for name in ("verbs", "apiGroups", "resources")
        for held in (frozenset(owner.get(name) or ()),)
    )


def _broken_down(rule: Object) -> Iterable[Object]:
    verbs = rule.get("verbs") or []
    for group in rule.get("apiGroups") or []:
        for resource in rule.get("resources") or []:
            for verb in verbs:
                single = {"verbs": [verb], "apiGroups": [group], "resources": [resource]}
                names = rule.get("resourceNames") or []
                if not names:
                    yield single
                for name in names:
                    yield {**single, "resourceNames": [name]}
    for url in rule.get("nonResourceURLs") or []:
        for verb in verbs:
            yield {"verbs": [verb], "nonResourceURLs": [url]}


def _covers(owner: Object, single: Object) -> bool:
    """Whether a rule covers one that was broken down."""
    verbs = owner.get("verbs") or ()
    if single["verbs"][0] not in verbs and "*" not in verbs:
        return False
    if "nonResourceURLs" in single:
        url = single["nonResourceURLs"][0]
        held = owner.get("nonResourceURLs") or ()
        return any(one == url or (one.endswith("*") and url.startswith(one.rstrip("*"))) for one in held)
    groups = owner.get("apiGroups") or ()
    if single["apiGroups"][0] not in groups and "*" not in groups:
        return False
    names = owner.get("resourceNames") or ()
    wanted = single.get("resourceNames")
    if names and (not wanted or wanted[0] not in names):
        return False
    resource = single["resources"][0]
    resources = owner.get("resources") or ()
    if "*" in resources or resource in resources:
        return True
    _, slash, subresource = resource.partition("/")
    return bool(slash) and f"*/{subresource}" in resources


def _compact(rules: Iterable[Object]) -> list[Object]:
    """Rules that differ only in their verb become one."""
    others: list[Object] = []
    simple: dict[tuple[str, str, str | None], Object] = {}
    for rule in rules:
        if "nonResourceURLs" in rule:
            others.append(rule)
            continue
        key = (rule["apiGroups"][0], rule["resources"][0], (rule.get("resourceNames") or [None])[0])
        if key in simple:
            simple[key]["verbs"] = [*simple[key]["verbs"], *rule["verbs"]]
        else:
            simple[key] = dict(rule)
    return [*others, *simple.values()]


def _shown(rule: Object) -> str:
    names = (
        ("APIGroups", "apiGroups"),
        ("Resources", "resources"),
        ("NonResourceURLs", "nonResourceURLs"),
        ("ResourceNames", "resourceNames"),
        ("Verbs", "verbs"),
    )
    parts = [f"{label}:{quote_list(rule[key])}" for label, key in names if rule.get(key)]
    return f"{{{', '.join(parts)}}}"


def missing_permissions(user: User, missing: Iterable[Object], unresolved: Sequence[str] = ()) -> str:
    """Upstream's text about permissions that the user does not hold."""
    lines = "\n".join(sorted({_shown(rule) for rule in _compact(missing)}))
    who = f"user {golang.quoted(user.name)} (groups={quote_list(user.groups)})"
    text = f"{who} is attempting to grant RBAC permissions not currently held:\n{lines}"
    return f"{text}; resolution errors: [{aggregate(unresolved)}]" if unresolved else text


class Escalation:
    """The checks, for one cluster. They raise the 403 that answers the write."""

    def __init__(self, rbac: Rbac, authorizer: Authorizer) -> None:
        self._rbac = rbac
        self._authorizer = authorizer

    def check_role(self, user: User, target: Target, role: Object, old: Object | None = None) -> None:
        """Before a Role or ClusterRole is created or updated. `target` is the request's (roles or clusterroles)."""
        if MASTERS in user.groups or self._may(user, "escalate", target.resource, target.namespace, target.name):
            return
        name = role["metadata"].get("name", "")
        self._confirm(user, target, name, role.get("rules") or [])
        if target.resource == "clusterroles" and (_aggregates(role) or _aggregates(old or {})):
            held, _ = self._rbac.held(user, target.namespace)
            if covers(held, _EVERYTHING):
                text = "must have cluster-admin privileges to use the aggregationRule"
                raise errors.forbidden(GROUP, target.resource, name, text)

    def check_binding(self, user: User, target: Target, binding: Object) -> None:
        """Before a RoleBinding or ClusterRoleBinding is created or updated."""
        if MASTERS in user.groups:
            return
        reference = binding.get("roleRef") or {}
        resource = {"ClusterRole": "clusterroles", "Role": "roles"}.get(reference.get("kind", ""), "")
        if resource and self._may(user, "bind", resource, target.namespace, reference.get("name", "")):
            return
        rules = self._rbac.role_rules(reference, target.namespace)
        if rules is None:
            raise errors.not_found(GROUP, target.resource, reference.get("name", ""))
        self._confirm(user, target, binding["metadata"].get("name", ""), rules)

    def _may(self, user: User, verb: str, resource: str, namespace: str, name: str) -> bool:
        target = Target(verb, "", True, GROUP, "*", resource, "", namespace, name)
        return self._authorizer.authorize(user, target).allowed

    def _confirm(self, user: User, target: Target, name: str, rules: Sequence[Object]) -> None:
        held, missing_roles = self._rbac.held(user, target.namespace)
        missing = covers(held, rules)
        if missing:
            unresolved = [f"{target.resource}.{GROUP} {golang.quoted(role)} not found" for _, role in missing_roles]
            raise _forbidden(target.resource, name, missing_permissions(user, missing, unresolved))


def _aggregates(role: Object) -> bool:
    return bool((role.get("aggregationRule") or {}).get("clusterRoleSelectors"))


def _forbidden(resource: str, name: str, text: str) -> StatusError:
    return errors.forbidden(GROUP, resource, name, text)
