"""StatefulSets: pods with an identity and volumes of their own.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, defaulting, lifecycle, metadata, names, podtemplate
from kloster.kinds.apps import workloads
from kloster.kinds.podspec import warnings
from kloster.kinds.podspec.claims import validate_claim_spec
from kloster.kinds.podspec.defaults import default_claim_spec
from kloster.kinds.strategy import Strategy

_MUTABLE = (
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
)
_FORBIDDEN = (
    "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
    "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
)


def _default(stateful: Object) -> None:
    spec = workloads.default_template(stateful)
    defaulting.empty(spec, podManagementPolicy="OrderedReady")
    strategy = defaulting.struct(spec, "updateStrategy")
    if not strategy.get("type"):
        strategy["type"] = "RollingUpdate"
        defaulting.struct(strategy, "rollingUpdate")
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
        defaulting.absent(strategy["rollingUpdate"], partition=0)
    retention = defaulting.struct(spec, "persistentVolumeClaimRetentionPolicy")
    defaulting.empty(retention, whenDeleted="Retain", whenScaled="Retain")
    defaulting.absent(spec, replicas=1, revisionHistoryLimit=10)
    for claim in spec.get("volumeClaimTemplates") or ():
        # A claim inside a template has a status, too, as the type says.
        claim.update(apiVersion="v1", kind="PersistentVolumeClaim")
        default_claim_spec(defaulting.struct(claim, "spec"))
        defaulting.empty(defaulting.struct(claim, "status"), phase="Pending")


def _default_ungated(stateful: Object) -> None:
    _default(stateful)
    strategy = stateful["spec"]["updateStrategy"]
    if strategy["type"] == "RollingUpdate" and strategy.get("rollingUpdate") is not None:
        defaulting.absent(strategy["rollingUpdate"], maxUnavailable=1)


def _drop_gated(new: Object, old: Object | None) -> None:
    """maxUnavailable belongs to a gate that is off by default until 1.35 (MaxUnavailableStatefulSet)."""
    before = (((old or {}).get("spec") or {}).get("updateStrategy") or {}).get("rollingUpdate") or {}
    rolling = ((new.get("spec") or {}).get("updateStrategy") or {}).get("rollingUpdate") or {}
    if before.get("maxUnavailable") is None:
        rolling.pop("maxUnavailable", None)


def _prepare_create(stateful: Object) -> None:
    lifecycle.clear_status(stateful)
    _drop_gated(stateful, None)


def _prepare_update(new: Object, old: Object) -> None:
    lifecycle.keep_status(new, old)
    _drop_gated(new, old)


def _validate(stateful: Object) -> list[FieldError]:
    spec = stateful.get("spec") or {}
    found = _policy("spec.podManagementPolicy", checks.text(spec.get("podManagementPolicy")))
    found.extend(_strategy("spec.updateStrategy", spec.get("updateStrategy") or {}))
    retention = spec.get("persistentVolumeClaimRetentionPolicy") or {}
    for name in ("whenDeleted", "whenScaled"):
        path = f"spec.persistentVolumeClaimRetentionPolicy.{name}"
        found.extend(checks.supported(path, checks.text(retention.get(name)), ["Retain", "Delete"]))
    if lifecycle.is_new(stateful):
        for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
            found.extend(validate_claim_spec(claim.get("spec") or {}, f"spec.volumeClaimTemplates[{index}].spec"))
    found.extend(checks.nonnegative_fields("spec", spec, "replicas", "minReadySeconds"))
    found.extend(checks.nonnegative("spec.ordinals.start", (spec.get("ordinals") or {}).get("start")))
    if lifecycle.is_new(stateful) and (service := spec.get("serviceName")):
        found.extend(checks.complaints("spec.serviceName", service, names.label(service)))
    found.extend(workloads.validate_selector(spec, "statefulset"))
    if spec.get("selector") is not None and not workloads.is_usable(spec["selector"]):
        found.append(workloads.invalid_selector(spec["selector"], ""))
    else:
        found.extend(workloads.validate_match(spec))
        found.extend(podtemplate.validate_pod_template(_template(spec), "spec.template"))
    return [*found, *workloads.validate_long_running(spec, "StatefulSet")]


def _template(spec: Object) -> Object:
    """The template as pods will have it: the controller sets host names and adds the volumes of the claims."""
    template = spec.get("template") or {}
    pod = dict(template.get("spec") or {})
    pod.pop("subdomain", None)
    pod.pop("hostname", None)
    claims = [(claim.get("metadata") or {}).get("name") for claim in spec.get("volumeClaimTemplates") or ()]
    if claims:
        added = [{"name": name, "persistentVolumeClaim": {"claimName": name}} for name in dict.fromkeys(claims)]
        own = [volume for volume in pod.get("volumes") or () if volume.get("name") not in claims]
        pod["volumes"] = [*added, *own]
    return {**template, "spec": pod}


def _policy(path: str, value: str) -> list[FieldError]:
    if not value:
        return [errors.required(path)]
    if value in ("OrderedReady", "Parallel"):
        return []
    return [errors.invalid_value(path, value, "must be 'OrderedReady' or 'Parallel'")]


def _strategy(path: str, strategy: Object) -> list[FieldError]:
    kind, rolling = checks.text(strategy.get("type")), strategy.get("rollingUpdate")
    if kind == "OnDelete":
        text = "only allowed for updateStrategy 'RollingUpdate'"
        return [] if rolling is None else [errors.invalid_value(f"{path}.rollingUpdate", _go(rolling), text)]
    if kind != "RollingUpdate":
        shown = {"Type": kind, "RollingUpdate": None if rolling is None else _go(rolling)}
        return [errors.invalid_value(path, shown, "must be 'RollingUpdate' or 'OnDelete'")]
    return _rolling(f"{path}.rollingUpdate", rolling or {})


def _rolling(path: str, rolling: Object) -> list[FieldError]:
    found = checks.nonnegative(f"{path}.partition", rolling.get("partition"))
    if (unavailable := rolling.get("maxUnavailable")) is None:
        return found
    path = f"{path}.maxUnavailable"
    found.extend(checks.int_or_percent(path, unavailable))
    if checks.amount(unavailable) == 0:
        found.append(errors.invalid_value(path, unavailable, "cannot be 0"))
    return [*found, *checks.at_most_all(path, unavailable)]


def _go(rolling: Object) -> Object:
    """As the internal type is shown."""
    return {"Partition": rolling.get("partition") or 0, "MaxUnavailable": rolling.get("maxUnavailable")}


def _validate_update(new: Object, old: Object) -> list[FieldError]:
    return [] if metadata.same(_fixed(new), _fixed(old)) else [errors.forbidden_field("spec", _FORBIDDEN)]


def _fixed(stateful: Object) -> Object:
    return {name: value for name, value in (stateful.get("spec") or {}).items() if name not in _MUTABLE}


def _validate_status(new: Object, old: Object) -> list[FieldError]:
    status = new.get("status") or {}
    parts = ("readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas")
    found = checks.nonnegative_fields("status", status, "replicas", *parts, "observedGeneration", "collisionCount")
    found.extend(workloads.validate_counts(status, "replicas", *parts))
    found.extend(workloads.validate_available(status, "status.readyReplicas"))
    collisions = ((each.get("status") or {}).get("collisionCount") for each in (new, old))
    return [*found, *checks.decremented("status.collisionCount", *collisions)]


def _cells(stateful: Object, now: float) -> list[Any]:
    spec, status = stateful.get("spec") or {}, stateful.get("status") or {}
    return [
        stateful["metadata"]["name"],
        f"{status.get('readyReplicas') or 0}/{spec.get('replicas') or 0}",
        table.age(stateful, now),
        *table.template_containers(spec),
    ]


def _warn(new: Object, old: Object | None, minor: int) -> Iterator[str]:
    spec = new["spec"]
    yield from workloads.warn_of_template(new, old, minor)
    for index, claim in enumerate(spec.get("volumeClaimTemplates") or ()):
        below = "" if old is None else ".Spec"
        yield from warnings.of_claim_spec(claim.get("spec"), f"spec.volumeClaimTemplates[{index}]{below}")
    if (spec.get("revisionHistoryLimit") or 0) < 0:
        text = "a negative value retains all historical revisions; a value >= 0 is recommended"
        yield f"spec.revisionHistoryLimit: {text}"


STRATEGY = Strategy(
    default=_default,
    prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    prepare_status=lifecycle.keep_spec,
    validate=_validate,
    validate_update=_validate_update,
    validate_status=_validate_status,
    name="label",
    generation=True,
    status=True,
    cells=_cells,
    warn=_warn,
)
CHANGED = {
    "1.35": dataclasses.replace(
        STRATEGY,
        default=_default_ungated,
        prepare_create=lifecycle.clear_status,
        prepare_update=lifecycle.keep_status,
    )
}
