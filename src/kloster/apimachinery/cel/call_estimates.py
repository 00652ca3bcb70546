"""What calls can cost at most, function by function, and how large what they yield can be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from . import ranges, tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from .ranges import Knowledge, Range, Sized
    from .types import Type

_TRAVERSAL = 0.1
_REGEX = 0.25


class Call(NamedTuple):
    """A call of one overload: what it is given, and what evaluating that costs."""

    node: tree.Call
    function: str
    overload: str
    target: Sized | None
    arguments: list[Sized]
    prices: list[Range]


class Estimate(NamedTuple):
    """The cost of a call, and the size of its result where one is known."""

    cost: Range
    result: Range | None = None


def estimate(knowledge: Knowledge, call: Call) -> Estimate:
    """The cost of a call and of its arguments (not of its target)."""
    total = ranges.ZERO
    for price in call.prices:
        total = total.plus(price)
    known = _listed(knowledge, call)
    if known is None:
        known = _kubernetes(knowledge, call)
    if known is not None:
        return Estimate(known.cost.plus(total), known.result)
    return _standard(knowledge, call, total)


def _size(knowledge: Knowledge, operand: Sized) -> Range:
    """As Kubernetes' estimates ask: the schema once more, then unknown."""
    if operand.size is not None:
        return operand.size
    declared = knowledge.declared(operand.path) if operand.path else None
    return ranges.UNKNOWN if declared is None else declared


def _of(operand: Sized) -> Range:
    """As cel-go's own estimates ask."""
    return ranges.UNKNOWN if operand.size is None else operand.size


# -- Kubernetes' functions -------------------------------------------------------------------------------------------

_NOMINAL = {
    *("serviceAccount", "path", "group", "resource", "subresource", "namespace", "name", "allowed", "reason", "error"),
    *("errored", "masked", "prefixLength", "family", "isUnspecified", "isLoopback", "isLinkLocalMulticast"),
    *("isLinkLocalUnicast", "isGlobalUnicast", "format.named", "sign", "asInteger", "isInteger", "asApproximateFloat"),
    *("isGreaterThan", "isLessThan", "compareTo", "add", "sub", "major", "minor", "patch", "getScheme", "getHostname"),
    *("getHost", "getPort", "getEscapedPath", "getQuery"),
}
_PARSED = {"cidr", "isIP", "isCIDR", "ip", "quantity", "isQuantity", "semver", "isSemver"}
_KEEPING = {"lowerAscii", "upperAscii", "substring", "trim"}
_SEARCHING = {"isSorted", "sum", "max", "min", "indexOf", "lastIndexOf"}


def _kubernetes(knowledge: Knowledge, call: Call) -> Estimate | None:
    function, target, arguments = call.function, call.target, call.arguments
    if function in _NOMINAL or call.overload == "cidr_ip":
        return Estimate(ranges.ONE)
    if function == "check":
        return Estimate(ranges.fixed(350_000))
    if function in _PARSED and arguments:
        return Estimate(_size(knowledge, arguments[0]).factor(_TRAVERSAL))
    if function in ("url", "jsonpatch.escapeKey") and len(arguments) == 1:
        size = _size(knowledge, arguments[0])
        return Estimate(size.factor(_TRAVERSAL), size)
    if function == "ip.isCanonical" and arguments:
        return Estimate(_size(knowledge, arguments[0]).factor(2 * _TRAVERSAL))
    if function == "validate" and arguments:
        return Estimate(_size(knowledge, arguments[0]).factor(_TRAVERSAL).factor(128 * _REGEX))
    if function in ("fieldSelector", "labelSelector") and len(arguments) == 1:
        return Estimate(_selector(_size(knowledge, arguments[0])))
    if function == "_==_" and len(arguments) == 2:
        return _equality(arguments[0].type, arguments[1])
    if target is None:
        return None
    if function in _SEARCHING:
        return _searching(knowledge, target)
    if function in _KEEPING:
        size = _size(knowledge, target)
        return Estimate(size.factor(_TRAVERSAL), size)
    return _on_text(knowledge, call, target)


def _selector(length: Range) -> Range:
    parsed = length.factor(_TRAVERSAL)
    return ranges.fixed(10).plus(parsed).plus(length.factor(0.5).factor(50.0))


def _on_text(knowledge: Knowledge, call: Call, target: Sized) -> Estimate | None:
    arguments = call.arguments
    match call.function:
        case "replace" if len(arguments) >= 2:
            return _replacing(knowledge, target, arguments)
        case "split":
            return _splitting(_size(knowledge, target), arguments)
        case "join":
            return _joining(knowledge, target, arguments)
        case "find" | "findAll" if arguments:
            size = _size(knowledge, target)
            pattern = _size(knowledge, arguments[0]).factor(_REGEX)
            cost = size.plus(ranges.ONE).factor(_TRAVERSAL).times(pattern)
            return Estimate(cost, ranges.Range(0, size.most))
        case "containsIP" | "containsCIDR" if arguments:
            return _containing(knowledge, call.overload, arguments[0])
    return None


