"""PodSecurity: namespaces that ask for a Pod Security Standard by their labels get no pods that violate it.

Pods are refused; what makes pods (deployments, jobs and so on) is only warned of. A namespace that turns strict is told
which of its pods would not be let in today.

Source: https://kubernetes.io/docs/concepts/security/pod-security-admission/
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kloster.apimachinery import Object, errors
from kloster.apiserver.admission.api import CREATE, UPDATE, Attempt, Plugin
from kloster.kinds.podspec.standard_rules import Violation, violations
from kloster.kinds.podspec.standards import Level, Standard, Wanted, wanted

_NAMESPACES, _PODS = "/namespaces", "/pods"
MOST_PODS = 3000
"""Pods of a namespace that are looked at when it turns strict."""


def _violations(attempt: Attempt, standard: Standard, meta: Object, spec: Object) -> list[Violation]:
    if standard.level == Level.PRIVILEGED:
        return []
    return violations(standard, attempt.cluster.catalog.number, meta.get("annotations"), spec)


def _wanted(attempt: Attempt) -> Wanted:
    namespace = attempt.read(_NAMESPACES, "", attempt.namespace)
    found, _ = wanted(namespace["metadata"].get("labels") if namespace else None)
    return found


# --- pods and what makes them -------------------------------------------------------------------------------------


def _validate_pod(attempt: Attempt) -> None:
    pod = attempt.item
    if attempt.old is not None and not _matters(pod["spec"], attempt.old["spec"]):
        return
    policy = _wanted(attempt)
    found = _violations(attempt, policy.enforce, pod["metadata"], pod["spec"])
    if found:
        text = f'violates PodSecurity "{policy.enforce}": {_told(found)}'
        raise errors.forbidden("", "pods", attempt.name, text)
    _warn(attempt, policy.warn, pod["metadata"], pod["spec"])


def _matters(spec: Object, old: Object) -> bool:
    """Whether an update could change the verdict: more containers, or other images in them."""
    for field in ("containers", "initContainers"):
        images = [[container.get("image") for container in one.get(field) or ()] for one in (spec, old)]
        if images[0] != images[1]:
            return True
    known = {container["name"]: container.get("image") for container in old.get("ephemeralContainers") or ()}
    return any(known.get(one["name"], "") != one.get("image") for one in spec.get("ephemeralContainers") or ())


def _validate_template(attempt: Attempt) -> None:
    policy = _wanted(attempt)
    if policy.warn.level == Level.PRIVILEGED:
        return
    holder = attempt.item if attempt.served.plural == "podtemplates" else attempt.item["spec"]
    if attempt.served.plural == "cronjobs":
        holder = holder["jobTemplate"]["spec"]
    template = holder.get("template")
    if template is not None:
        _warn(attempt, policy.warn, template.get("metadata") or {}, template.get("spec") or {})


def _warn(attempt: Attempt, standard: Standard, meta: Object, spec: Object) -> None:
    found = _violations(attempt, standard, meta, spec)
    if found:
        attempt.warnings.append(f'would violate PodSecurity "{standard}": {_told(found)}')


def _told(found: Iterable[Violation]) -> str:
    return ", ".join(map(str, found))


# --- namespaces ---------------------------------------------------------------------------------------------------


def _validate_namespace(attempt: Attempt) -> None:
    new, findings = wanted(attempt.item["metadata"].get("labels"))
    old, before = wanted(attempt.old["metadata"].get("labels")) if attempt.old is not None else (Wanted(), [])
    if findings and findings != before:
        raise errors.invalid("", "Namespace", attempt.name, findings)
    if attempt.old is None or new.enforce == old.enforce:
        return
    if new.enforce.minor == old.enforce.minor and new.enforce.level <= old.enforce.level:
        return
    attempt.warnings.extend(_about_pods(attempt, new.enforce))


def _about_pods(attempt: Attempt, standard: Standard) -> Iterator[str]:
    pods = list(_one_of_each(attempt.scan(_PODS, attempt.name)))
    users: dict[str, list[str]] = {}
    for pod in pods[:MOST_PODS]:
        found = _violations(attempt, standard, pod["metadata"], pod["spec"])
        if found:
            users.setdefault(", ".join(one.reason for one in found), []).append(pod["metadata"]["name"])
    if len(pods) > MOST_PODS:
        told = f"only checked against the first {MOST_PODS} of {len(pods)} existing pods"
        yield f"new PodSecurity enforce level {told}"
    if users:
        yield f'existing pods in namespace "{attempt.name}" violate the new PodSecurity enforce level "{standard}"'
    yield from sorted(f"{min(names)}{_others(len(names) - 1)}: {reason}" for reason, names in users.items())


def _others(count: int) -> str:
    return f" (and {count} other pod{'s' if count > 1 else ''})" if count else ""


def _one_of_each(pods: Iterable[Object]) -> Iterator[Object]:
    """The pods in the order in which they are looked at: one of each controller first."""
    seen: set[str] = set()
    later: list[Object] = []
    for pod in pods:
        owners = pod["metadata"].get("ownerReferences") or ()
        owner = next((one["uid"] for one in owners if one.get("controller")), None)
        if owner in seen:
            later.append(pod)
            continue
        if owner is not None:
            seen.add(owner)
        yield pod
    yield from later


_WRITES = frozenset({CREATE, UPDATE})
NAMESPACES = Plugin(
    name="PodSecurity", operations=_WRITES, resources=frozenset({_NAMESPACES}), validate=_validate_namespace
)
PODS = Plugin(
    name="PodSecurity",
    operations=_WRITES,
    resources=frozenset({_PODS}),
    subresources=frozenset({"", "ephemeralcontainers", "resize"}),
    validate=_validate_pod,
)
TEMPLATES = Plugin(
    name="PodSecurity",
    operations=_WRITES,
    resources=frozenset(
        ["/replicationcontrollers", "/podtemplates", "batch/jobs", "batch/cronjobs"]
        + [f"apps/{plural}" for plural in ("deployments", "replicasets", "statefulsets", "daemonsets")]
    ),
    validate=_validate_template,
)
