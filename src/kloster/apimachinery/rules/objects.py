"""The rules of a definition evaluated for an object: what is violated, in the order and the words of upstream.

An object has a budget: when it is spent, no further rule runs and that is told. What was invalid before and has not
changed is a warning, not an error.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kloster.apimachinery import Object, golang
from kloster.apimachinery.cel.problems import CostExceeded, EvaluationError
from kloster.apimachinery.cel.program import PER_CALL, Program
from kloster.apimachinery.cel.values import NONE, Optional
from kloster.apimachinery.errors import ONLY_WARNING, FieldError, duplicate, forbidden_field, invalid_value, required
from kloster.apimachinery.rules.compilation import Compiled, compile_rules
from kloster.apimachinery.rules.conversion import Convert, converter
from kloster.apimachinery.rules.correlation import Correlated, by_key, key_of
from kloster.apimachinery.rules.declared import Declared, declare
from kloster.apimachinery.rules.escaping import escape
from kloster.apimachinery.structural.checks import field_path
from kloster.apimachinery.structural.model import Structural

#: What all rules together may cost for one object.
BUDGET = 10_000_000
_LONGEST_MESSAGE = 5 * 1024
_RULES = "x-kubernetes-validations"
_SPENT = "validation failed due to running out of cost budget, no further validation rules will be run"
_MESSAGE_SPENT = (
    "messageExpression evaluation failed due to running out of cost budget, no further validation rules will be run"
)


class Rules:
    """The rules of one version of a definition, compiled once."""

    def __init__(self, schema: Structural, minor: int) -> None:
        self._schema = schema
        self._root = _node(schema.raw, schema, declare(schema, "selfType", is_root=True), minor, is_root=True)

    def __bool__(self) -> bool:
        return self._root is not None

    def validate(self, new: Object, old: Object | None) -> list[FieldError]:
        """Findings; among them, as warnings only, what was invalid before and has not changed."""
        if self._root is None:
            return []
        run = _Run(Correlated(new, old, self._schema) if old is not None else None)
        run.visit(self._root, "", new, old, run.start, is_top=True)
        return run.found


class _Node:
    """A node of the schema with rules of its own or below."""

    __slots__ = (
        "additional",
        "all_of",
        "convert",
        "items",
        "list_keys",
        "paths",
        "properties",
        "rules",
        "type",
        "uses_old",
    )

    def __init__(self, schema: Structural, rules: list[Compiled]) -> None:
        self.type = schema.type
        self.rules = rules
        self.convert: Convert | None = None
        self.paths: list[str] = []
        self.properties: dict[str, _Node] = {}
        self.additional: _Node | None = None
        self.items: _Node | None = None
        self.all_of: list[_Node] = []
        self.list_keys = schema.list_keys if schema.list_type == "map" else ()
        self.uses_old = any(each.uses_old for each in rules)


def _node(
    validation: Object, schema: Structural, declared: Declared | None, minor: int, *, is_root: bool = False
) -> _Node | None:
    """`validation` holds the rules: the schema itself, or what an `allOf` adds to it."""
    rules = validation.get(_RULES) or []
    compiled = compile_rules(rules, declared, minor) if rules and declared is not None else []
    made = _Node(schema, compiled)
    made.convert = converter(schema) if compiled else None
    made.paths = [_path(schema, rule.get("fieldPath") or "") for rule in rules] if compiled else []
    element = declared.element if declared is not None else None
    items = validation.get("items")
    if isinstance(items, dict) and schema.items is not None:
        made.items = _node(items, schema.items, element, minor)
    for name, inner in (validation.get("properties") or {}).items():
        child = schema.properties.get(name)
        if child is not None and declared is not None:
            found = _property(name, inner, child, declared, minor)
            if found is not None:
                made.properties[name] = found
    additional = validation.get("additionalProperties")
    if isinstance(additional, dict) and isinstance(schema.additional, Structural):
        made.additional = _node(additional, schema.additional, element, minor)
    for each in validation.get("allOf") or ():
        found = _node(each, schema, declared, minor, is_root=is_root)
        if found is not None:
            made.all_of.append(found)
    if compiled or made.items or made.properties or made.additional or made.all_of:
        return made
    return None


def _property(name: str, validation: Object, schema: Structural, declared: Declared, minor: int) -> _Node | None:
    escaped = escape(name)
    inner = declare(schema, "selfType", is_root=schema.embedded) if escaped is None else declared.fields.get(escaped)
    return None if inner is None else _node(validation, schema, inner, minor)


def _path(schema: Structural, text: str) -> str:
    """The path of a rule's field as findings show it."""
    if not text:
        return ""
    shown = ""
    node = schema
    names, _, problem = field_path(schema, text)
    if problem:
        return ""
    for name in names:
        keyed = not node.properties and isinstance(node.additional, Structural)
        shown += f"[{name}]" if keyed else f".{name}" if shown else name
        inner = node.child(name)
        assert inner is not None
        node = inner
    return shown


