"""Audit policies: which requests are told, at which stages, and how fully.

The first rule that fits decides; a request that none fits is not told. A policy is an object of kind Policy
(audit.k8s.io/v1), read from a file. What does not belong there is passed over, as upstream does, with a warning.

https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/#audit-policy
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from kloster.apimachinery.errors import FieldError, invalid_value, not_supported, required
from kloster.apiserver.audit.event import METADATA, REQUEST, REQUEST_RESPONSE, STAGES
from kloster.apiserver.ports import Target
from kloster.client.transport import User

NONE = "None"
LEVELS = (NONE, METADATA, REQUEST, REQUEST_RESPONSE)
_KNOWN = {"apiVersion", "kind", "metadata", "rules", "omitStages", "omitManagedFields"}
_LISTS = ("users", "userGroups", "verbs", "namespaces", "nonResourceURLs", "omitStages")
_OF_RULES = {"level", "resources", "omitManagedFields", *_LISTS}


class PolicyError(Exception):
    """The file is no policy; the text is upstream's where it has one."""


@dataclass(frozen=True, slots=True)
class Resources:
    """Some resources of one group: ``pods``, ``pods/log``, ``pods/*``, ``*/scale``, ``*``; none are all."""

    group: str
    resources: tuple[str, ...]
    names: tuple[str, ...]

    def fit(self, target: Target) -> bool:
        if self.group != target.group:
            return False
        if not self.resources:
            return True
        if self.names and target.name not in self.names:
            return False
        return any(_fits(one, target) for one in self.resources)


def _fits(pattern: str, target: Target) -> bool:
    whole = f"{target.resource}/{target.subresource}" if target.subresource else target.resource
    if pattern in (whole, "*"):
        return True
    if target.subresource and pattern == f"*/{target.subresource}":
        return True
    return pattern == f"{target.resource}/*"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule; empty lists choose everything. `omitted` are stages, those of the policy included."""

    level: str
    users: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()
    resources: tuple[Resources, ...] = ()
    omitted: frozenset[str] = frozenset()
    bare: bool = False  # managedFields are left out

    def fits(self, user: User | None, target: Target) -> bool:
        if self.users and (user is None or user.name not in self.users):
            return False
        if self.groups and (user is None or not set(user.groups) & set(self.groups)):
            return False
        if self.verbs and target.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            if not target.is_resource or (self.namespaces and target.namespace not in self.namespaces):
                return False
            return not self.resources or any(one.fit(target) for one in self.resources)
        if self.paths:
            return not target.is_resource and any(_leads_to(one, target.path) for one in self.paths)
        return True


def _leads_to(pattern: str, path: str) -> bool:
    return pattern in ("*", path) or (pattern.endswith("*") and path.startswith(pattern.rstrip("*")))


@dataclass(frozen=True, slots=True)
class Policy:
    """Rules in order; `otherwise` is for what none fits."""

    rules: tuple[Rule, ...]
    otherwise: Rule = Rule(NONE)
    warnings: tuple[str, ...] = ()

    def rule(self, user: User | None, target: Target) -> Rule:
        """The rule for a request of `user`, who is None if nobody could be authenticated."""
        return next((rule for rule in self.rules if rule.fits(user, target)), self.otherwise)

    @property
    def bodies(self) -> bool:
        """Whether any rule wants them."""
        return any(rule.level in (REQUEST, REQUEST_RESPONSE) for rule in self.rules)


def parse(text: bytes) -> Policy:
    """The policy in a file (YAML or JSON). Raises PolicyError."""
    try:
        document = yaml.load(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise PolicyError(f"failed decoding: {' '.join(str(error).split())}") from error
    if not isinstance(document, Mapping) or not document.get("kind"):
        raise PolicyError("unknown group version field audit.k8s.io/__internal, Kind=Policy in policy")
    if (document.get("apiVersion"), document["kind"]) != ("audit.k8s.io/v1", "Policy"):
        kind, version = document["kind"], document.get("apiVersion") or ""
        raise PolicyError(f'failed decoding: no kind "{kind}" is registered for version "{version}"')
    rules = document.get("rules") or []
    if not isinstance(rules, list) or not all(isinstance(one, Mapping) for one in rules):
        raise PolicyError("failed decoding: rules: expected a list of objects")
    warnings = [f'unknown field "{key}"' for key in document if key not in _KNOWN]
    warnings += [
        f'unknown field "rules[{n}].{key}"' for n, one in enumerate(rules) for key in one if key not in _OF_RULES
    ]
    omitted = _texts(document, "omitStages", "omitStages")
    found = [*_stage_findings(omitted, "omitStages")]
    for number, one in enumerate(rules):
        found += _findings(one, f"rules[{number}]")
    if found:
        texts = list(dict.fromkeys(map(str, found)))
        raise PolicyError(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
    if not rules:
        raise PolicyError("loaded illegal policy with 0 rules")
    bare = bool(document.get("omitManagedFields"))
    made = tuple(_rule(one, f"rules[{number}]", omitted, bare) for number, one in enumerate(rules))
    return Policy(made, Rule(NONE), tuple(warnings))


def _rule(given: Mapping[str, Any], where: str, omitted: Sequence[str], bare: bool) -> Rule:
    users, groups, verbs, namespaces, paths, stages = (_texts(given, key, f"{where}.{key}") for key in _LISTS)
    own = given.get("omitManagedFields")
    resources = tuple(
        Resources(str(one.get("group") or ""), _texts(one, "resources", where), _texts(one, "resourceNames", where))
        for one in given.get("resources") or ()
    )
    hidden = frozenset((*omitted, *stages))
    plain = bare if own is None else bool(own)
    return Rule(given["level"], users, groups, verbs, namespaces, paths, resources, hidden, plain)


def _texts(given: Mapping[str, Any], key: str, where: str) -> tuple[str, ...]:
    value = given.get(key) or []
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise PolicyError(f"failed decoding: {where}: expected a list of strings")
    return tuple(value)


def _findings(given: Mapping[str, Any], where: str) -> Iterable[FieldError]:
    level, paths = given.get("level") or "", _texts(given, "nonResourceURLs", where)
    if not level:
        yield required(f"{where}.level")
    elif level not in LEVELS:
        yield not_supported(f"{where}.level", level, LEVELS)
    for number, path in enumerate(paths):
        at = f"{where}.nonResourceURLs[{number}]"
        if path != "*" and not path.startswith("/"):
            yield invalid_value(at, path, "non-resource URL rules must begin with a '/' character")
        if "*" in path[:-1]:
            yield invalid_value(at, path, "non-resource URL wildcards '*' must be the final character of the rule")
    resources = given.get("resources") or []
    if not isinstance(resources, list) or not all(isinstance(one, Mapping) for one in resources):
        raise PolicyError(f"failed decoding: {where}.resources: expected a list of objects")
    for one in resources:
        if one.get("resourceNames") and not one.get("resources"):
            text = "using resourceNames requires at least one resource"
            yield invalid_value(f"{where}.resources.resourceNames", one["resourceNames"], text)
    yield from _stage_findings(_texts(given, "omitStages", where), f"{where}.omitStages")
    if paths and (resources or given.get("namespaces")):
        text = "rules cannot apply to both regular resources and non-resource URLs"
        yield invalid_value(f"{where}.nonResourceURLs", list(paths), text)


def _stage_findings(stages: Sequence[str], where: str) -> Iterable[FieldError]:
    for number, stage in enumerate(stages):
        if stage not in STAGES:
            yield invalid_value(f"{where}[{number}]", stage, f"allowed stages are {','.join(STAGES)}")
