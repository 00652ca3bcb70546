"""Lists of resources: names and quantities."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kloster.apimachinery import Object
from kloster.apimachinery.quantity import ZERO, Quantity
from kloster.kinds import quantity

Amounts = dict[str, Quantity]


def parsed(amounts: Mapping[str, str] | None) -> Amounts:
    return {name: quantity.parse(text) for name, text in (amounts or {}).items()}


def texts(amounts: Mapping[str, Quantity]) -> dict[str, str]:
    """As the API shows them: sorted by name."""
    return {name: amounts[name].text for name in sorted(amounts)}


def add(one: Mapping[str, Quantity], two: Mapping[str, Quantity]) -> Amounts:
    total = dict(one)
    for name, amount in two.items():
        total[name] = total[name] + amount if name in total else amount
    return total


def subtract(one: Mapping[str, Quantity], two: Mapping[str, Quantity]) -> Amounts:
    """What is left of `one`, at least nothing."""
    left = {name: amount - two[name] if name in two else amount for name, amount in one.items()}
    return {name: amount if amount > ZERO else ZERO for name, amount in left.items()}


def only(amounts: Mapping[str, Quantity], names: Iterable[str]) -> Amounts:
    return {name: amounts[name] for name in names if name in amounts}


def something(amounts: Mapping[str, Quantity]) -> Amounts:
    """Without what is zero."""
    return {name: amount for name, amount in amounts.items() if amount != ZERO}


def shown(amounts: Mapping[str, Quantity]) -> str:
    """``cpu=1,pods=3``, for messages."""
    return ",".join(f"{name}={text}" for name, text in texts(amounts).items())


def of_quota(quota: Object, field: str) -> Amounts:
    """``status.hard`` or ``status.used``."""
    return parsed((quota.get("status") or {}).get(field))