class _Place:
    """Where the walk is among old and new: the pair at hand, and the nearest one above."""

    __slots__ = ("current", "nearest")

    def __init__(self, current: Correlated | None, nearest: Correlated | None) -> None:
        self.current = current
        self.nearest = nearest

    def unchanged(self) -> bool:
        judged = self.current if self.current is not None else self.nearest
        return judged is not None and judged.unchanged()

    def key(self, name: str, *, is_top: bool) -> _Place:
        if self.current is None:
            return self
        if is_top and name in ("apiVersion", "kind"):
            return _Place(None, None)
        return _Place(self.current.key(name), self.current)

    def index(self, at: int) -> _Place:
        return self if self.current is None else _Place(self.current.index(at), self.current)


class _Spent(Exception):
    """No further rule is to run."""


class _Run:
    """The rules of one object."""

    def __init__(self, correlated: Correlated | None) -> None:
        self.start = _Place(correlated, None)
        self.found: list[FieldError] = []
        self._left = BUDGET

    def visit(self, node: _Node, path: str, new: Any, old: Any, place: _Place, *, is_top: bool = False) -> None:
        try:
            self._visit(node, path, new, old, place, is_top)
        except _Spent:
            return

    def _visit(self, node: _Node, path: str, new: Any, old: Any, place: _Place, is_top: bool) -> None:
        if new is None:
            return
        if node.rules:
            self._evaluate(node, path, new, old, place)
        for each in node.all_of:
            self._visit(each, path, new, old, _Place(None, place.nearest), is_top)
        if isinstance(new, list):
            if node.items is not None:
                self._visit_items(node, node.items, path, new, old, place)
        elif isinstance(new, dict):
            self._visit_members(node, path, new, old if isinstance(old, dict) else {}, place, is_top)

    def _visit_items(self, node: _Node, inner: _Node, path: str, new: list[Any], old: Any, place: _Place) -> None:
        known = by_key(old, node.list_keys) if node.list_keys and isinstance(old, list) else {}
        for at, item in enumerate(new):
            before = known.get(key_of(item, node.list_keys)) if known else None
            self._visit(inner, f"{path}[{at}]", item, before, place.index(at), False)

    def _visit_members(self, node: _Node, path: str, new: Object, old: Object, place: _Place, is_top: bool) -> None:
        if node.additional is not None:
            for name, value in new.items():
                self._visit(
                    node.additional, f"{path}[{name}]", value, old.get(name), place.key(name, is_top=is_top), False
                )
        for name, inner in node.properties.items():
            if name in new:
                at = f"{path}.{name}" if path else name
                self._visit(inner, at, new[name], old.get(name), place.key(name, is_top=is_top), False)

    # -- one node ------------------------------------------------------------------------------------------------------

    def _evaluate(self, node: _Node, path: str, new: Any, old: Any, place: _Place) -> None:
        shown = path or "<nil>"
        if self._left <= 0:
            self._tell(invalid_value(shown, node.type, _SPENT))
            raise _Spent
        current = node.convert(new) if node.convert is not None else new
        before = None
        if node.uses_old and old is not None:
            before = node.convert(old) if node.convert is not None else old
        for rule, field in zip(node.rules, node.paths, strict=True):
            if rule.error:
                self._tell(invalid_value(shown, node.type, f"rule compile error: {rule.error}"))
                continue
            optional = bool(rule.raw.get("optionalOldSelf"))
            if rule.program is None or (rule.uses_old and old is None and not optional):
                continue
            previous = before
            if optional:
                previous = Optional(True, before) if old is not None else NONE
            verdict = self._run(rule, shown, node.type, current, previous)
            if verdict is not None and verdict is not True:
                at = f"{path}.{field}" if path and field and not field.startswith("[") else f"{path}{field}" or "<nil>"
                self._violated(rule, at, node.type, (current, previous), place)

    def _run(self, rule: Compiled, path: str, kind: str, current: Any, previous: Any) -> Any:
        """What a rule yields; None if it fails, which is told."""
        assert rule.program is not None
        frame = rule.program.frame(current, previous, limit=PER_CALL)
        failure: Exception | None = None
        verdict: Any = None
        try:
            verdict = rule.program.run(frame)
        except (EvaluationError, CostExceeded) as error:
            failure = error
        self._spend(frame.cost, path, kind)
        if failure is not None:
            self._failed(rule, path, kind, failure)
            return None
        return verdict is True

    def _spend(self, cost: int, path: str, kind: str) -> None:
        if cost > self._left:
            self._tell(invalid_value(path, kind, _SPENT))
            raise _Spent
        self._left -= cost

    def _failed(self, rule: Compiled, path: str, kind: str, failure: Exception) -> None:
        named, text = _named(rule.raw), str(failure)
        if isinstance(failure, CostExceeded):
            what = "no further validation rules will be run due to call cost exceeds limit for rule"
            self._tell(invalid_value(path, kind, f"'{text}': {what}: {named}"))
            raise _Spent
        if text.startswith("no such overload"):
            what = "call arguments did not match a supported operator, function or macro signature for rule"
            self._tell(invalid_value(path, kind, f"'{text}': {what}: {named}"))
        else:
            self._tell(invalid_value(path, kind, f"{text} evaluating rule: {named}"))

    def _violated(self, rule: Compiled, path: str, kind: str, values: tuple[Any, Any], place: _Place) -> None:
        text = ""
        ended = False
        if rule.message is not None:
            text, problem = self._message(rule.message, rule.raw["messageExpression"], values)
            if problem:
                ended = True
                self._add(rule, invalid_value(path, kind, problem), place)
        if ended:
            raise _Spent
        self._add(rule, _finding(path, kind, text or _message_of(rule.raw), rule.raw.get("reason")), place)

    def _add(self, rule: Compiled, finding: FieldError, place: _Place) -> None:
        if not rule.uses_old and place.unchanged():
            self._tell(FieldError(ONLY_WARNING, finding.field, str(finding)))
        else:
            self._tell(finding)

    def _tell(self, finding: FieldError) -> None:
        self.found.append(finding)

    def _message(self, message: Program, source: str, values: tuple[Any, Any]) -> tuple[str, str]:
        """(the message, what ends the validation). Where the expression yields nothing usable, both are empty."""
        frame = message.frame(*values, limit=PER_CALL)
        text: Any = None
        exceeded = False
        try:
            text = message.run(frame)
        except CostExceeded:
            exceeded = True
        except EvaluationError:
            pass
        if frame.cost > self._left:
            return "", _MESSAGE_SPENT
        self._left -= frame.cost
        if exceeded:
            what = "no further validation rules will be run due to call cost exceeds limit for messageExpression"
            return "", f"{what}: {golang.quoted(source)}"
        if not isinstance(text, str):
            return "", ""
        text = text.strip()
        usable = len(text.encode()) <= _LONGEST_MESSAGE and "\n" not in text
        return (text if usable else ""), ""


def _named(rule: Object) -> str:
    return str(rule.get("message") or rule.get("rule") or "").strip()


def _message_of(rule: Object) -> str:
    if rule.get("message"):
        return str(rule["message"]).strip()
    return f"failed rule: {_named(rule)}"


def _finding(path: str, kind: str, text: str, reason: Any) -> FieldError:
    match reason:
        case "FieldValueForbidden":
            return forbidden_field(path, text)
        case "FieldValueRequired":
            return required(path, text)
        case "FieldValueDuplicate":
            return duplicate(path, kind)
    return invalid_value(path, kind, text)


def compiled_rules(schema: Structural, minor: int) -> Iterator[Compiled]:
    """For tests and figures: every rule of a schema, compiled."""
    root = _node(schema.raw, schema, declare(schema, "selfType", is_root=True), minor, is_root=True)
    pending = [root] if root is not None else []
    while pending:
        node = pending.pop()
        yield from node.rules
        pending.extend(node.properties.values())
        pending.extend(each for each in (node.items, node.additional, *node.all_of) if each is not None)
