"""What is checked of constants once the types are right: durations, timestamps, regular expressions, formats, and that
the elements of a literal are of one type."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kloster.apimachinery.structural import patterns

from . import tree, types
from .functions import formatting, times
from .problems import CompileError, EvaluationError, Issue, render
from .values import printed_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .declarations import Environment
    from .types import Type


def check(source: str, root: tree.Node, environment: Environment) -> None:
    """Raises CompileError with all findings."""
    if not environment.library.checked_literals:
        return
    nodes = list(_all(root, exempt=False))
    issues: list[Issue] = []
    for function, judge in _JUDGES.items():
        for node, _ in nodes:
            if isinstance(node, tree.Call) and node.function == function:
                issues.extend(_constant(node, function, judge))
    for node, exempt in nodes:
        if isinstance(node, tree.ListNode) and not exempt:
            issues.extend(_homogeneous_list(node))
    for node, exempt in nodes:
        if isinstance(node, tree.MapNode) and not exempt:
            issues.extend(_homogeneous_map(node))
    for node, _ in nodes:
        if isinstance(node, tree.Call) and node.function == "format" and node.target is not None:
            issues.extend(_format(node))
    if issues:
        raise CompileError(render(source, issues))


def _all(node: tree.Node, *, exempt: bool) -> Iterator[tuple[tree.Node, bool]]:
    """Every node, and whether it stands inside of a call of `format`, which takes mixed lists."""
    pending = [(node, exempt)]
    while pending:
        each, inside = pending.pop()
        yield each, inside
        within = inside or (isinstance(each, tree.Call) and each.function == "format")
        pending.extend((child, within) for child in reversed(tree.children(each)))


def _duration(text: object) -> bool:
    return not isinstance(text, str) or times.parse_span(text) is not None


def _timestamp(text: object) -> bool:
    try:
        return not isinstance(text, str | int) or times.to_timestamp(text) is not None
    except EvaluationError:
        return False


def _pattern(text: object) -> bool:
    try:
        return not isinstance(text, str) or patterns.compile(text) is not None
    except patterns.PatternError:
        return False


_JUDGES: dict[str, Callable[[object], bool]] = {"duration": _duration, "timestamp": _timestamp, "matches": _pattern}


def _constant(node: tree.Call, function: str, judge: Callable[[object], bool]) -> Iterator[Issue]:
    if node.arguments and isinstance(node.arguments[0], tree.Literal) and not judge(node.arguments[0].value):
        yield Issue(node.arguments[0].offset, f"invalid {function} argument")


def _homogeneous_list(node: tree.ListNode) -> Iterator[Issue]:
    first: Type | None = None
    for at, each in enumerate(node.elements):
        kind = _kind(each, at in node.optional)
        if first is None:
            first = kind
        elif kind != first:
            yield _mixed(each, first, kind)
            return


def _homogeneous_map(node: tree.MapNode) -> Iterator[Issue]:
    first: tuple[Type, Type] | None = None
    for entry in node.entries:
        kinds = (_kind(entry.key, False), _kind(entry.value, entry.optional))
        if first is None:
            first = kinds
            continue
        for each, wanted, given in zip((entry.key, entry.value), first, kinds, strict=True):
            if wanted != given:
                yield _mixed(each, wanted, given)


def _kind(node: tree.Node, optional: bool) -> Type:
    kind = node.type or types.DYN
    return kind.parameters[0] if optional and types.is_optional(kind) else kind


def _mixed(node: tree.Node, wanted: Type, given: Type) -> Issue:
    return Issue(node.offset, f"expected type '{wanted}' but found '{given}'")


def _format(node: tree.Call) -> Iterator[Issue]:
    target, given = node.target, node.arguments[0]
    if not isinstance(target, tree.Literal) or not isinstance(given, tree.ListNode):
        return
    if "string_format" not in node.overloads:
        return
    count = len(given.elements)
    try:
        clauses = [clause for _, clause in formatting.clauses(str(target.value), count) if clause]
    except formatting.Misformatted as error:
        yield Issue(node.offset, str(error))
        return
    for clause, element in zip(clauses, given.elements, strict=False):
        refused = _refused(clause[-1], element)
        if refused is not None:
            yield Issue(refused[0].offset, f"error during formatting: {refused[1]}")
            return
    if count > len(clauses):
        wanted = f"expected {len(clauses)}, got {count}"
        yield Issue(node.offset, f"too many arguments supplied to string.format ({wanted})")


def _refused(clause: str, node: tree.Node) -> tuple[tree.Node, str] | None:
    kind = node.type or types.DYN
    if kind.kind != "dyn":
        complaint = formatting.refusal(clause, printed_name(kind))
        if complaint:
            return node, complaint
    if clause == "s" and isinstance(node, tree.ListNode | tree.MapNode):
        for each in tree.children(node):
            found = _refused(clause, each)
            if found is not None:
                return found
    return None