def _searching(knowledge: Knowledge, target: Sized) -> Estimate:
    size = _size(knowledge, target)
    if not target.type.parameters:
        return Estimate(size.factor(_TRAVERSAL))
    element = target.type.parameters[0]
    price = ranges.ONE
    if element.kind in ("string", "bytes"):
        declared = knowledge.declared((*target.path, "@items")) if target.path is not None else None
        inner = ranges.UNKNOWN if declared is None else declared
        price = price.plus(inner.factor(_TRAVERSAL))
    return Estimate(size.times(price))


def _replacing(knowledge: Knowledge, target: Sized, arguments: list[Sized]) -> Estimate:
    size, old, new = _size(knowledge, target), _size(knowledge, arguments[0]), _size(knowledge, arguments[1])
    least, most = _replaced_least(size, old, new), _replaced_most(size, old, new)
    result = ranges.Range(least[0], most[0]).times(new).plus(ranges.Range(least[1], most[1]))
    return Estimate(size.factor(2 * _TRAVERSAL), result)


def _replaced_most(size: Range, old: Range, new: Range) -> tuple[int, int]:
    """How often at most, and how much of the text stays."""
    if old.least == 0:
        return min(size.most + 1, ranges.MOST), size.most
    if new.most <= old.least:
        return 0, size.most
    return math.ceil(float(size.most) / float(old.least)), 0


def _replaced_least(size: Range, old: Range, new: Range) -> tuple[int, int]:
    if old.most == 0:
        return min(size.least + 1, ranges.MOST), size.least
    if old.most <= new.least:
        return 0, size.least
    return math.ceil(float(size.least) / float(old.most)), 0


def _splitting(size: Range, arguments: list[Sized]) -> Estimate:
    most = size.most
    if len(arguments) > 1:
        node = arguments[1].node
        if isinstance(node, tree.Literal) and isinstance(node.value, int):
            most = node.value % 2**64
    return Estimate(size.factor(2 * _TRAVERSAL), ranges.Range(0, most))


def _joining(knowledge: Knowledge, target: Sized, arguments: list[Sized]) -> Estimate:
    count = _size(knowledge, target)
    total = ranges.ZERO
    if target.type.parameters:
        declared = knowledge.declared((*target.path, "@items")) if target.path is not None else None
        total = count.times(ranges.UNKNOWN if declared is None else declared)
    if arguments:
        between = ranges.Range(max(count.least - 1, 0), max(count.most - 1, 0))
        total = total.plus(_size(knowledge, arguments[0]).times(between))
    return Estimate(total.factor(_TRAVERSAL), total)


def _containing(knowledge: Knowledge, overload: str, argument: Sized) -> Estimate:
    address = ranges.Range(4, 16)
    cost = address.plus(address).factor(_TRAVERSAL)
    if "cidr_contains_cidr" in overload:
        cost = cost.plus(address.factor(_TRAVERSAL)).plus(ranges.ONE)
    if overload.endswith("_string"):
        cost = cost.plus(_size(knowledge, argument).factor(_TRAVERSAL))
    return Estimate(cost)


def _equality(left: Type, right: Sized) -> Estimate | None:
    if left != right.type:
        return None
    name = left.name
    if name in ("net.IP", "net.CIDR", "kubernetes.Quantity", "kubernetes.Semver") or ".authorization." in name:
        return Estimate(ranges.ONE)
    if name == "kubernetes.NamedFormat":
        return Estimate(ranges.Range(1, 64).factor(_TRAVERSAL))
    if name == "kubernetes.URL":
        most = right.size.most if right.size is not None else 1
        return Estimate(ranges.Range(1, most).factor(_TRAVERSAL))
    return None


# -- cel-go's lists and sets -----------------------------------------------------------------------------------------


def _listed(knowledge: Knowledge, call: Call) -> Estimate | None:
    overload, target, arguments = call.overload, call.target, call.arguments
    if overload.startswith("list_sets_"):
        product = _size(knowledge, arguments[0]).times(_size(knowledge, arguments[1]))
        factor = 2 if overload == "list_sets_equivalent_list" else 1
        return Estimate(product.factor(factor).plus(ranges.ONE))
    if overload == "lists_range":
        return _allocating(1, ranges.fixed(_integer(arguments[0], ranges.MOST)))
    if target is None or not overload.startswith("list_"):
        return None
    if overload == "list_slice":
        start = _integer(arguments[0], 0)
        end = _integer(arguments[1], _size(knowledge, target).most)
        return _allocating(1, ranges.fixed((end - start) % 2**64))
    if overload in ("list_flatten", "list_flatten_int"):
        depth = _integer(arguments[0], ranges.MOST) if arguments else 1
        return _allocating(float(depth), _size(knowledge, target))
    if overload == "list_reverse":
        return _allocating(1, _size(knowledge, target))
    if overload == "list_distinct":
        size = _size(knowledge, target)
        return _allocating(2.0, size.times(size))
    if overload.endswith(("_sort", "_sortByAssociatedKeys")):
        size = _size(knowledge, arguments[0] if overload.endswith("Keys") else target)
        each = 2.0 + (_TRAVERSAL if overload.startswith(("list_string_", "list_bytes_")) else 0)
        return _allocating(each, size.times(size))
    return None


