"""Role-based access control, compiled per subject.

The model first. Permissions only add up: a request is allowed if any rule of any role that is bound to the user, or
to one of the user's groups, allows it. ClusterRoleBindings count everywhere, RoleBindings in their namespace.

What is asked again must cost a dictionary look-up, for it sits on every GET. Three levels, all dropped when the
view's generation moves:
    bindings by subject   built once per generation and namespace
    grants                the compiled rules of one user in one namespace
    decisions             (user, groups, verb, resource, namespace) → a verdict for all names, or by name where
                          only rules with resourceNames match. Names are not part of the key, so that reading ten
                          thousand objects is one decision.

Upstream: https://kubernetes.io/docs/reference/access-authn-authz/rbac/ (evaluation: pkg/registry/rbac/validation).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from kloster.apimachinery import Object, golang
from kloster.apiserver.authorization.always import ALLOWED, MASTERS, NO_OPINION, Rules
from kloster.apiserver.ports import Target, Verdict
from kloster.client.transport import User

MAX_DECISIONS = 4096
MAX_SUBJECTS = 1024
LONGEST_KEPT = 4096
"""Characters of a path, or of a user's groups, above which nothing is remembered: keys come from strangers."""

GROUP = "rbac.authorization.k8s.io"


class RoleView(Protocol):
    """Current RBAC objects. Read only."""

    @property
    def generation(self) -> int:
        """Moves whenever any Role, ClusterRole or binding changes. Asked at every decision."""
        ...

    def role(self, namespace: str, name: str) -> Object | None: ...

    def cluster_role(self, name: str) -> Object | None: ...

    def role_bindings(self, namespace: str) -> Iterable[Object]: ...

    def cluster_role_bindings(self) -> Iterable[Object]: ...


class _Rule:
    """A PolicyRule with sets instead of lists."""

    __slots__ = ("groups", "names", "resources", "source", "urls", "verbs")

    def __init__(self, rule: Object, source: str) -> None:
        self.verbs = frozenset(rule.get("verbs") or ())
        self.groups = frozenset(rule.get("apiGroups") or ())
        self.resources = frozenset(rule.get("resources") or ())
        self.names = frozenset(rule.get("resourceNames") or ())
        self.urls = tuple(rule.get("nonResourceURLs") or ())
        self.source = source

    def matches_resource(self, target: Target) -> bool:
        """Whether verb, group and resource match; names are looked at separately."""
        verbs, groups, resources = self.verbs, self.groups, self.resources
        if target.verb not in verbs and "*" not in verbs:
            return False
        if target.group not in groups and "*" not in groups:
            return False
        if "*" in resources:
            return True
        if target.subresource:
            return f"{target.resource}/{target.subresource}" in resources or f"*/{target.subresource}" in resources
        return target.resource in resources

    def matches_path(self, verb: str, path: str) -> bool:
        if verb not in self.verbs and "*" not in self.verbs:
            return False
        return any(url == path or (url.endswith("*") and path.startswith(url.rstrip("*"))) for url in self.urls)


@dataclass(frozen=True, slots=True)
class _Grants:
    """All that one user may do in one namespace, and what could not be resolved."""

    rules: tuple[_Rule, ...]
    raw: tuple[Object, ...]
    missing: tuple[tuple[str, str], ...]  # (kind, name) of roles that do not exist


@dataclass(frozen=True, slots=True)
class _ByName:
    """A decision that depends on the object's name."""

    names: dict[str, Verdict]
    otherwise: Verdict


class _Binding:
    """A binding with its subjects indexed. `namespace` is empty for a ClusterRoleBinding."""

    __slots__ = ("name", "namespace", "reference", "subjects")

    def __init__(self, binding: Object, namespace: str) -> None:
        self.name: str = binding["metadata"]["name"]
        self.namespace = namespace
        self.reference: Object = binding.get("roleRef") or {}
        self.subjects: list[Object] = binding.get("subjects") or []

    def describe(self, subject: Object) -> str:
        """Upstream's words for why a request was allowed."""
        kind = subject.get("kind", "")
        name = subject.get("name", "")
        if kind == "ServiceAccount":
            name = f"{name}/{subject.get('namespace') or self.namespace}"
        own = f"{self.name}/{self.namespace}" if self.namespace else self.name
        binding = "RoleBinding" if self.namespace else "ClusterRoleBinding"
        role = f"{self.reference.get('kind', '')} {golang.quoted(self.reference.get('name', ''))}"
        return f"{binding} {golang.quoted(own)} of {role} to {kind} {golang.quoted(name)}"


