"""The spec of a job, alone and inside a CronJob: defaults, validation, what may change.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, defaulting, internal, metadata, names, podtemplate, selector
from kloster.kinds.batch import podfailure, successpolicy
from kloster.kinds.internal import Pointer
from kloster.kinds.podspec import warnings

UID_LABEL = "batch.kubernetes.io/controller-uid"
NAME_LABEL = "batch.kubernetes.io/job-name"
_LEGACY = ("controller-uid", "job-name")
_MANY = 100_000
_LIMIT_OF_MANY = 10_000
_LONGEST_MANAGER = 63
_MODES = ("NonIndexed", "Indexed")
_IMMUTABLE: dict[str, Any] = {
    "completionMode": None,
    "podFailurePolicy": Pointer(podfailure.SHAPE),
    "backoffLimitPerIndex": None,
    "managedBy": None,
    "successPolicy": Pointer(successpolicy.SHAPE),
}


def default(spec: Object) -> None:
    """Defaults of what is nested in any job's spec."""
    podtemplate.default_pod_template(defaulting.struct(spec, "template"))
    for rule in (spec.get("podFailurePolicy") or {}).get("rules") or ():
        for pattern in rule.get("onPodConditions") or ():
            defaulting.empty(pattern, status="True")


def default_alone(spec: Object) -> None:
    """Defaults that only a job of its own has; a CronJob leaves them to the jobs that it makes."""
    if spec.get("completions") is None and spec.get("parallelism") is None:
        spec["completions"] = 1
    backoff = 6 if spec.get("backoffLimitPerIndex") is None else 2**31 - 1
    replacement = "TerminatingOrFailed" if spec.get("podFailurePolicy") is None else "Failed"
    defaulting.absent(
        spec,
        parallelism=1,
        backoffLimit=backoff,
        completionMode="NonIndexed",
        suspend=False,
        podReplacementPolicy=replacement,
        manualSelector=False,
    )


