"""The success policy of an indexed job: which indexes, or how many, make it a success.

Source: https://kubernetes.io/docs/concepts/workloads/controllers/job/#success-policy
"""

from __future__ import annotations

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import checks, internal
from kloster.kinds.batch import indexes

SHAPE = {"rules": [{"succeededIndexes": None, "succeededCount": None}]}
"""The policy as errors show it."""


def validate(path: str, spec: Object) -> list[FieldError]:
    policy = spec.get("successPolicy")
    if policy is None:
        return []
    if spec.get("completionMode") != "Indexed":
        return [errors.invalid_value(path, internal.shown(policy, SHAPE), "requires indexed completion mode")]
    rules = policy.get("rules") or []
    found = []
    if not rules:
        text = "at least one rules must be specified when the successPolicy is specified"
        found.append(errors.required(f"{path}.rules", text))
    if len(rules) > 20:
        found.append(errors.too_many(f"{path}.rules", len(rules), 20))
    for index, rule in enumerate(rules):
        found.extend(_rule(f"{path}.rules[{index}]", rule, spec.get("completions") or 0))
    return found


def _rule(path: str, rule: Object, completions: int) -> list[FieldError]:
    count, listed = rule.get("succeededCount"), rule.get("succeededIndexes")
    if count is None and listed is None:
        text = "at least one of succeededCount or succeededIndexes must be specified"
        return [errors.required(path, text)]
    found = []
    total = 0
    if listed is not None:
        if len(listed) > 64 * 1024:
            found.append(errors.too_long(f"{path}.succeededIndexes", 64 * 1024))
        try:
            total = indexes.count(listed, completions)
        except ValueError as error:
            text = f"error parsing succeededIndexes: {error}"
            found.append(errors.invalid_value(f"{path}.succeededIndexes", listed, text))
    if count is not None:
        at = f"{path}.succeededCount"
        found.extend(checks.nonnegative(at, count))
        text = "must be less than or equal to {} (the number of {})"
        if count > completions:
            found.append(errors.invalid_value(at, count, text.format(completions, "specified completions")))
        if listed is not None and count > total:
            noun = "indexes in the specified succeededIndexes field"
            found.append(errors.invalid_value(at, count, text.format(total, noun)))
    return found