def _allocating(factor: float, size: Range) -> Estimate:
    return Estimate(size.factor(factor).plus(ranges.ONE).plus(ranges.fixed(10)), size)


def _integer(operand: Sized, otherwise: int) -> int:
    node = operand.node
    if not isinstance(node, tree.Literal) or type(node.value) is not int:
        return otherwise
    return max(node.value, 0)


# -- the standard functions ------------------------------------------------------------------------------------------

_COMPARED = {
    f"{name}_{kind}" for name in ("less", "greater", "less_equals", "greater_equals") for kind in ("string", "bytes")
} | {"equals", "not_equals"}


def _standard(knowledge: Knowledge, call: Call, total: Range) -> Estimate:
    found = _STANDARD.get(call.overload)
    if found is not None:
        known = found(knowledge, call, total)
        if known is not None:
            return known
    if call.overload in _COMPARED:
        most = min(_of(call.arguments[0]).most, _of(call.arguments[1]).most)
        return Estimate(ranges.Range(min(most, 1), most).factor(_TRAVERSAL).plus(total))
    return Estimate(ranges.ONE.plus(total))


def _format(_: Knowledge, call: Call, total: Range) -> Estimate | None:
    return Estimate(_of(call.target).factor(_TRAVERSAL).plus(total)) if call.target is not None else None


def _converted(least: Callable[[int], int], most: Callable[[int], int]) -> Callable[..., Estimate | None]:
    def rule(_: Knowledge, call: Call, total: Range) -> Estimate | None:
        if len(call.arguments) != 1:
            return None
        size = _of(call.arguments[0])
        result = ranges.Range(least(size.least) % 2**64, most(size.most) % 2**64)
        return Estimate(size.factor(_TRAVERSAL).plus(total), result)

    return rule


def _prefix(_: Knowledge, call: Call, total: Range) -> Estimate | None:
    return Estimate(_of(call.arguments[0]).factor(_TRAVERSAL).plus(total)) if len(call.arguments) == 1 else None


def _in_list(_: Knowledge, call: Call, total: Range) -> Estimate | None:
    return Estimate(_of(call.arguments[1]).factor(1).plus(total)) if len(call.arguments) == 2 else None


def _matches(_: Knowledge, call: Call, total: Range) -> Estimate | None:
    if call.target is None or len(call.arguments) != 1:
        return None
    text = _of(call.target).plus(ranges.ONE).factor(_TRAVERSAL)
    return Estimate(text.times(_of(call.arguments[0]).factor(_REGEX)).plus(total))


def _contains(_: Knowledge, call: Call, total: Range) -> Estimate | None:
    if call.target is None or len(call.arguments) != 1:
        return None
    text = _of(call.target).factor(_TRAVERSAL)
    return Estimate(text.times(_of(call.arguments[0]).factor(_TRAVERSAL)).plus(total))


def _junctor(_: Knowledge, call: Call, total: Range) -> Estimate:
    left, right = call.prices
    return Estimate(ranges.Range(left.least, left.plus(right).most))


def _conditional(knowledge: Knowledge, call: Call, total: Range) -> Estimate:
    size = _of(call.arguments[1]).union(_of(call.arguments[2]))
    one, other = (knowledge.entries(each) for each in call.node.arguments[1:])
    if one is not None and other is not None:
        knowledge.set_entries(call.node, one.union(other))
    condition, positive, negative = call.prices
    return Estimate(condition.plus(positive.union(negative)), size)


def _sum(knowledge: Knowledge, call: Call, total: Range) -> Estimate | None:
    if len(call.arguments) != 2:
        return None
    result = _of(call.arguments[0]).plus(_of(call.arguments[1]))
    one, other = (knowledge.entries(each) for each in call.node.arguments)
    if one is not None and other is not None:
        knowledge.set_entries(call.node, one.union(other))
    price = ranges.ONE if call.overload == "add_list" else result.factor(_TRAVERSAL)
    return Estimate(price.plus(total), result)


_STANDARD: dict[str, Callable[..., Estimate | None]] = {
    "string_format": _format,
    "string_to_bytes": _converted(lambda least: least, lambda most: most * 4),
    "bytes_to_string": _converted(lambda least: least // 4, lambda most: most),
    "strings_quote": _converted(lambda least: least + 2, lambda most: most * 2 + 2),
    "starts_with_string": _prefix,
    "ends_with_string": _prefix,
    "in_list": _in_list,
    "matches_string": _matches,
    "contains_string": _contains,
    "logical_and": _junctor,
    "logical_or": _junctor,
    "conditional": _conditional,
    "add_string": _sum,
    "add_bytes": _sum,
    "add_list": _sum,
}
