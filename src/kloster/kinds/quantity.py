"""Quantities as validation and defaults need them: comparison, integrality, rounding to thousandths.

A quantity is text such as ``500m``, ``1.5Gi``, ``2e3``. Values are exact (`int` or `Fraction`); the spelling is kept
wherever the value need not change. Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from fractions import Fraction
from functools import lru_cache
from typing import Any

_SYNTAX = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?(.*)", re.DOTALL)
_EXPONENT = re.compile(r"[eE]([+-]?[0-9]{1,4})")
_BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY_SUFFIX = ("", *_BINARY)
_SUFFIX = {power: suffix for suffix, power in _DECIMAL.items()}
_LARGEST = 2**63 - 1


@lru_cache(maxsize=4096)
def _parse(text: str) -> Fraction:
    match = _SYNTAX.fullmatch(text)
    if match is None:  # every text matches; the pattern ends in .*
        raise ValueError(text)
    sign, whole, fraction, suffix = match.groups()
    if not whole and not fraction and suffix not in _BINARY:
        raise ValueError(f"{text!r} is no quantity")
    value = Fraction(int(f"{whole}{fraction or ''}" or "0"), 10 ** len(fraction or ""))
    if suffix in _BINARY:
        value *= 1024 ** _BINARY[suffix]
    elif suffix in _DECIMAL:
        value *= Fraction(10) ** _DECIMAL[suffix]
    else:
        exponent = _EXPONENT.fullmatch(suffix)
        if exponent is None:
            raise ValueError(f"{text!r} is no quantity")
        value *= Fraction(10) ** int(exponent[1])
    nano = value * 10**9
    if nano.denominator != 1:  # finer than a billionth: upstream rounds up, away from zero
        value = Fraction(nano.numerator // nano.denominator + 1, 10**9)
    value = min(value, Fraction(_LARGEST))
    return -value if sign == "-" else value


def value(text: Any) -> Fraction:
    """The exact value of a quantity that has been decoded; an absent or malformed one is 0."""
    try:
        return _parse(str(text))
    except ValueError:
        return Fraction(0)


def is_integer(text: Any) -> bool:
    """Whether the quantity is a whole number of thousandths that make whole units (MilliValue % 1000 == 0)."""
    milli = value(text) * 1000
    return -(-milli.numerator // milli.denominator) % 1000 == 0


def render(amount: Fraction | int, binary: bool = False) -> str:
    """Canonical text of a value: the largest suffix that needs no fraction."""
    amount = Fraction(amount)
    if binary and amount.denominator == 1 and abs(amount) >= 1024:
        whole, power = int(amount), 0
        while whole % 1024 == 0 and power < 6:
            whole //= 1024
            power += 1
        return f"{whole}{_BINARY_SUFFIX[power]}"
    if not amount:
        return "0"
    exponent = 0
    while amount.denominator > 1 and exponent > -9:
        amount *= 1000
        exponent -= 3
    while exponent < 18 and not amount % 1000:
        amount /= 1000
        exponent += 3
    return f"{int(amount)}{_SUFFIX[exponent]}"


def round_up_milli(resources: MutableMapping[str, Any] | None) -> None:
    """Rounds the amounts of a resource list up to thousandths, in place, as upstream does on every write."""
    for name, text in (resources or {}).items():
        milli = value(text) * 1000
        if milli.denominator != 1:
            up = -(-abs(milli.numerator) // milli.denominator)
            amount = Fraction(up if milli > 0 else -up, 1000)
            assert resources is not None
            resources[name] = render(amount)
