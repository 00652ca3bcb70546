"""Quantities of resources: exact decimal numbers with a suffix, in the spelling that upstream would give back.

The model: a quantity is ``digits × 10^exponent`` and remembers in which family of suffixes it was written (decimal SI
``500m``, binary ``1Gi``, exponent ``1e3``). Upstream prints the *canonical* form of that family, with one surprise:
text that was canonical enough when it was parsed is kept letter for letter (``00010``, ``+1``, ``5.``), and only
other text is rewritten (``1024Mi`` → ``1Gi``). `Quantity.text` is what the API shows.

Nothing finer than a nano is kept (rounded away from zero); binary quantities are capped at 2^63-1.
Source: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from functools import lru_cache, total_ordering

FORMAT_ERROR = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
NUMERIC_ERROR = "unable to parse numeric part of quantity"
SUFFIX_ERROR = "unable to parse quantity's suffix"

_TEXT = re.compile(r"([+-]?)(0*)([0-9]*)(?:(\.)([0-9]*))?([eEinumkKMGTP]*[+-]?[0-9]*)", re.ASCII)
_MAX_INT64 = 2**63 - 1
_NANO = -9
# `1e2000000000` is a quantity; arithmetic on it stops at this many places, so that it cannot eat the process.
_LARGEST = 1000
_INT64_DIGITS = 18  # decimal digits that upstream trusts to fit into an int64


class Format(enum.Enum):
    """The family of suffixes that a quantity was written with."""

    DECIMAL = "DecimalSI"
    BINARY = "BinarySI"
    EXPONENT = "DecimalExponent"


_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIX = {exponent: suffix for suffix, exponent in _DECIMAL.items()}
_BINARY_SUFFIX = {exponent: suffix for suffix, exponent in _BINARY.items()}


class QuantityError(ValueError):
    """Text that is no quantity; the message is upstream's."""


@total_ordering
@dataclass(frozen=True, slots=True, eq=False)
class Quantity:
    """``digits × 10^exponent``. Compare and calculate with these; show `text`."""

    digits: int
    exponent: int
    format: Format
    spelling: str = ""

    @property
    def text(self) -> str:
        """What the API shows."""
        return self.spelling or _canonical(self.digits, self.exponent, self.format)

    def scaled(self, exponent: int) -> int:
        """The number in units of 10^exponent, rounded away from zero. (Upstream's wraps beyond an int64.)"""
        shift = self.exponent - exponent
        if shift >= 0:
            return int(self.digits * 10 ** min(shift, _LARGEST))
        whole = -(-abs(self.digits) // 10 ** min(-shift, _LARGEST))
        return int(whole if self.digits > 0 else -whole)

    @property
    def value(self) -> int:
        """Whole units, rounded away from zero."""
        return self.scaled(0)

    @property
    def milli_value(self) -> int:
        """Thousandths, rounded away from zero: how CPU is counted."""
        return self.scaled(-3)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Quantity):
            return NotImplemented
        left, right, _ = _aligned(self, other)
        return left == right

    def __lt__(self, other: Quantity) -> bool:
        left, right, _ = _aligned(self, other)
        return left < right

    def __hash__(self) -> int:
        digits, exponent = _stripped(self.digits, self.exponent, 10)
        return hash((digits, exponent))

    def __bool__(self) -> bool:
        return self.digits != 0

    def __add__(self, other: Quantity) -> Quantity:
        left, right, exponent = _aligned(self, other)
        return Quantity(left + right, exponent, self.format if self else other.format)

    def __sub__(self, other: Quantity) -> Quantity:
        left, right, exponent = _aligned(self, other)
        return Quantity(left - right, exponent, self.format if self else other.format)

    def __neg__(self) -> Quantity:
        return Quantity(-self.digits, self.exponent, self.format)


ZERO = Quantity(0, 0, Format.DECIMAL)


@lru_cache(maxsize=8192)
def parse(text: str) -> Quantity:
    """Parse as upstream does. Raises QuantityError with upstream's text."""
    if not text:
        raise QuantityError(FORMAT_ERROR)
    match = _TEXT.fullmatch(text)
    if match is None:
        raise QuantityError(FORMAT_ERROR)
    sign, zeros, whole, point, fraction, suffix = match.groups()
    if not suffix and not whole and not point and zeros:
        return Quantity(0, 0, Format.DECIMAL, "0" if text == "0" else "")
    exponent, format = _interpret(suffix)
    digitless = not (zeros or whole or fraction)
    whole, fraction = whole or "0", fraction or ""
    exact = _exact(whole, fraction, exponent, format)
    if exact is not None:
        digits, scale, keep = exact
        return Quantity(-digits if sign == "-" else digits, scale, format, text if keep else "")
    if digitless:  # accepted as zero where it takes the way above: `Gi` is 0, `Pi` is none
        raise QuantityError(NUMERIC_ERROR)
    return _rounded(sign == "-", whole, fraction, exponent, format)


