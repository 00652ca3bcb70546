"""Quantities as kinds meet them: text inside objects, absent or decoded. The arithmetic is apimachinery's."""

from __future__ import annotations

from collections.abc import MutableMapping
from typing import Any

from kloster.apimachinery import quantity as arithmetic
from kloster.apimachinery.quantity import Quantity


def parse(text: Any) -> Quantity:
    """The quantity that decoded text stands for; an absent one is zero."""
    try:
        return arithmetic.parse(str(text))
    except arithmetic.QuantityError:
        return arithmetic.ZERO


def is_whole(number: Quantity) -> bool:
    """Whether it is a whole number, counted in thousandths that are rounded up (as upstream counts)."""
    return number.milli_value % 1000 == 0


def round_up_milli(resources: MutableMapping[str, Any] | None) -> None:
    """Rounds the amounts of a resource list up to thousandths, in place, as upstream does on every write."""
    if not resources:
        return
    for name, text in resources.items():
        number = parse(text)
        if number.exponent < -3:
            digits = number.scaled(-3) if number.digits > 0 else -(-number).scaled(-3)
            rounded = Quantity(digits, -3, number.format)
            if rounded != number:
                resources[name] = rounded.text
