"""What an expression can cost at most, before it has seen a value: cel-go's estimate with Kubernetes' prices.

Sizes are ranges: from literals, from the schema of what is selected (asked for by path), or unknown, which is as large
as an unsigned number can be. Costs are ranges, too; the upper end is what a CustomResourceDefinition is judged by.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from . import call_estimates, tree, types
from .ranges import MOST, ONE, UNKNOWN, ZERO, Entries, Path, Range, Sized, fixed

if TYPE_CHECKING:
    from collections.abc import Callable

    from .types import Type


class _Local(NamedTuple):
    path: Path
    size: Range | None
    entries: Entries | None


def cost(root: tree.Node, sizes: Callable[[Path], Range | None]) -> Range:
    """The least and the most that evaluating the tree can cost."""
    return _Coster(sizes).cost(root)


class _Coster:
    def __init__(self, sizes: Callable[[Path], Range | None]) -> None:
        self._sizes = sizes
        self._paths: dict[int, Path] = {}
        self._computed: dict[int, Range] = {}
        self._entries: dict[int, Entries] = {}
        self._locals: dict[str, list[_Local]] = {}

    def cost(self, node: tree.Node) -> Range:
        match node:
            case tree.Ident():
                return self._ident(node)
            case tree.Select():
                return self._select(node)
            case tree.Call():
                return self._call(node)
            case tree.ListNode():
                return self._list(node)
            case tree.MapNode():
                return self._map(node)
            case tree.StructNode():
                total = ZERO
                for entry in node.fields:
                    total = total.plus(self.cost(entry.value))
                return total.plus(fixed(40))
            case tree.Comprehension():
                return self._bind(node) if _is_bind(node) else self._fold(node)
        return ZERO

    # -- names -------------------------------------------------------------------------------------------------------

    def _ident(self, node: tree.Ident) -> Range:
        local = self._local(node.name)
        self._paths[id(node)] = local.path if local is not None else (node.name,)
        return ONE

    def _local(self, name: str) -> _Local | None:
        stack = self._locals.get(name)
        return stack[-1] if stack else None

    def _select(self, node: tree.Select) -> Range:
        if node.overloads:
            self._paths[id(node)] = (node.overloads[0],)
            return ONE
        if node.test_only:
            return self.cost(node.operand)
        total = self.cost(node.operand)
        if _type(node.operand).kind in ("map", "struct", "parameter"):
            total = total.plus(ONE)
        self._paths[id(node)] = (*self.path(node.operand), node.field_name)
        return total

    def path(self, node: tree.Node) -> Path:
        if isinstance(node, tree.Ident):
            local = self._local(node.name)
            if local is not None:
                return local.path
        return self._paths.get(id(node), ())

    # -- sizes -------------------------------------------------------------------------------------------------------

    def size(self, node: tree.Node) -> Range | None:
        known = self._computed.get(id(node))
        if known is None:
            known = _literal_size(node)
        if known is not None:
            return known
        declared = self._sizes(self.path(node))
        if declared is not None:
            self._computed[id(node)] = declared
            return declared
        if _scalar(_type(node)):
            return ONE
        local = self._local(node.name) if isinstance(node, tree.Ident) else None
        return local.size if local is not None else None

    def size_or_unknown(self, node: tree.Node) -> Range:
        found = self.size(node)
        return UNKNOWN if found is None else found

    def entries(self, node: tree.Node) -> Entries | None:
        known = self._entries.get(id(node))
        if known is None and isinstance(node, tree.Ident):
            local = self._local(node.name)
            known = local.entries if local is not None else None
        return known

    def set_entries(self, node: tree.Node, entries: Entries | None) -> None:
        if entries is not None:
            self._entries[id(node)] = entries

    def declared(self, path: Path) -> Range | None:
        return self._sizes(path)

    # -- calls -------------------------------------------------------------------------------------------------------

    def _call(self, node: tree.Call) -> Range:
        if node.function == "dyn" and node.arguments:
            return self._dyn(node)
        prices = [self.cost(each) for each in node.arguments]
        operands = [self._sized(each) for each in node.arguments]
        if not node.overloads:
            return ZERO
        total = ZERO
        target: Sized | None = None
        if node.target is not None:
            total = self.cost(node.target)
            target = self._sized(node.target)
        price = Range(MOST, 0)
        result: Range | None = None
        for overload in node.overloads:
            call = call_estimates.Call(node, node.function, overload, target, operands, prices)
            estimate = call_estimates.estimate(self, call)
            price = price.union(estimate.cost)
            if estimate.result is not None:
                result = estimate.result if result is None else result.union(estimate.result)
            result = self._indexed(node, overload, result)
            if result is None:
                result = self.size(node)
        if result is not None:
            self._computed[id(node)] = result
        return total.plus(price)

    def _indexed(self, node: tree.Call, overload: str, result: Range | None) -> Range | None:
        step = {"index_list": "@items", "index_map": "@values"}.get(overload)
        if step is None:
            return result
        container = node.arguments[0]
        self._paths[id(node)] = (*self.path(container), step)
        entries = self.entries(container)
        return entries.value if entries is not None else None

    def _dyn(self, node: tree.Call) -> Range:
        argument = node.arguments[0]
        price = self.cost(argument).plus(ONE)
        self._copy(node, argument)
        return price

    def _copy(self, node: tree.Node, source: tree.Node) -> None:
        size = self.size(source)
        if size is not None:
            self._computed[id(node)] = size
        self.set_entries(node, self.entries(source))

    def _sized(self, node: tree.Node) -> Sized:
        path: Path | None = self.path(node) or None
        if path and path[0] in (tree.ACCUMULATOR, "__result__"):
            path = None
        return Sized(_type(node), path, node, self.size(node))

    # -- literals ----------------------------------------------------------------------------------------------------

    def _list(self, node: tree.ListNode) -> Range:
        total = ZERO
        inner = Range(MOST if node.elements else 0, 0)
        for each in node.elements:
            total = total.plus(self.cost(each))
            inner = inner.union(self.size_or_unknown(each))
        self.set_entries(node, Entries("list", ONE, inner))
        return total.plus(fixed(10))

    def _map(self, node: tree.MapNode) -> Range:
        total = ZERO
        key = value = Range(MOST if node.entries else 0, 0)
        for entry in node.entries:
            total = total.plus(self.cost(entry.key)).plus(self.cost(entry.value))
            key = key.union(self.size_or_unknown(entry.key))
            value = value.union(self.size_or_unknown(entry.value))
        self.set_entries(node, Entries("map", key, value))
        return total.plus(fixed(30))

    # -- folds -------------------------------------------------------------------------------------------------------

    def _fold(self, node: tree.Comprehension) -> Range:
        total = self.cost(node.range).plus(self.cost(node.initial))
        self._push(node.accumulator, self.path(node.initial), self.size(node.initial), self.entries(node.initial))
        self._push_variables(node)
        condition = self.cost(node.condition)
        step = self.cost(node.step)
        self._locals[node.variable].pop()
        if node.second:
            self._locals[node.second].pop()
        total = total.plus(self.cost(node.result))
        self._locals[node.accumulator].pop()
        turns = self.size_or_unknown(node.range)
        total = total.plus(turns.times(step.plus(condition)))
        if isinstance(node.initial, tree.Literal):
            size = self.size(node.initial)
            if size is not None:
                self._computed[id(node)] = size
        elif isinstance(node.initial, tree.ListNode | tree.MapNode):
            self._computed[id(node)] = turns
            self.set_entries(node, self.entries(node.step))
        return total

    def _push_variables(self, node: tree.Comprehension) -> None:
        entries = self.entries(node.range)
        kind = entries.kind if entries is not None else _type(node.range).kind
        path = self.path(node.range)
        keys = ("@indices" if kind == "list" else "@keys", entries.key if entries is not None else None)
        values = ("@items" if kind == "list" else "@values", entries.value if entries is not None else None)
        if node.second:
            self._push(node.variable, (*path, keys[0]), keys[1], None)
            self._push(node.second, (*path, values[0]), values[1], None)
            return
        step, size = values if kind == "list" else ("@keys", keys[1])
        self._push(node.variable, (*path, step), size, None)

    def _push(self, name: str, path: Path, size: Range | None, entries: Entries | None) -> None:
        self._locals.setdefault(name, []).append(_Local(path, size, entries))

    def _bind(self, node: tree.Comprehension) -> Range:
        total = self.cost(node.range).plus(self.cost(node.initial))
        self._push(node.accumulator, self.path(node.initial), self.size(node.initial), self.entries(node.initial))
        total = total.plus(self.cost(node.result))
        self._locals[node.accumulator].pop()
        self._copy(node, node.result)
        return total


def _is_bind(node: tree.Comprehension) -> bool:
    return (
        isinstance(node.range, tree.ListNode)
        and not node.range.elements
        and isinstance(node.condition, tree.Literal)
        and node.condition.value is False
        and node.accumulator != "__result__"
    )


def _type(node: tree.Node) -> Type:
    return node.type or types.DYN


def _literal_size(node: tree.Node) -> Range | None:
    if isinstance(node, tree.Literal):
        return fixed(len(node.value) if isinstance(node.value, str | bytes) else 1)
    if isinstance(node, tree.ListNode):
        return fixed(len(node.elements))
    return fixed(len(node.entries)) if isinstance(node, tree.MapNode) else None


def _scalar(kind: Type) -> bool:
    return kind.kind in types.SCALARS or (types.is_optional(kind) and _scalar(kind.parameters[0]))