_Index = dict[tuple[str, str], list[tuple[int, int]]]


class _Bindings:
    """The bindings of one namespace (or of the cluster) by subject."""

    __slots__ = ("all", "index")

    def __init__(self, bindings: Iterable[Object], namespace: str) -> None:
        self.all = [_Binding(binding, namespace) for binding in bindings]
        self.index: _Index = {}
        for number, binding in enumerate(self.all):
            for position, subject in enumerate(binding.subjects):
                key = _subject_key(subject, namespace)
                if key is not None:
                    self.index.setdefault(key, []).append((number, position))

    def of(self, user: User) -> Iterator[tuple[_Binding, Object]]:
        """Bindings that apply to the user, in order, each with the first subject that matches."""
        found: dict[int, int] = {}
        keys = [("User", user.name), *(("Group", group) for group in user.groups)]
        for key in keys:
            for number, position in self.index.get(key, ()):
                found[number] = min(position, found.get(number, position))
        for number in sorted(found):
            binding = self.all[number]
            yield binding, binding.subjects[found[number]]


def _subject_key(subject: Object, namespace: str) -> tuple[str, str] | None:
    """Service accounts are users with a name of a certain form."""
    kind, name = subject.get("kind"), subject.get("name", "")
    if kind in ("User", "Group"):
        return kind, name
    if kind == "ServiceAccount":
        home = subject.get("namespace") or namespace
        return ("User", f"system:serviceaccount:{home}:{name}") if home else None
    return None


