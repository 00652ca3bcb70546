"""The closures that expressions are made of, apart from loops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .frames import Failed
from .functions.arithmetic import index
from .functions.optionals import value_of
from .problems import EvaluationError
from .values import NONE, Optional, type_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from .frames import Closure, Frame


@dataclass(frozen=True, slots=True)
class Qualifier:
    """One step of a chain: a constant key or a closure that yields one, and whether it may be missing."""

    key: Any
    closure: Closure | None
    optional: bool


#: What an implementation raises for a value that is not of the declared type: null, or text that is no date.
_MISTYPED = (TypeError, AttributeError, ValueError)


def put(made: dict[Any, Any], key: Any, value: Any, optional: bool) -> None:
    if optional:
        if not isinstance(value, Optional):
            raise EvaluationError(f"cannot initialize optional entry '{key}' from non-optional value {value}")
        if not value.present:
            made.pop(key, None)
            return
        value = value.value
    try:
        made[key] = value
    except TypeError:
        raise EvaluationError(f"unsupported key type: {type_name(key)}") from None


def variable(slot: int, price: int) -> Closure:
    def plain(frame: Frame) -> Any:
        frame.cost += price
        value = frame.values[slot]
        if value.__class__ is Failed:
            raise value.error
        return value

    return plain


def chain_of(slot: int, keys: tuple[Any, ...], price: int) -> Closure:
    """Fields of a variable, one behind the other."""
    if not all(type(key) is str for key in keys):
        return _slow_chain(slot, keys, price)

    def chain(frame: Frame) -> Any:
        frame.cost += price
        value = start = frame.values[slot]
        try:
            for key in keys:
                value = value[key]
        except (KeyError, TypeError, IndexError):
            return _walked(start, keys)
        return value

    return chain


def _slow_chain(slot: int, keys: tuple[Any, ...], price: int) -> Closure:
    """With indexes among the names, where Python's rules are not CEL's."""

    def chain(frame: Frame) -> Any:
        frame.cost += price
        return _walked(frame.values[slot], keys)

    return chain


def _walked(value: Any, keys: tuple[Any, ...]) -> Any:
    """The slow way, which knows optional values and tells what is missing."""
    if value.__class__ is Failed:
        raise value.error
    optional = isinstance(value, Optional)
    if optional:
        if not value.present:
            return value
        value = value.value
    for key in keys:
        if optional:
            present, value = _found(value, key)
            if not present:
                return NONE
        else:
            value = index(value, key)
    return Optional(True, value) if optional else value


def chain_presence(slot: int, keys: tuple[Any, ...], last: str) -> Closure:
    price = len(keys) + 1

    def presence(frame: Frame) -> bool:
        frame.cost += price
        value = start = frame.values[slot]
        try:
            for key in keys:
                value = value[key]
            if value.__class__ is dict:
                return bool(last in value)
        except (KeyError, TypeError, IndexError):
            pass
        value = _walked(start, keys)
        if isinstance(value, Optional):
            value = value.value if value.present else None
        return has(value, last)

    return presence


def has(value: Any, name: str) -> bool:
    if not isinstance(value, dict):
        return False
    if name in value:
        return True
    names = getattr(value, "names", None)
    if names is not None:
        return bool(names.get(name) in value)
    lazily = getattr(value, "declares", None)
    return lazily is not None and bool(lazily(name))


def _found(value: Any, key: Any) -> tuple[bool, Any]:
    """Whether there is something at a key, and what."""
    if not isinstance(value, dict | list):
        return False, None
    try:
        return True, index(value, key)
    except EvaluationError as error:
        if str(error).startswith("no such key" if isinstance(value, dict) else "index out of bounds"):
            return False, None
        raise


def general(base: Closure, qualifiers: list[Qualifier], price: int) -> Closure:
    def attribute(frame: Frame) -> Any:
        frame.cost += price
        value = base(frame)
        optional = isinstance(value, Optional)
        if optional:
            if not value.present:
                return value
            value = value.value
        for each in qualifiers:
            key = each.key if each.closure is None else each.closure(frame)
            if optional or each.optional:
                optional = True
                present, value = _found(value, key)
                if not present:
                    return NONE
            else:
                value = index(value, key)
            frame.cost += 1
        return Optional(True, value) if optional else value

    return attribute


def conjunction(left: Closure, right: Closure, decisive: bool) -> Closure:
    """`&&` (decided by false) and `||` (decided by true): either side decides, even if the other fails."""

    def both(frame: Frame) -> bool:
        failure: EvaluationError | None = None
        for side in (left, right):
            try:
                value = side(frame)
            except EvaluationError as error:
                failure = failure or error
                continue
            decided = value is decisive
            if decided:
                return decisive
            if value is not (not decisive):
                failure = failure or EvaluationError("no such overload")
        if failure is not None:
            raise failure
        return not decisive

    return both


def conditional(condition: Closure, positive: Closure, negative: Closure) -> Closure:
    def choose(frame: Frame) -> Any:
        decided = condition(frame)
        if decided is True:
            return positive(frame)
        if decided is False:
            return negative(frame)
        raise EvaluationError("no such overload")

    return choose


def not_strictly_false(inner: Closure) -> Closure:
    def judged(frame: Frame) -> bool:
        frame.cost += 1
        try:
            return inner(frame) is not False
        except EvaluationError:
            return True

    return judged


def otherwise(left: Closure, right: Closure, keep: bool) -> Closure:
    """`or` and `orValue`: the right side is evaluated only if the left holds nothing."""

    def either(frame: Frame) -> Any:
        value = left(frame)
        if not isinstance(value, Optional):
            raise EvaluationError("no such overload")
        if value.present:
            return value if keep else value_of(value)
        return right(frame)

    return either


def unpriced(call: Callable[..., Any], operands: list[Closure]) -> Closure:
    """A call that costs one, whatever it is given."""
    if len(operands) == 1:
        only = operands[0]

        def unary(frame: Frame) -> Any:
            value = only(frame)
            frame.cost += 1
            try:
                return call(value)
            except _MISTYPED:
                raise EvaluationError("no such overload") from None

        return unary
    if len(operands) == 2:
        left, right = operands

        def binary(frame: Frame) -> Any:
            one = left(frame)
            other = right(frame)
            frame.cost += 1
            try:
                return call(one, other)
            except _MISTYPED:
                raise EvaluationError("no such overload") from None

        return binary

    def several(frame: Frame) -> Any:
        values = [each(frame) for each in operands]
        frame.cost += 1
        try:
            return call(*values)
        except _MISTYPED:
            raise EvaluationError("no such overload") from None

    return several


def priced(call: Callable[..., Any], operands: list[Closure], cost: Callable[[tuple[Any, ...], Any], int]) -> Closure:
    if len(operands) == 2:
        left, right = operands

        def binary(frame: Frame) -> Any:
            one = left(frame)
            other = right(frame)
            try:
                result = call(one, other)
            except _MISTYPED:
                raise EvaluationError("no such overload") from None
            frame.cost += cost((one, other), result)
            if frame.cost > frame.limit:
                frame.exceeded()
            return result

        return binary

    def priced_call(frame: Frame) -> Any:
        values = tuple([each(frame) for each in operands])
        try:
            result = call(*values)
        except _MISTYPED:
            raise EvaluationError("no such overload") from None
        frame.cost += cost(values, result)
        if frame.cost > frame.limit:
            frame.exceeded()
        return result

    return priced_call
