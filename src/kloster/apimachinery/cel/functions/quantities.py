"""Kubernetes' quantities: `quantity('500m').isLessThan(quantity('1'))`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kloster.apimachinery import quantity
from kloster.apimachinery.cel import types
from kloster.apimachinery.cel.problems import EvaluationError
from kloster.apimachinery.cel.values import Opaque

from . import costs

if TYPE_CHECKING:
    from kloster.apimachinery.cel.declarations import Collection

TYPE = types.struct("kubernetes.Quantity")


class QuantityValue(Opaque):
    """A quantity as a value of CEL."""

    __slots__ = ("quantity",)
    type = TYPE

    def __init__(self, held: quantity.Quantity) -> None:
        self.quantity = held

    def same(self, other: Any) -> bool:
        return bool(self.quantity == other.quantity)


def _parse(text: str) -> QuantityValue:
    try:
        return QuantityValue(quantity.parse(text))
    except quantity.QuantityError as error:
        raise EvaluationError(str(error)) from None


def _is_quantity(text: str) -> bool:
    try:
        quantity.parse(text)
    except quantity.QuantityError:
        return False
    return True


def _exact(value: QuantityValue) -> int | None:
    """The whole number of units that fits into 64 bits, if it is one."""
    held = value.quantity
    whole = held.value
    if not -(2**63) <= whole < 2**63 or quantity.Quantity(whole, 0, held.format) != held:
        return None
    return whole


def _as_integer(value: QuantityValue) -> int:
    exact = _exact(value)
    if exact is None:
        raise EvaluationError("cannot convert value to integer")
    return exact


def _compare(left: QuantityValue, right: QuantityValue) -> int:
    return (left.quantity > right.quantity) - (left.quantity < right.quantity)


def _float(value: QuantityValue) -> float:
    held = value.quantity
    try:
        if held.exponent >= 0:
            return float(held.digits * 10 ** min(held.exponent, 400))
        return float(held.digits / 10 ** min(-held.exponent, 400))
    except OverflowError:
        return float("inf") if held.digits > 0 else float("-inf")


def _sign(value: QuantityValue) -> int:
    return (value.quantity.digits > 0) - (value.quantity.digits < 0)


def _whole(value: int) -> quantity.Quantity:
    return quantity.Quantity(value, 0, quantity.Format.EXPONENT)


def declare(into: Collection) -> None:
    name = TYPE.name
    into.add("string_to_quantity", f"quantity(string) -> {name}", _parse, costs.first)
    into.add("is_quantity_string", "isQuantity(string) -> bool", _is_quantity, costs.first)
    into.add("quantity_sign", f"sign({name}) -> int", _sign)
    into.add("quantity_is_greater_than", f"{name}::isGreaterThan({name}) -> bool", lambda a, b: _compare(a, b) > 0)
    into.add("quantity_is_less_than", f"{name}::isLessThan({name}) -> bool", lambda a, b: _compare(a, b) < 0)
    into.add("quantity_compare_to", f"{name}::compareTo({name}) -> int", _compare)
    into.add("quantity_get_float", f"{name}::asApproximateFloat() -> double", _float)
    into.add("quantity_get_int", f"{name}::asInteger() -> int", _as_integer)
    into.add("quantity_is_integer", f"{name}::isInteger() -> bool", lambda value: _exact(value) is not None)
    into.add("quantity_add", f"{name}::add({name}) -> {name}", lambda a, b: QuantityValue(a.quantity + b.quantity))
    into.add("quantity_add_int", f"{name}::add(int) -> {name}", lambda a, b: QuantityValue(a.quantity + _whole(b)))
    into.add("quantity_sub", f"{name}::sub({name}) -> {name}", lambda a, b: QuantityValue(a.quantity - b.quantity))
    into.add("quantity_sub_int", f"{name}::sub(int) -> {name}", lambda a, b: QuantityValue(a.quantity - _whole(b)))
