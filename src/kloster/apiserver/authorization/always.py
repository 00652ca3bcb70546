"""Authorizers without rules, and the way several of them are asked one after the other."""

from __future__ import annotations

from collections.abc import Sequence

from kloster.apiserver.ports import Authorization, Authorizer, Target, Verdict
from kloster.client.transport import User

ALLOWED = Verdict(True)
NO_OPINION = Verdict(False)

MASTERS = "system:masters"

ResourceRules = list[dict[str, list[str]]]
Rules = tuple[ResourceRules, ResourceRules, bool]

_EVERYTHING: Rules = (
    [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
    [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    False,
)


class AlwaysAllow:
    """For tests, and for transports whose identity was checked elsewhere."""

    def authorize(self, user: User, target: Target) -> Verdict:
        return ALLOWED

    def rules(self, user: User, namespace: str) -> Rules:
        return _EVERYTHING


class PrivilegedGroups:
    """Members of `groups` may do everything (upstream: system:masters, whatever the roles say).

    A review of rules does not list that, as upstream: their cluster-admin binding tells it already.
    """

    def __init__(self, groups: Sequence[str] = (MASTERS,)) -> None:
        self._groups = frozenset(groups)

    def authorize(self, user: User, target: Target) -> Verdict:
        return NO_OPINION if self._groups.isdisjoint(user.groups) else ALLOWED

    def rules(self, user: User, namespace: str) -> Rules:
        return [], [], False


class Union:
    """Asks in order: the first that allows or denies decides; reasons of the others are joined, as upstream."""

    def __init__(self, authorizers: Sequence[Authorization | Authorizer]) -> None:
        self._authorizers = tuple(authorizers)

    def authorize(self, user: User, target: Target) -> Verdict:
        reasons = []
        for authorizer in self._authorizers:
            verdict = authorizer.authorize(user, target)
            if verdict.allowed or verdict.denied:
                return verdict
            if verdict.reason:
                reasons.append(verdict.reason)
        return Verdict(False, "\n".join(reasons)) if reasons else NO_OPINION

    def rules(self, user: User, namespace: str) -> Rules:
        resources: ResourceRules = []
        others: ResourceRules = []
        incomplete = False
        for authorizer in self._authorizers:
            listing = getattr(authorizer, "rules", None)
            if listing is None:
                incomplete = True
                continue
            found = listing(user, namespace)
            resources += found[0]
            others += found[1]
            incomplete = incomplete or found[2]
        return resources, others, incomplete
