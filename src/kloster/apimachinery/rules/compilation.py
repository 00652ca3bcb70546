"""The rules of one node of a schema, compiled: programs, worst costs, and what is wrong with them."""

from __future__ import annotations

from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.cel import estimate, plan, program, tree, types, versions
from kloster.apimachinery.cel.declarations import Environment
from kloster.apimachinery.cel.problems import CompileError
from kloster.apimachinery.cel.ranges import Path, Range
from kloster.apimachinery.rules.declared import Declared, structures

SELF, OLD = "self", "oldSelf"


class Compiled:
    """One rule. `error` and `message_error` say what is wrong with its expressions, in upstream's words."""

    __slots__ = ("cost", "error", "message", "message_cost", "message_error", "program", "raw", "uses_old")

    def __init__(self, raw: Object) -> None:
        self.raw = raw
        self.program: program.Program | None = None
        self.message: program.Program | None = None
        self.cost = 0
        self.message_cost = 0
        self.error = ""
        self.message_error = ""
        self.uses_old = False


def compile_rules(rules: list[Object], declared: Declared, minor: int) -> list[Compiled]:
    """The rules of a node, whose type is `declared`, with the functions of Kubernetes 1.`minor`."""
    known = structures(declared)
    library = versions.library(minor)
    plain = Environment(library, {SELF: declared.type, OLD: declared.type}, known)
    optional = Environment(library, {SELF: declared.type, OLD: types.optional_of(declared.type)}, known)
    sizes = _Sizes(declared)
    return [_compile(rule, optional if rule.get("optionalOldSelf") else plain, sizes) for rule in rules]


def _compile(rule: Object, environment: Environment, sizes: _Sizes) -> Compiled:
    made = Compiled(rule)
    source = rule.get("rule") or ""
    if not source.strip():
        return made
    try:
        checked = program.compile_expression(source, environment)
    except CompileError as error:
        made.error = f"compilation failed: {error.text}"
        return made
    if checked.type != types.BOOL:
        made.error = "cel expression must evaluate to a bool"
        return made
    made.uses_old = _uses(checked.tree, OLD)
    try:
        made.program = program.Program(checked)
    except plan.ProgramError as error:
        made.error = f"program instantiation failed: {error}"
        return made
    made.cost = estimate.cost(checked.tree, sizes).most
    if rule.get("messageExpression"):
        _compile_message(made, environment, sizes)
    return made


def _compile_message(made: Compiled, environment: Environment, sizes: _Sizes) -> None:
    try:
        checked = program.compile_expression(made.raw["messageExpression"], environment)
    except CompileError as error:
        made.message_error = f"messageExpression compilation failed: {error.text}"
        return
    if checked.type != types.STRING:
        made.message_error = "messageExpression must evaluate to a string"
        return
    try:
        made.message = program.Program(checked)
    except plan.ProgramError as error:
        made.message_error = f"messageExpression instantiation failed: {error}"
        return
    made.message_cost = estimate.cost(checked.tree, sizes).most


def _uses(root: tree.Node, name: str) -> bool:
    pending: list[Any] = [root]
    while pending:
        node = pending.pop()
        if isinstance(node, tree.Ident) and node.name == name:
            return True
        pending.extend(tree.children(node))
    return False


class _Sizes:
    """How large the value at a path can be, by the schema."""

    __slots__ = ("_root",)

    def __init__(self, root: Declared) -> None:
        self._root = root

    def __call__(self, path: Path) -> Range | None:
        if not path:
            return None
        node: Declared | None = self._root
        for step in path[1:]:
            if node is None:
                return None
            if step in ("@items", "@values"):
                node = node.element
            elif step == "@keys":
                node = node.key
            else:
                node = node.fields.get(step)
        return None if node is None else Range(0, node.most)