def validate(path: str, spec: Object) -> list[FieldError]:
    """A job's spec but for its selector."""
    numbers = (
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    )
    found = checks.nonnegative_fields(path, spec, *numbers)
    if spec.get("maxFailedIndexes") is not None and spec.get("backoffLimitPerIndex") is None:
        found.append(errors.required(f"{path}.backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    if (manager := spec.get("managedBy")) is not None:
        found.extend(checks.domain_prefixed_path(f"{path}.managedBy", manager))
        if len(manager.encode()) > _LONGEST_MANAGER:
            found.append(errors.too_long(f"{path}.managedBy", _LONGEST_MANAGER))
    found.extend(_mode(path, spec))
    if spec.get("podFailurePolicy") is not None:
        found.extend(podfailure.validate(f"{path}.podFailurePolicy", spec))
    found.extend(successpolicy.validate(f"{path}.successPolicy", spec))
    found.extend(_replacement(f"{path}.podReplacementPolicy", spec))
    found.extend(podtemplate.validate_pod_template(spec.get("template") or {}, f"{path}.template"))
    return [*found, *_restarts(f"{path}.template.spec.restartPolicy", spec)]


def _mode(path: str, spec: Object) -> list[FieldError]:
    mode = spec.get("completionMode")
    found = [] if mode is None else checks.supported(f"{path}.completionMode", mode, _MODES)
    if mode == "Indexed":
        found.extend(_indexed(path, spec))
    elif mode in (None, "NonIndexed"):
        found.extend(
            errors.invalid_value(f"{path}.{name}", spec[name], "requires indexed completion mode")
            for name in ("backoffLimitPerIndex", "maxFailedIndexes")
            if spec.get(name) is not None
        )
    return found


def _indexed(path: str, spec: Object) -> list[FieldError]:
    completions, parallelism = spec.get("completions"), spec.get("parallelism") or 0
    failures, per_index = spec.get("maxFailedIndexes"), spec.get("backoffLimitPerIndex")
    found = []
    if completions is None:
        found.append(errors.required(f"{path}.completions", "when completion mode is Indexed"))
    if parallelism > _MANY:
        text = f"must be less than or equal to {_MANY} when completion mode is Indexed"
        found.append(errors.invalid_value(f"{path}.parallelism", parallelism, text))
    if completions is not None and failures is not None and failures > completions:
        text = "must be less than or equal to completions"
        found.append(errors.invalid_value(f"{path}.maxFailedIndexes", failures, text))
    if failures is not None and failures > _MANY:
        text = f"must be less than or equal to {_MANY}"
        found.append(errors.invalid_value(f"{path}.maxFailedIndexes", failures, text))
    if completions is not None and completions > _MANY and per_index is not None:
        found.extend(_many(path, parallelism, failures))
    return found


def _many(path: str, parallelism: int, failures: int | None) -> list[FieldError]:
    found = []
    if failures is None:
        text = f"must be specified when completions is above {_MANY}"
        found.append(errors.required(f"{path}.maxFailedIndexes", text))
    text = (
        f"must be less than or equal to {_LIMIT_OF_MANY} when completions are above {_MANY} "
        "and used with backoff limit per index"
    )
    for name, value in (("parallelism", parallelism), ("maxFailedIndexes", failures or 0)):
        if value > _LIMIT_OF_MANY:
            found.append(errors.invalid_value(f"{path}.{name}", value, text))
    return found


def _replacement(path: str, spec: Object) -> list[FieldError]:
    policy = spec.get("podReplacementPolicy")
    if policy is None:
        return []
    valid = ["Failed", "TerminatingOrFailed"] if spec.get("podFailurePolicy") is None else ["Failed"]
    return checks.supported(path, policy, valid)


def _restarts(path: str, spec: Object) -> list[FieldError]:
    """A job's pods end, so they are not restarted for ever."""
    policy = checks.text(((spec.get("template") or {}).get("spec") or {}).get("restartPolicy"))
    if policy in ("", "Always"):
        return [errors.required(path, 'valid values: "OnFailure", "Never"')]
    if policy not in ("OnFailure", "Never"):
        return [errors.not_supported(path, policy, ["OnFailure", "Never"])]
    if policy != "Never" and spec.get("podFailurePolicy") is not None:
        text = 'only "Never" is supported when podFailurePolicy is specified'
        return [errors.invalid_value(path, policy, text)]
    return []


def _validate_selected(spec: Object) -> list[FieldError]:
    """A job's spec with its selector, which must match the template."""
    found = validate("spec", spec)
    chosen = spec.get("selector")
    if chosen is None:
        found.append(errors.required("spec.selector"))
        usable, matched = True, False
    else:
        problems = selector.validate(chosen, "spec.selector")
        found.extend(problems)
        usable, matched = not problems, selector.matches(chosen, _labels(spec))
    if usable and not matched:
        text = "`selector` does not match template `labels`"
        shown = dict(sorted(_labels(spec).items())) or None
        found.append(errors.invalid_value("spec.template.metadata.labels", shown, text))
    return found


def _labels(spec: Object) -> dict[str, str]:
    return ((spec.get("template") or {}).get("metadata") or {}).get("labels") or {}


def _shown(chosen: Object) -> Object:
    """A selector as errors show it: maps are sorted."""
    return {**chosen, "matchLabels": dict(sorted((chosen.get("matchLabels") or {}).items()))}


def _validate_generated(job: Object) -> list[FieldError]:
    """Unless the selector is manual, template and selector carry the generated labels."""
    spec, meta = job.get("spec") or {}, job["metadata"]
    chosen = spec.get("selector")
    if spec.get("manualSelector") or chosen is None:
        return []
    uid, name = checks.text(meta.get("uid")), checks.text(meta.get("name"))
    found = [] if uid else [errors.required("metadata.uid")]
    wanted = {_LEGACY[0]: uid, _LEGACY[1]: name, UID_LABEL: uid, NAME_LABEL: name}
    labels, path = _labels(spec), "spec.template.metadata.labels"
    for key, value in wanted.items():
        actual = labels.get(key)
        if actual is None:
            found.append(errors.required(path, f"must be '{value}'"))
        elif actual != value:
            shown = dict(sorted(labels.items()))
            found.append(errors.invalid_value(f"{path}[{key}]", shown, f"must be '{value}'"))
    if not selector.validate(chosen, "") and not selector.matches(chosen, wanted):
        found.append(errors.invalid_value("spec.selector", _shown(chosen), "`selector` not auto-generated"))
    return found


def validate_job(job: Object) -> list[FieldError]:
    spec = job.get("spec") or {}
    found = [*_validate_generated(job), *_validate_selected(spec)]
    completions, name = spec.get("completions") or 0, checks.text(job["metadata"].get("name"))
    if spec.get("completionMode") == "Indexed" and completions > 0:
        # The index becomes part of the pods' host names.
        host = f"{name}-{completions - 1}"
        if names.label(host):
            text = f"will not able to create pod with invalid DNS label: {host}"
            found.append(errors.invalid_value("metadata.name", name, text))
    return found


def validate_update(new: Object, old: Object) -> list[FieldError]:
    spec, before = new.get("spec") or {}, old.get("spec") or {}
    found = _validate_selected(spec)  # upstream validates the spec of an update twice
    found.extend(_completions_change(spec, before))
    found.extend(metadata.immutable(spec.get("selector"), before.get("selector"), "spec.selector"))
    template = before.get("template") or {}
    if before.get("suspend") and not (old.get("status") or {}).get("startTime"):
        template = _with_scheduling_of(template, spec.get("template") or {})
    found.extend(metadata.immutable(spec.get("template"), template, "spec.template"))
    for name, shape in _IMMUTABLE.items():
        if not metadata.same(spec.get(name), before.get(name)):
            shown = internal.shown(spec.get(name), shape)
            found.append(errors.invalid_value(f"spec.{name}", shown, metadata.IMMUTABLE))
    return found


def _completions_change(spec: Object, before: Object) -> list[FieldError]:
    """Elastic indexed jobs: completions may follow parallelism."""
    new, old = spec.get("completions"), before.get("completions")
    if spec.get("completionMode") != "Indexed":
        return metadata.immutable(new, old, "spec.completions")
    if new == old or new is None or new == spec.get("parallelism"):
        return []
    return [errors.invalid_value("spec.completions", new, "can only be modified in tandem with spec.parallelism")]


def _with_scheduling_of(template: Object, new: Object) -> Object:
    """The old template with the new scheduling directives: they may change until a suspended job has started."""
    merged = copy.deepcopy(template)
    pod: Object = merged.setdefault("spec", {})
    new_pod = new.get("spec") or {}
    _take(pod, new_pod, "nodeSelector", "tolerations", "schedulingGates")
    _take(merged.setdefault("metadata", {}), new.get("metadata") or {}, "annotations", "labels")
    affinity: Any = pod.get("affinity")
    new_affinity = new_pod.get("affinity")
    if affinity is not None or new_affinity is not None:
        affinity = dict(affinity or {})
        _take(affinity, new_affinity or {}, "nodeAffinity")
        if affinity or new_affinity is not None:
            pod["affinity"] = affinity
        else:
            pod.pop("affinity")
    return merged


def _take(target: Object, source: Object, *fields: str) -> None:
    for name in fields:
        if source.get(name) is None:
            target.pop(name, None)
        else:
            target[name] = source[name]


_MANY_INDEXES, _MANY_AT_A_TIME = 100_000, 10_000


def warn(spec: Object, path: str, minor: int) -> Iterator[str]:
    """What a new job spec is warned of. `path` is e.g. ``spec``."""
    completions, parallelism = spec.get("completions") or 0, spec.get("parallelism") or 0
    if spec.get("completionMode") == "Indexed" and completions > _MANY_INDEXES and parallelism > _MANY_AT_A_TIME:
        yield (
            f"{path}: In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than "
            "10^4, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        )
    yield from warnings.of_template(spec.get("template"), f"{path}.template", minor)