def milli(value: int) -> Quantity:
    """`value` thousandths, as CPU is written."""
    return Quantity(value, -3, Format.DECIMAL)


def of(value: int, format: Format = Format.DECIMAL) -> Quantity:
    return Quantity(value, 0, format)


@lru_cache(maxsize=8192)
def canonical(text: str) -> str:
    """`text` as the API gives it back. Raises QuantityError."""
    return parse(text).text


def _interpret(suffix: str) -> tuple[int, Format]:
    """A suffix's exponent (of ten, of two for binary ones) and family."""
    if suffix in _DECIMAL:
        return _DECIMAL[suffix], Format.DECIMAL
    if suffix in _BINARY:
        return _BINARY[suffix], Format.BINARY
    if len(suffix) > 1 and suffix[0] in "eE" and re.fullmatch(r"[+-]?[0-9]+", suffix[1:], re.ASCII):
        exponent = int(suffix[1:])
        if -(2**63) <= exponent < 2**63:
            # Upstream narrows to 32 bits without looking.
            return (exponent + 2**31) % 2**32 - 2**31, Format.EXPONENT
    raise QuantityError(SUFFIX_ERROR)


def _exact(whole: str, fraction: str, exponent: int, format: Format) -> tuple[int, int, bool] | None:
    """(digits, exponent, spelling is kept) where upstream calculates in an int64, None where it does not."""
    if format is Format.BINARY:
        if fraction or 15 - len(whole) - exponent * 3 // 10 - 1 < 0:
            return None
        value = int(whole)
        result = value << exponent
        if result > _MAX_INT64:
            return None
        return result, 0, exponent % 10 == 0 and value & 7 != 0
    scale = exponent - len(fraction)
    if _INT64_DIGITS - len(whole) - len(fraction) < 0 or scale < _NANO:
        return None
    shifted = whole + fraction
    return int(shifted), scale, scale % 3 == 0 and not shifted.endswith("000") and shifted[0] != "0"


def _rounded(negative: bool, whole: str, fraction: str, exponent: int, format: Format) -> Quantity:
    """The arithmetic for numbers that do not fit: rounded away from zero to nanos, binary ones capped."""
    digits = int(whole + fraction)
    scale = -len(fraction)
    if format is Format.BINARY:
        digits <<= exponent
    else:
        scale += exponent
    if digits and scale < _NANO:
        # Beyond this many places everything is less than one nano: never build 10^(2^31).
        places = min(_NANO - scale, len(str(digits)) + 1)
        digits, scale = -(-digits // 10**places), _NANO
    if format is Format.BINARY:
        unit = 10**-scale
        if digits > _MAX_INT64 * unit:
            digits, scale = _MAX_INT64, 0
        elif 0 < digits < unit:
            format = Format.DECIMAL
    return Quantity(-digits if negative else digits, scale, format)


def _canonical(digits: int, exponent: int, format: Format) -> str:
    if digits == 0:
        return "0"
    if format is Format.BINARY:
        whole = _whole(digits, exponent) if exponent < _LARGEST else None
        if whole is not None and abs(whole) >= 1024:
            number, power = _stripped(whole, 0, 1024)
            while power > 6:  # beyond Ei there is no suffix
                number, power = number * 1024, power - 1
            return f"{number}{_BINARY_SUFFIX[power * 10] if power else ''}"
        format = Format.DECIMAL
    digits, exponent = _stripped(digits, exponent, 10)
    digits *= 10 ** (exponent % 3)
    exponent -= exponent % 3
    if format is Format.EXPONENT:
        return f"{digits}e{exponent}" if exponent else str(digits)
    return f"{digits}{_DECIMAL_SUFFIX.get(exponent, '')}"


def _whole(digits: int, exponent: int) -> int | None:
    """The number as an integer, None if it has a fraction."""
    if exponent >= 0:
        return int(digits * 10**exponent)
    quotient, rest = divmod(digits, 10**-exponent)
    return None if rest else int(quotient)


def _stripped(digits: int, exponent: int, base: int) -> tuple[int, int]:
    """Trailing factors of `base` moved into the exponent."""
    if digits == 0:
        return 0, 0
    while digits % base == 0:
        digits //= base
        exponent += 1
    return digits, exponent


def _aligned(left: Quantity, right: Quantity) -> tuple[int, int, int]:
    """Both numbers in the finer of the two units, and that unit's exponent."""
    exponent = min(left.exponent, right.exponent)
    return (
        left.digits * 10 ** min(left.exponent - exponent, _LARGEST),
        right.digits * 10 ** min(right.exponent - exponent, _LARGEST),
        exponent,
    )
