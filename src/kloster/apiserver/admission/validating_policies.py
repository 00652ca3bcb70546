"""ValidatingAdmissionPolicies: what their CEL says of a write, as often as bindings and parameters ask it.

A policy concerns a write by its matchConstraints, a binding of it by its matchResources; for each binding and each of
its parameters the policy's validations run. What they deny is refused, warned of, or left to the audit log, as the
binding says; the first refusal is told.

Source: https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from kloster.apimachinery import Object, errors
from kloster.apimachinery.cel.macros import loops_of
from kloster.apimachinery.cloning import clone
from kloster.apimachinery.policies.validating import DENY, Decision, Policy, compile_policy
from kloster.apimachinery.selectors import of_object
from kloster.apiserver import storage
from kloster.apiserver.admission.api import CREATE, DELETE, UPDATE, Attempt, Plugin
from kloster.apiserver.admission.webhooks import expressions, hooks, matching
from kloster.apiserver.admission.webhooks.hooks import Hook
from kloster.apiserver.resources import LOOPS, Served
from kloster.stores.api import Entry, View

_POLICIES = f"{hooks.GROUP}/validatingadmissionpolicies"
_BINDINGS = f"{hooks.GROUP}/validatingadmissionpolicybindings"
_MEMO = "validating admission policies"
_NAMESPACES = "/namespaces"
_CONNECT = "CONNECT"
_CODES = {"Forbidden": 403, "Unauthorized": 401, "RequestEntityTooLarge": 413, "Invalid": 422}
_SHOWN = (
    *("name", "generateName", "namespace", "uid", "resourceVersion", "generation", "creationTimestamp"),
    *("deletionTimestamp", "deletionGracePeriodSeconds", "labels", "annotations", "finalizers"),
)


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A policy with its bindings."""

    name: str
    spec: Object
    bindings: tuple[Object, ...]


@dataclass(frozen=True, slots=True)
class _Known:
    """All policies of a cluster, and the entries that they were read from."""

    entries: tuple[Entry, ...]
    policies: tuple[_Loaded, ...]


@dataclass(frozen=True, slots=True)
class _Denied:
    message: str
    reason: str


class _Misconfigured(Exception):
    """A policy or a binding cannot be applied; its failurePolicy decides."""


def exist(view: View) -> bool:
    """Whether the cluster has any."""
    return next(iter(view.scan(_POLICIES)), None) is not None


def _validate(attempt: Attempt) -> None:
    known = _of_cluster(attempt)
    if known is None or matching.exempt(attempt.served):
        return
    denied: list[_Denied] = []
    for policy in known.policies:
        denied.extend(_denied(attempt, policy))
    if denied:
        raise _refusal(attempt, denied[0])


def _of_cluster(attempt: Attempt) -> _Known | None:
    found = list(attempt.view.scan(_POLICIES))
    if not found:
        attempt.cluster.memo.pop(LOOPS, None)
        return None
    found += attempt.view.scan(_BINDINGS)
    memo = attempt.cluster.memo
    known: Any = memo.get(_MEMO)
    if isinstance(known, _Known) and list(known.entries) == found:
        return known
    bound: dict[str, list[Object]] = {}
    for binding in attempt.scan(_BINDINGS):
        bound.setdefault(binding["spec"].get("policyName") or "", []).append(binding)
    policies = tuple(
        _Loaded(name, policy["spec"], tuple(bound[name]))
        for policy in attempt.scan(_POLICIES)
        if (name := policy["metadata"]["name"]) in bound
    )
    memo[_MEMO] = made = _Known(tuple(found), policies)
    memo[LOOPS] = min(max((loops_of(orjson.dumps(each.spec).decode()) for each in policies), default=0), 2)
    return made


# --- one policy ---------------------------------------------------------------------------------------------------


def _denied(attempt: Attempt, policy: _Loaded) -> Iterator[_Denied]:
    spec = policy.spec
    seen = _concerned(attempt, spec.get("matchConstraints") or {})
    if seen is None:
        return
    kind = spec.get("paramKind")
    if kind is not None and _param_resource(attempt, kind) is None:
        problem = f"failed to find resource referenced by paramKind: '{_shown_kind(kind)}'"
        yield from _by_failure_policy(policy, None, f"failed to configure policy: {problem}")
        return
    compiled = compile_policy(spec, attempt.cluster.catalog.number)
    for binding in policy.bindings:
        limits = binding["spec"].get("matchResources")
        if limits is not None and _concerned(attempt, limits) is None:
            continue
        try:
            params = list(_params(attempt, kind, binding["spec"].get("paramRef")))
        except _Misconfigured as error:
            yield from _by_failure_policy(policy, binding, f"failed to configure binding: {error}")
            continue
        for param in params:
            yield from _apply(attempt, policy, binding, _values(attempt, seen, param), compiled)


def _by_failure_policy(policy: _Loaded, binding: Object | None, message: str) -> Iterator[_Denied]:
    if policy.spec.get("failurePolicy") != "Ignore":
        yield _Denied(f"{_named(policy, binding)} denied request: {message}", "Invalid")


def _named(policy: _Loaded, binding: Object | None) -> str:
    named = f"ValidatingAdmissionPolicy '{policy.name}'"
    return named if binding is None else f"{named} with binding '{binding['metadata']['name']}'"


