"""PriorityLevelConfigurations: how many requests of a level run at once, and how the rest waits.

Source: https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
"""

from __future__ import annotations

import math
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import cells as table
from kloster.kinds import checks, defaulting, internal, lifecycle, metadata
from kloster.kinds.flowcontrol import levels
from kloster.kinds.strategy import Strategy

_DEFAULT_SHARES = 30
_MOST_QUEUES = 10_000_000
_HASH_BITS = 60
_ZERO_SHARES_ANNOTATION = "flowcontrol.k8s.io/v1beta3-preserve-zero-concurrency-shares"


def _default(level: Object) -> None:
    spec = defaulting.struct(level, "spec")
    if (exempt := spec.get("exempt")) is not None:
        defaulting.absent(exempt, nominalConcurrencyShares=0, lendablePercent=0)
    if (limited := spec.get("limited")) is not None:
        defaulting.absent(limited, nominalConcurrencyShares=_DEFAULT_SHARES, lendablePercent=0)
        if (queuing := (limited.get("limitResponse") or {}).get("queuing")) is not None:
            defaulting.empty(queuing, queues=64, handSize=8, queueLengthLimit=50)


def _validate(level: Object) -> list[FieldError]:
    spec, name = level.get("spec") or {}, checks.text(level["metadata"].get("name"))
    found = []
    if _ZERO_SHARES_ANNOTATION in (level["metadata"].get("annotations") or {}):
        text = f"annotation '{_ZERO_SHARES_ANNOTATION}' is forbidden"
        found.append(errors.forbidden_field("metadata.annotations", text))
    found.extend(_spec("spec", spec, name))
    found.extend(_mandatory("spec", spec, name))
    return [*found, *levels.validate_conditions(level)]


def _mandatory(path: str, spec: Object, name: str) -> list[FieldError]:
    if name != levels.EXEMPT:
        return levels.mandatory(path, name, spec, levels.LEVELS, levels.LEVEL)
    wanted = levels.LEVELS[name]
    if metadata.same({**spec, "exempt": wanted["exempt"]}, wanted):
        return []
    text = f"spec of '{name}' except the 'spec.exempt' field must equal the fixed value"
    return [errors.invalid_value(path, internal.shown(spec, levels.LEVEL), text)]


def _spec(path: str, spec: Object, name: str) -> list[FieldError]:
    kind, limited, exempt = checks.text(spec.get("type")), spec.get("limited"), spec.get("exempt")
    found = []
    if (name == levels.EXEMPT) != (kind == "Exempt"):
        text = "must be 'Exempt' if and only if `name` is 'exempt'"
        found.append(errors.invalid_value(f"{path}.type", kind, text))
    if kind == "Exempt":
        if limited is not None:
            found.append(errors.forbidden_field(f"{path}.limited", "must be nil if the type is not Limited"))
        return [*found, *_shares(f"{path}.exempt", exempt or {})]
    if kind != "Limited":
        return [*found, *checks.supported(f"{path}.type", kind, ["Exempt", "Limited"])]
    if exempt is not None:
        found.append(errors.forbidden_field(f"{path}.exempt", "must be nil if the type is Limited"))
    if limited is None:
        return [*found, errors.required(f"{path}.limited", "must not be empty when type is Limited")]
    return [*found, *_limited(f"{path}.limited", limited)]


def _shares(path: str, level: Object, response: list[FieldError] | None = None) -> list[FieldError]:
    shares, lendable = level.get("nominalConcurrencyShares"), level.get("lendablePercent")
    found = []
    if shares is not None and shares < 0:
        text = "must be a non-negative integer"
        found.append(errors.invalid_value(f"{path}.nominalConcurrencyShares", shares, text))
    found.extend(response or ())
    if lendable is not None and not 0 <= lendable <= 100:
        text = "must be between 0 and 100, inclusive"
        found.append(errors.invalid_value(f"{path}.lendablePercent", lendable, text))
    return found


def _limited(path: str, limited: Object) -> list[FieldError]:
    found = _shares(path, limited, _response(f"{path}.limitResponse", limited.get("limitResponse") or {}))
    borrowing = limited.get("borrowingLimitPercent")
    if borrowing is not None and borrowing < 0:
        text = "if specified, must be a non-negative integer"
        found.append(errors.invalid_value(f"{path}.borrowingLimitPercent", borrowing, text))
    return found


def _response(path: str, response: Object) -> list[FieldError]:
    kind, queuing = checks.text(response.get("type")), response.get("queuing")
    if kind == "Reject":
        text = "must be nil if limited.limitResponse.type is not Limited"
        return [] if queuing is None else [errors.forbidden_field(f"{path}.queuing", text)]
    if kind != "Queue":
        return checks.supported(f"{path}.type", kind, ["Queue", "Reject"])
    if queuing is None:
        text = "must not be empty if limited.limitResponse.type is Limited"
        return [errors.required(f"{path}.queuing", text)]
    return _queuing(f"{path}.queuing", queuing)


def _queuing(path: str, queuing: Object) -> list[FieldError]:
    queues, hand, length = (queuing.get(name) or 0 for name in ("queues", "handSize", "queueLengthLimit"))
    found = []
    if length <= 0:
        found.append(errors.invalid_value(f"{path}.queueLengthLimit", length, "must be positive"))
    if queues <= 0:
        found.append(errors.invalid_value(f"{path}.queues", queues, "must be positive"))
    elif queues > _MOST_QUEUES:
        found.append(errors.invalid_value(f"{path}.queues", queues, f"must not be greater than {_MOST_QUEUES}"))
    if text := _hand_problem(queues, hand):
        found.append(errors.invalid_value(f"{path}.handSize", hand, text))
    return found


def _hand_problem(queues: int, hand: int) -> str:
    if hand <= 0:
        return "must be positive"
    if hand > queues:
        return f"should not be greater than queues ({queues})"
    # Shuffle sharding draws the hand from one 64-bit hash.
    entropy = math.ceil(math.log2(queues) * hand)
    if entropy > _HASH_BITS:
        return f"required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {_HASH_BITS}"
    return ""


def _cells(level: Object, now: float) -> list[Any]:
    spec = level.get("spec") or {}
    limited = spec.get("limited")
    shares: Any = "<none>"
    numbers: list[Any] = ["<none>"] * 3
    if limited is not None:
        shares = limited.get("nominalConcurrencyShares") or 0
        if (queuing := (limited.get("limitResponse") or {}).get("queuing")) is not None:
            numbers = [queuing.get(name) or 0 for name in ("queues", "handSize", "queueLengthLimit")]
    return [level["metadata"]["name"], checks.text(spec.get("type")), shares, *numbers, table.age(level, now)]


STRATEGY = Strategy(
    default=_default,
    prepare_create=lifecycle.clear_status,
    prepare_update=lifecycle.keep_status,
    prepare_status=levels.keep_everything_else,
    validate=_validate,
    validate_status=levels.validate_status,
    generation=True,
    status=True,
    cells=_cells,
)
