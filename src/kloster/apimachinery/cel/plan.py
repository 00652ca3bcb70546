"""From a checked tree to Python closures: evaluation, and what it costs, the way cel-go counts.

Every node becomes a function of a `Frame`, which holds the variables and what was spent. Chains of fields, the common
case, become one function that walks a tuple of keys. An error is a Python exception; `&&`, `||`, `all` and `exists`
absorb it when the other side decides. The limit is looked at where costs can grow: in loops, behind calls that have a
price, and at the end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kloster.apimachinery.structural import patterns

from . import closures, comprehensions, dispatch, tree, types
from .numbers import UInt
from .problems import EvaluationError
from .values import Optional

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .declarations import Environment
    from .frames import Closure, Frame

_CONVERSIONS = {"bool", "bytes", "double", "duration", "dyn", "int", "string", "timestamp", "type", "uint"}


class ProgramError(Exception):
    """A constant of the expression cannot be converted, hence no program can be made of it."""


@dataclass(frozen=True, slots=True)
class _Constant:
    value: Any


class Planner:
    """Plans one expression. `slots` says where the frame holds which variable."""

    def __init__(self, environment: Environment, slots: Mapping[str, int]) -> None:
        self._environment = environment
        self._slots = dict(slots)
        self.size = len(slots)

    def plan(self, node: tree.Node) -> Closure:
        constant = self._constant(node)
        if constant is not None:
            value = constant.value
            return lambda _: value
        match node:
            case tree.ListNode():
                return self._list(node)
            case tree.MapNode():
                return self._map(node)
            case tree.StructNode():
                return self._struct(node)
            case tree.Comprehension():
                return comprehensions.plan(self, node)
            case tree.Call():
                special = self._special(node)
                return special if special is not None else self._call(node)
        return self._attribute(node, observed=True)

    def scoped(self, name: str) -> tuple[int, int | None]:
        """A slot for a variable of a comprehension, and the one that it hides."""
        hidden = self._slots.get(name)
        self._slots[name] = self.size
        self.size += 1
        return self.size - 1, hidden

    def unscope(self, name: str, hidden: int | None) -> None:
        if hidden is None:
            del self._slots[name]
        else:
            self._slots[name] = hidden

    # -- constants ---------------------------------------------------------------------------------------------------

    def _constant(self, node: tree.Node) -> _Constant | None:
        """The value of a node that upstream computes before evaluation, which then costs nothing."""
        match node:
            case tree.Literal():
                return _Constant(node.value)
            case tree.Ident() | tree.Select() if self._is_type_name(node):
                assert node.type is not None
                return _Constant(node.type.parameters[0])
            case tree.ListNode():
                found = [self._constant(each) for each in node.elements]
                return _Constant([each.value for each in found if each]) if all(found) else None
            case tree.MapNode():
                return self._constant_map(node)
            case tree.Call() if node.function in _CONVERSIONS and node.target is None and len(node.arguments) == 1:
                return self._converted(node)
            case tree.Call() if node.function == "@in" and node.overloads == ["in_list"]:
                container = node.arguments[1]
                return _Constant(False) if isinstance(container, tree.ListNode) and not container.elements else None
        return None

    def _is_type_name(self, node: tree.Node) -> bool:
        name = tree.qualified_name(node)
        if node.type is None or node.type.kind != "type" or not node.type.parameters or name is None:
            return False
        return name not in self._slots and (isinstance(node, tree.Ident) or bool(node.overloads))

    def _constant_map(self, node: tree.MapNode) -> _Constant | None:
        built: dict[Any, Any] = {}
        for entry in node.entries:
            key, value = self._constant(entry.key), self._constant(entry.value)
            if key is None or value is None:
                return None
            try:
                built[key.value] = value.value
            except TypeError:
                return None
        return _Constant(built)

    def _converted(self, node: tree.Call) -> _Constant | None:
        argument = self._constant(node.arguments[0])
        if argument is None:
            return None
        call, _ = dispatch.resolve(self._environment, node)
        try:
            return _Constant(call(argument.value))
        except EvaluationError as error:
            raise ProgramError(str(error)) from None

    # -- attributes: variables, fields, indexes ------------------------------------------------------------------------

    def resolve(self, node: tree.Node) -> Closure:
        """An operand that upstream looks up rather than evaluates: a variable itself then costs nothing."""
        if isinstance(node, tree.Ident | tree.Select) or _indexes(node):
            return self._attribute(node, observed=False)
        return self.plan(node)

    def _attribute(self, node: tree.Node, *, observed: bool) -> Closure:
        if isinstance(node, tree.Select) and node.test_only:
            return self._presence(node)
        base, qualifiers = self._flattened(node)
        slot = self._slot(base)
        if isinstance(base, tree.Call) and base.function == "_?_:_":
            price = 0
        else:
            price = 1 if observed else 0
        if slot is not None and not qualifiers:
            return closures.variable(slot, price)
        if slot is not None and all(each.closure is None and not each.optional for each in qualifiers):
            keys = tuple(each.key for each in qualifiers)
            return closures.chain_of(slot, keys, price + len(keys))
        return closures.general(self._base(base, slot), qualifiers, price)

    def _base(self, base: tree.Node, slot: int | None) -> Closure:
        return closures.variable(slot, 0) if slot is not None else self.plan(base)

    def _slot(self, node: tree.Node) -> int | None:
        name = tree.qualified_name(node)
        if name is None or not isinstance(node, tree.Ident | tree.Select):
            return None
        if isinstance(node, tree.Select) and not node.overloads:
            return None
        found = self._slots.get(name)
        if found is None:
            raise ProgramError(f"no such attribute(s): {name}")
        return found

    def _flattened(self, node: tree.Node) -> tuple[tree.Node, list[closures.Qualifier]]:
        steps: list[closures.Qualifier] = []
        while True:
            if isinstance(node, tree.Select) and not node.test_only and not node.overloads:
                steps.append(closures.Qualifier(self._json_name(node.operand, node.field_name), None, False))
                node = node.operand
            elif isinstance(node, tree.Call) and node.function == "_?._":
                field = node.arguments[1]
                assert isinstance(field, tree.Literal)
                steps.append(closures.Qualifier(self._json_name(node.arguments[0], str(field.value)), None, True))
                node = node.arguments[0]
            elif isinstance(node, tree.Call) and node.function in ("_[_]", "_[?_]"):
                optional = node.function == "_[?_]"
                constant = self._constant(node.arguments[1])
                if constant is not None:
                    if constant.value is None or isinstance(constant.value, bytes):
                        kind = "Null" if constant.value is None else "Bytes"
                        raise ProgramError(f"invalid qualifier type: types.{kind}")
                    steps.append(closures.Qualifier(constant.value, None, optional))
                else:
                    steps.append(closures.Qualifier(None, self.resolve(node.arguments[1]), optional))
                node = node.arguments[0]
            else:
                return node, steps[::-1]

    def _json_name(self, operand: tree.Node, name: str) -> str:
        kind = operand.type
        if kind is not None and types.is_optional(kind):
            kind = kind.parameters[0]
        if kind is None or kind.kind != "struct":
            return name
        declared = self._environment.structures.get(kind.name)
        field = declared.fields.get(name) if declared is not None else None
        return field.json_name if field is not None else name

    def _presence(self, node: tree.Select) -> Closure:
        base, qualifiers = self._flattened(node.operand)
        slot = self._slot(base)
        last = self._json_name(node.operand, node.field_name)
        if slot is not None and all(each.closure is None and not each.optional for each in qualifiers):
            return closures.chain_presence(slot, tuple(each.key for each in qualifiers), last)
        inner = closures.general(self._base(base, slot), qualifiers, 0)

        def presence(frame: Frame) -> bool:
            value = inner(frame)
            frame.cost += 1
            if isinstance(value, Optional):
                value = value.value if value.present else None
            return closures.has(value, last)

        return presence

    # -- literals ----------------------------------------------------------------------------------------------------

    def _list(self, node: tree.ListNode) -> Closure:
        parts = [(self.plan(each), at in node.optional) for at, each in enumerate(node.elements)]
        if not node.optional:
            plain = [closure for closure, _ in parts]

            def simple(frame: Frame) -> list[Any]:
                made = [closure(frame) for closure in plain]
                frame.cost += 10
                return made

            return simple

        def with_optionals(frame: Frame) -> list[Any]:
            made: list[Any] = []
            for closure, optional in parts:
                value = closure(frame)
                if not optional:
                    made.append(value)
                elif not isinstance(value, Optional):
                    raise EvaluationError(f"cannot initialize optional list element from non-optional value {value}")
                elif value.present:
                    made.append(value.value)
            frame.cost += 10
            return made

        return with_optionals

    def _map(self, node: tree.MapNode) -> Closure:
        parts = [(self.plan(entry.key), self.plan(entry.value), entry.optional) for entry in node.entries]

        def build(frame: Frame) -> dict[Any, Any]:
            made: dict[Any, Any] = {}
            for key, value, optional in parts:
                closures.put(made, key(frame), value(frame), optional)
            frame.cost += 30
            return made

        return build

    def _struct(self, node: tree.StructNode) -> Closure:
        declared = self._environment.structures[node.type_name]
        parts = [(declared.fields[each.name].json_name, self.plan(each.value), each.optional) for each in node.fields]

        def build(frame: Frame) -> dict[str, Any]:
            made: dict[str, Any] = {}
            for name, value, optional in parts:
                closures.put(made, name, value(frame), optional)
            frame.cost += 40
            return made

        return build

    # -- calls -------------------------------------------------------------------------------------------------------

    def _special(self, node: tree.Call) -> Closure | None:
        """Operators that do not evaluate all that they are given."""
        match node.function:
            case "_&&_":
                return closures.conjunction(self.plan(node.arguments[0]), self.plan(node.arguments[1]), False)
            case "_||_":
                return closures.conjunction(self.plan(node.arguments[0]), self.plan(node.arguments[1]), True)
            case "_?_:_":
                condition, positive, negative = node.arguments
                return closures.conditional(self.plan(condition), self.resolve(positive), self.resolve(negative))
            case "_[_]" | "_[?_]" | "_?._":
                return self._attribute(node, observed=True)
            case "@not_strictly_false":
                return closures.not_strictly_false(self.plan(node.arguments[0]))
            case "or" | "orValue" if node.target is not None:
                return closures.otherwise(self.plan(node.target), self.plan(node.arguments[0]), node.function == "or")
            case "@in" if node.overloads == ["in_list"]:
                return self._membership(node)
        return None

    def _membership(self, node: tree.Call) -> Closure | None:
        """`x in ['a', 'b']` with constants only is a set, which costs nothing."""
        constant = self._constant(node.arguments[1])
        if constant is None or not all(type(each) in (str, int, bool, float, UInt) for each in constant.value):
            return None
        closure = self.plan(node.arguments[0])
        strings = frozenset(each for each in constant.value if type(each) is str)
        if len(strings) == len(set(constant.value)):
            return lambda frame: (value := closure(frame)).__class__ is str and value in strings
        members = [(type(each) is bool, each) for each in constant.value]

        def member(frame: Frame) -> bool:
            value = closure(frame)
            try:
                return (type(value) is bool, value) in members
            except TypeError:
                return False

        return member

    def _compiled_pattern(self, node: tree.Call) -> None:
        """A constant pattern is compiled when the program is made."""
        pattern = self._constant(node.arguments[0])
        if pattern is not None and isinstance(pattern.value, str):
            try:
                patterns.compile(pattern.value)
            except patterns.PatternError as error:
                raise ProgramError(str(error)) from None

    def _matcher(self, node: tree.Call) -> Any:
        """`matches` with a constant pattern, compiled once; None if it is not, or will not do."""
        pattern = self._constant(node.arguments[0])
        target = node.target.type if node.target is not None else None
        if pattern is None or not isinstance(pattern.value, str) or target != types.STRING:
            return None
        try:
            search = patterns.compile(pattern.value).search
        except patterns.PatternError:
            return None
        return lambda text, _: search(text) is not None

    def _call(self, node: tree.Call) -> Closure:
        operands = ([node.target] if node.target is not None else []) + node.arguments
        planned = [self.plan(each) for each in operands]
        call, cost = dispatch.resolve(self._environment, node)
        if node.function in ("find", "findAll"):
            self._compiled_pattern(node)
        if node.function == "matches" and node.overloads == ["matches_string"]:
            call = self._matcher(node) or call
        if cost is None:
            return closures.unpriced(call, planned)
        return closures.priced(call, planned, cost)


def _indexes(node: tree.Node) -> bool:
    return isinstance(node, tree.Call) and node.function in ("_[_]", "_[?_]", "_?._")