def _apply(
    attempt: Attempt, policy: _Loaded, binding: Object, values: dict[str, Any], compiled: Policy
) -> Iterator[_Denied]:
    outcome = compiled.validate(values)
    actions = binding["spec"].get("validationActions") or ()
    for decision in outcome.decisions:
        if decision.action == DENY:
            yield from _act(attempt, policy, binding, decision, actions)
    for annotation in outcome.annotations:
        if annotation.error:
            yield _Denied(f"{_named(policy, binding)} denied request: {annotation.error}", "Invalid")


def _act(
    attempt: Attempt, policy: _Loaded, binding: Object, decision: Decision, actions: list[str] | tuple[str, ...]
) -> Iterator[_Denied]:
    for action in actions:
        if action == "Deny":
            message = f"{_named(policy, binding)} denied request: {decision.message}"
            yield _Denied(message, decision.reason or "Invalid")
        elif action == "Warn":
            attempt.warnings.append(f"Validation failed for {_named(policy, binding)}: {decision.message}")


def _refusal(attempt: Attempt, denied: _Denied) -> errors.StatusError:
    error = errors.forbidden(attempt.served.group, attempt.served.plural, attempt.name, denied.message)
    error.reason, error.code = denied.reason, _CODES.get(denied.reason, 422)
    error.details = {**(error.details or {}), "causes": [{"message": denied.message}]}
    return error


# --- what it concerns -----------------------------------------------------------------------------------------------


def _concerned(attempt: Attempt, criteria: Object) -> Served | None:
    """In which version the policy or binding sees the write; None if it does not concern it."""
    item = attempt.item or None
    excluded = _named_rules(attempt, criteria.get("excludeResourceRules"))
    if excluded and matching.version(_hook(criteria, excluded, selecting=False), attempt, item) is not None:
        return None
    if not criteria.get("resourceRules"):
        everything: Object = {each: ["*"] for each in ("operations", "apiGroups", "apiVersions")}
        return matching.version(_hook(criteria, [{**everything, "resources": ["*/*"]}]), attempt, item)
    rules = _named_rules(attempt, criteria["resourceRules"])
    return matching.version(_hook(criteria, rules), attempt, item) if rules else None


def _named_rules(attempt: Attempt, rules: list[Object] | None) -> list[Object]:
    return [each for each in rules or () if not each.get("resourceNames") or attempt.name in each["resourceNames"]]


def _hook(criteria: Object, rules: list[Object], *, selecting: bool = True) -> Hook:
    """Criteria as those of a webhook, which match in the same way."""
    return Hook(
        configuration="",
        name="",
        client={},
        rules=tuple(rules),
        namespaces=hooks.selector(criteria.get("namespaceSelector")) if selecting else None,
        objects=hooks.selector(criteria.get("objectSelector")) if selecting else None,
        conditions=(),
        equivalent=criteria.get("matchPolicy") != "Exact",
        ignore=False,
        timeout=0,
        side_effects="",
        again=False,
        versions=(),
    )


# --- parameters -------------------------------------------------------------------------------------------------------


def _shown_kind(kind: Object) -> str:
    group, _, version = (kind.get("apiVersion") or "").rpartition("/")
    return f"{group}/{version}, Kind={kind.get('kind') or ''}"


def _param_resource(attempt: Attempt, kind: Object) -> Served | None:
    group, _, version = (kind.get("apiVersion") or "").rpartition("/")
    return attempt.cluster.resources.by_kind(group, version, kind.get("kind") or "")


def _params(attempt: Attempt, kind: Object | None, ref: Object | None) -> Iterator[Object | None]:
    if kind is None or ref is None:
        yield None
        return
    served = _param_resource(attempt, kind)
    assert served is not None
    namespace = ""
    if served.namespaced:
        namespace = ref.get("namespace") or matching.namespace(attempt)
        if not namespace:
            raise _Misconfigured(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
            )
    elif ref.get("namespace"):
        raise _Misconfigured("paramRef.namespace must not be provided for a cluster-scoped `paramKind`")
    found: list[Object] = []
    if ref.get("name"):
        one = attempt.read(served.id, namespace, ref["name"])
        found = [] if one is None else [one]
    else:
        selector = of_object(ref.get("selector") or {})
        candidates = attempt.scan(served.id, namespace)
        found = [each for each in candidates if selector.matches(each["metadata"].get("labels") or {})]
    if not found and ref.get("parameterNotFoundAction") == "Deny":
        raise _Misconfigured("no params found for policy binding with `Deny` parameterNotFoundAction")
    for each in found:
        yield orjson.loads(storage.document(served, clone(each)))


# --- what expressions see ------------------------------------------------------------------------------------------


def _values(attempt: Attempt, seen: Served, param: Object | None) -> dict[str, Any]:
    return {
        **expressions.values(attempt, seen, attempt.item or None),
        "namespaceObject": _namespace(attempt),
        "params": param,
    }


def _namespace(attempt: Attempt) -> Object | None:
    if not attempt.namespace or attempt.served.id == _NAMESPACES:
        return None
    found = attempt.read(_NAMESPACES, "", attempt.namespace)
    if found is None:
        return None
    metadata = {name: found["metadata"][name] for name in _SHOWN if name in found["metadata"]}
    return {"metadata": metadata, "spec": found.get("spec") or {}, "status": found.get("status") or {}}


PLUGIN = Plugin(
    name="ValidatingAdmissionPolicy",
    operations=frozenset({CREATE, UPDATE, DELETE, _CONNECT}),
    subresources=frozenset(),
    validate=_validate,
)
