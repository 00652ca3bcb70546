"""The type checker: every node gets a type, every call its overloads, in cel-go's order and with its findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import tree, types, unification
from .numbers import UInt
from .problems import CompileError, Issue, render

if TYPE_CHECKING:
    from .declarations import Environment, Function
    from .types import Type

_LITERALS: dict[type, Type] = {
    bool: types.BOOL,
    int: types.INT,
    UInt: types.UINT,
    float: types.DOUBLE,
    str: types.STRING,
    bytes: types.BYTES,
    type(None): types.NULL,
}


def check(source: str, root: tree.Node, environment: Environment) -> Type:
    """Type the tree and return what the whole yields. Raises CompileError with all findings."""
    checker = _Checker(environment)
    checker.check(root)
    if checker.issues:
        raise CompileError(render(source, checker.issues))
    _settle(root, checker.mapping)
    assert root.type is not None
    return root.type


def _settle(root: tree.Node, mapping: unification.Mapping) -> None:
    """Replace what is left of type parameters."""
    pending = [root]
    while pending:
        node = pending.pop()
        if node.type is not None:
            node.type = unification.substitute(mapping, node.type, to_dynamic=True)
        pending.extend(tree.children(node))


class _Checker:
    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._functions = environment.library.functions
        self._scopes: list[dict[str, Type]] = []
        self._fresh = 0
        self.mapping: unification.Mapping = {}
        self.issues: list[Issue] = []

    def check(self, node: tree.Node) -> None:
        match node:
            case tree.Literal():
                node.type = _LITERALS[type(node.value)]
            case tree.Ident():
                self._ident(node)
            case tree.Select():
                self._select(node)
            case tree.Call():
                self._call(node)
            case tree.ListNode():
                self._list(node)
            case tree.MapNode():
                self._map(node)
            case tree.StructNode():
                self._struct(node)
            case tree.Comprehension():
                self._comprehension(node)

    # -- names -------------------------------------------------------------------------------------------------------

    def _lookup(self, name: str) -> Type | None:
        name = name.removeprefix(".")
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        declared = self._environment.variables.get(name)
        if declared is not None:
            return declared
        structure = self._environment.structures.get(name)
        if structure is not None:
            return types.type_of(types.struct(name))
        known = self._environment.library.types.get(name)
        return types.type_of(known) if known is not None else None

    def _ident(self, node: tree.Ident) -> None:
        found = self._lookup(node.name)
        node.name = node.name.removeprefix(".") if found is not None else node.name
        if found is None:
            self._undeclared(node.offset, node.name)
            found = types.ERROR
        node.type = found

    def _undeclared(self, offset: int, name: str) -> None:
        self._tell(offset, f"undeclared reference to '{name}' (in container '')")

    def _select(self, node: tree.Select) -> None:
        name = tree.qualified_name(node)
        if name is not None:
            found = self._lookup(name)
            if found is not None:
                node.type = found
                node.overloads = [name]
                return
        result = self._field(node.offset, node.operand, node.field_name, optional=False)
        node.type = self._resolved(types.BOOL if node.test_only else result)

    def _field(self, offset: int, operand: tree.Node, name: str, *, optional: bool) -> Type:
        self.check(operand)
        target = self._resolved(_typed(operand))
        held = types.is_optional(target)
        if held:
            target = target.parameters[0]
        result = types.DYN
        if target.kind == "map":
            result = target.parameters[1]
        elif target.kind == "struct":
            result = self._field_type(offset, target.name, name)
        elif target.kind == "parameter":
            self._fits(types.DYN, target)
        elif target.kind not in ("dyn", "error"):
            self._tell(offset, f"type '{target}' does not support field selection")
        return types.optional_of(result) if held or optional else result

    def _field_type(self, offset: int, structure: str, name: str) -> Type:
        declared = self._environment.structures.get(structure)
        if declared is None:
            self._tell(offset, f"unexpected failed resolution of '{structure}'")
            return types.ERROR
        found = declared.fields.get(name)
        if found is None:
            self._tell(offset, f"undefined field '{name}'")
            return types.ERROR
        return found.type

    # -- calls -------------------------------------------------------------------------------------------------------

    def _call(self, node: tree.Call) -> None:
        # A macro may use one node twice.
        node.overloads = []
        if node.function == "_?._":
            self._optional_select(node)
            return
        for argument in node.arguments:
            self.check(argument)
        if node.target is None:
            name = node.function.removeprefix(".")
            self._resolve(node, self._functions.get(name), name)
            return
        prefix = tree.qualified_name(node.target)
        if prefix is not None:
            qualified = f"{prefix}.{node.function}".removeprefix(".")
            namespaced = self._functions.get(qualified)
            if namespaced is not None:
                node.target = None
                node.function = qualified
                self._resolve(node, namespaced, qualified)
                return
        self.check(node.target)
        self._resolve(node, self._functions.get(node.function), node.function)

    def _optional_select(self, node: tree.Call) -> None:
        field = node.arguments[1]
        assert isinstance(field, tree.Literal)
        field.type = types.STRING
        result = self._field(node.offset, node.arguments[0], str(field.value), optional=True)
        node.type = self._resolved(result)
        node.overloads = ["select_optional_field"]

    def _resolve(self, node: tree.Call, function: Function | None, name: str) -> None:
        if function is None:
            self._undeclared(node.offset, node.function)
            node.type = types.ERROR
            return
        node.function = name
        if name in ("_&&_", "_||_"):
            self._junctor(node)
            return
        given = [_typed(each) for each in ([node.target] if node.target is not None else []) + node.arguments]
        result: Type | None = None
        for overload in function.overloads:
            if overload.member != (node.target is not None) or not self._enabled(overload.id):
                continue
            arguments, yields = overload.arguments, overload.result
            if overload.generic:
                arguments, yields = self._instantiated(arguments, yields)
            mapping = unification.assignable_lists(self.mapping, given, arguments)
            if mapping is None:
                continue
            self.mapping = mapping
            node.overloads.append(overload.id)
            yielded = self._resolved(yields)
            if result is None:
                result = yielded
            elif not unification.is_dynamic(result) and yielded != result:
                result = types.DYN
        if result is None:
            self._no_overload(node, name, given)
            result = types.ERROR
        node.type = result

    def _junctor(self, node: tree.Call) -> None:
        node.overloads = ["logical_and" if node.function == "_&&_" else "logical_or"]
        node.type = types.BOOL
        for argument in node.arguments:
            given = _typed(argument)
            if not self._fits(given, types.BOOL):
                self._mismatch(argument.offset, types.BOOL, given)
                node.type = types.ERROR

    def _enabled(self, identifier: str) -> bool:
        return self._environment.library.mixed_numbers or identifier not in _MIXED

    def _instantiated(self, arguments: tuple[Type, ...], result: Type) -> tuple[tuple[Type, ...], Type]:
        fresh: unification.Mapping = {}
        for each in (*arguments, result):
            self._name_parameters(each, fresh)
        replaced = tuple(unification.substitute(fresh, each, to_dynamic=False) for each in arguments)
        return replaced, unification.substitute(fresh, result, to_dynamic=False)

    def _name_parameters(self, each: Type, fresh: unification.Mapping) -> None:
        if each.kind == "parameter" and each.text not in fresh:
            fresh[each.text] = self._variable()
        for inner in each.parameters:
            self._name_parameters(inner, fresh)

    def _no_overload(self, node: tree.Call, name: str, given: list[Type]) -> None:
        texts = [unification.substitute(self.mapping, each, to_dynamic=True).text for each in given]
        receiver = f"{texts.pop(0)}." if node.target is not None else ""
        applied = f"{receiver}({', '.join(texts)})"
        self._tell(node.offset, f"found no matching overload for '{name}' applied to '{applied}'")

    # -- literals ----------------------------------------------------------------------------------------------------

    def _list(self, node: tree.ListNode) -> None:
        element: Type | None = None
        for at, each in enumerate(node.elements):
            self.check(each)
            given = self._unwrapped(each, at in node.optional)
            element = self._joined(element, given)
        node.type = types.list_of(element if element is not None else self._variable())

    def _unwrapped(self, node: tree.Node, optional: bool) -> Type:
        given = _typed(node)
        if not optional:
            return given
        if types.is_optional(given):
            return given.parameters[0]
        if not unification.is_dynamic(given):
            self._mismatch(node.offset, types.optional_of(given), given)
        return given

    def _map(self, node: tree.MapNode) -> None:
        key: Type | None = None
        value: Type | None = None
        for entry in node.entries:
            self.check(entry.key)
            key = self._joined(key, _typed(entry.key))
            self.check(entry.value)
            value = self._joined(value, self._unwrapped(entry.value, entry.optional))
        if key is None or value is None:
            key, value = self._variable(), self._variable()
        node.type = types.map_of(key, value)

    def _struct(self, node: tree.StructNode) -> None:
        found = self._lookup(node.type_name)
        if found is None:
            self._undeclared(node.offset, node.type_name)
            node.type = types.ERROR
            return
        node.type = types.ERROR
        if found.kind != "type" or not found.parameters:
            self._tell(node.offset, f"'{found.name}' is not a type")
            return
        named = found.parameters[0]
        if named.kind != "struct":
            self._tell(node.offset, f"'{named.name}' is not a message type")
            return
        node.type_name = named.name
        node.type = named
        for entry in node.fields:
            self.check(entry.value)
            declared = self._field_type(entry.offset, named.name, entry.name)
            given = self._unwrapped(entry.value, entry.optional)
            if not self._fits(declared, given):
                self._tell(
                    entry.offset,
                    f"expected type of field '{entry.name}' is '{declared}' but provided type is '{given}'",
                )

    def _joined(self, previous: Type | None, current: Type) -> Type:
        if previous is None:
            return current
        if self._fits(previous, current):
            return unification.most_general(previous, current)
        # A later check tells that the elements are of several types; until then the literal holds anything.
        return types.DYN

    # -- comprehensions ----------------------------------------------------------------------------------------------

    def _comprehension(self, node: tree.Comprehension) -> None:
        self.check(node.range)
        self.check(node.initial)
        ranged = self._resolved(_typed(node.range))
        gathered = _typed(node.initial)
        self._scopes.append({node.accumulator: gathered})
        first, second = self._iterated(node, ranged)
        self._scopes.append({node.variable: first, **({node.second: second} if node.second else {})})
        self.check(node.condition)
        self._demand(node.condition, types.BOOL)
        self.check(node.step)
        self._demand(node.step, gathered)
        self._scopes.pop()
        self.check(node.result)
        self._scopes.pop()
        node.type = self._resolved(_typed(node.result))

    def _iterated(self, node: tree.Comprehension, ranged: Type) -> tuple[Type, Type]:
        two = node.second is not None
        if ranged.kind == "list":
            element = ranged.parameters[0] if ranged.parameters else types.DYN
            return (types.INT, element) if two else (element, element)
        if ranged.kind == "map":
            key, value = ranged.parameters if ranged.parameters else (types.DYN, types.DYN)
            return key, value
        if ranged.kind in ("dyn", "error", "parameter"):
            self._fits(types.DYN, ranged)
            return types.DYN, types.DYN
        complaint = "cannot be range of a comprehension (must be list, map, or dynamic)"
        self._tell(node.range.offset, f"expression of type '{ranged}' {complaint}")
        return types.ERROR, types.ERROR

    # -- helpers -----------------------------------------------------------------------------------------------------

    def _demand(self, node: tree.Node, wanted: Type) -> None:
        given = _typed(node)
        if not self._fits(wanted, given):
            self._mismatch(node.offset, wanted, given)

    def _fits(self, left: Type, right: Type) -> bool:
        mapping = unification.assignable(self.mapping, left, right)
        if mapping is None:
            return False
        self.mapping = mapping
        return True

    def _resolved(self, each: Type) -> Type:
        return unification.substitute(self.mapping, each, to_dynamic=False)

    def _variable(self) -> Type:
        self._fresh += 1
        return types.parameter(f"_var{self._fresh - 1}")

    def _mismatch(self, offset: int, expected: Type, given: Type) -> None:
        self._tell(offset, f"expected type '{expected}' but found '{given}'")

    def _tell(self, offset: int, message: str) -> None:
        self.issues.append(Issue(offset, message))


def _typed(node: tree.Node) -> Type:
    return node.type if node.type is not None else types.ERROR


_MIXED = {
    f"{comparison}_{pair}"
    for comparison in ("less", "less_equals", "greater", "greater_equals")
    for pair in ("int64_double", "int64_uint64", "uint64_double", "uint64_int64", "double_int64", "double_uint64")
}