class Rbac:
    """Implements `kloster.apiserver.ports.Authorization` on a `RoleView`. system:masters may do everything."""

    def __init__(self, view: RoleView) -> None:
        self._view = view
        self._generation = -1
        self._decisions: dict[Any, Verdict | _ByName] = {}
        self._grants: dict[tuple[str, tuple[str, ...], str], _Grants] = {}
        self._bindings: dict[str, _Bindings] = {}

    def authorize(self, user: User, target: Target) -> Verdict:
        if self._view.generation != self._generation:
            self.invalidate()
        key: Any
        if target.is_resource:
            key = (
                user.name,
                user.groups,
                target.verb,
                target.group,
                target.resource,
                target.subresource,
                target.namespace,
            )
        else:
            key = (user.name, user.groups, target.verb, target.path)
        decision = self._decisions.get(key)
        if decision is None:
            decision = self._decide(user, target)
            if not _worth_keeping(user, target):
                return decision if type(decision) is Verdict else _by_name(decision, target.name)
            if len(self._decisions) >= MAX_DECISIONS:
                self._decisions.clear()
            self._decisions[key] = decision
        return decision if type(decision) is Verdict else _by_name(decision, target.name)

    def invalidate(self) -> None:
        """Forget everything derived; also called to free the memory of an idle cluster."""
        self._decisions.clear()
        self._grants.clear()
        self._bindings.clear()
        self._generation = self._view.generation

    def _decide(self, user: User, target: Target) -> Verdict | _ByName:
        if MASTERS in user.groups:
            return ALLOWED
        grants = self._granted(user, target.namespace)
        names: dict[str, Verdict] = {}
        for rule in grants.rules:
            if not target.is_resource:
                if rule.matches_path(target.verb, target.path):
                    return Verdict(True, f"RBAC: allowed by {rule.source}")
            elif rule.matches_resource(target):
                allowed = Verdict(True, f"RBAC: allowed by {rule.source}")
                if not rule.names:
                    if not names:
                        return allowed
                    return _ByName(names, allowed)
                for name in rule.names:
                    names.setdefault(name, allowed)
        refused = _refusal(grants)
        return _ByName(names, refused) if names else refused

    def _granted(self, user: User, namespace: str) -> _Grants:
        key = (user.name, user.groups, namespace)
        grants = self._grants.get(key)
        if grants is None:
            grants = self._compile(user, namespace)
            if _length(user) + len(namespace) > LONGEST_KEPT:
                return grants
            if len(self._grants) >= MAX_SUBJECTS:
                self._grants.clear()
            self._grants[key] = grants
        return grants

    def _compile(self, user: User, namespace: str) -> _Grants:
        rules: list[_Rule] = []
        raw: list[Object] = []
        missing: list[tuple[str, str]] = []
        for space in ("", namespace) if namespace else ("",):
            for binding, subject in self._bound(space).of(user):
                found = self.role_rules(binding.reference, space)
                if found is None:
                    missing.append((binding.reference.get("kind", ""), binding.reference.get("name", "")))
                    continue
                source = binding.describe(subject)
                rules += [_Rule(rule, source) for rule in found]
                raw += found
        return _Grants(tuple(rules), tuple(raw), tuple(missing))

    def _bound(self, namespace: str) -> _Bindings:
        bindings = self._bindings.get(namespace)
        if bindings is None:
            view = self._view
            found = view.role_bindings(namespace) if namespace else view.cluster_role_bindings()
            bindings = _Bindings(found, namespace)
            if bindings.all or (len(namespace) < 64 and len(self._bindings) < MAX_SUBJECTS):
                self._bindings[namespace] = bindings
        return bindings

    def role_rules(self, reference: Object, namespace: str) -> list[Object] | None:
        """The rules of the role that a binding in `namespace` refers to; None if there is no such role."""
        kind, name = reference.get("kind"), reference.get("name", "")
        if kind == "ClusterRole":
            role = self._view.cluster_role(name)
        elif kind == "Role" and namespace:
            role = self._view.role(namespace, name)
        else:
            role = None
        return None if role is None else role.get("rules") or []

    def held(self, user: User, namespace: str) -> tuple[tuple[Object, ...], tuple[tuple[str, str], ...]]:
        """(PolicyRules that the user holds in the namespace, (kind, name) of roles that do not exist)."""
        if self._view.generation != self._generation:
            self.invalidate()
        grants = self._granted(user, namespace)
        return grants.raw, grants.missing

    def rules(self, user: User, namespace: str) -> Rules:
        """What roles grant. That system:masters may do everything is not listed: no role says it."""
        resources, others = [], []
        held, missing = self.held(user, namespace)
        for rule in held:
            if rule.get("resources"):
                keys = ("verbs", "apiGroups", "resources", "resourceNames")
                resources.append({key: list(rule[key]) for key in keys if rule.get(key)})
            if rule.get("nonResourceURLs"):
                others.append({key: list(rule[key]) for key in ("verbs", "nonResourceURLs") if rule.get(key)})
        return resources, others, bool(missing)


def _by_name(decision: Any, name: str) -> Verdict:
    assert isinstance(decision, _ByName)
    return decision.names.get(name, decision.otherwise)


def _worth_keeping(user: User, target: Target) -> bool:
    """Reviews ask with a target that has no path."""
    asked = (target.path, target.verb, target.group, target.resource, target.subresource, target.namespace)
    return sum(map(len, asked)) + _length(user) <= LONGEST_KEPT


def _length(user: User) -> int:
    return len(user.name) + sum(map(len, user.groups))


def _refusal(grants: _Grants) -> Verdict:
    """No reason, as upstream, unless a bound role does not exist: that is worth telling."""
    texts = [_missing(kind, name) for kind, name in grants.missing]
    if not texts:
        return NO_OPINION
    return Verdict(False, f"RBAC: {aggregate(texts)}")


def _missing(kind: str, name: str) -> str:
    if kind in ("Role", "ClusterRole"):
        return f"{kind.lower()}.{GROUP} {golang.quoted(name)} not found"
    return f"unsupported role reference kind: {golang.quoted(kind)}"


def aggregate(texts: Iterable[str]) -> str:
    """Several errors in one text, as upstream's NewAggregate: duplicates once, more than one in brackets."""
    unique = list(dict.fromkeys(texts))
    return unique[0] if len(unique) == 1 else f"[{', '.join(unique)}]"
