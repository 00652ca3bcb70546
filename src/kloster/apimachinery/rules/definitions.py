"""What is checked of rules when a definition is written: types, and that they cannot cost too much.

A rule's cost is its own worst cost times how often its node can occur in an object. Costs have a limit for each rule
and one for the whole schema. Findings follow those of the schema, inner nodes first.
"""

from __future__ import annotations

from collections.abc import Iterator

from kloster.apimachinery import Object
from kloster.apimachinery.cel.macros import loops_of
from kloster.apimachinery.cel.ranges import MOST
from kloster.apimachinery.errors import FieldError, forbidden_field, invalid_value
from kloster.apimachinery.rules.compilation import Compiled, compile_rules
from kloster.apimachinery.rules.declared import REQUEST, Declared, declare
from kloster.apimachinery.rules.escaping import escape
from kloster.apimachinery.structural.model import Structural

RULES = "x-kubernetes-validations"
_RULE_LIMIT = 10_000_000
_SCHEMA_LIMIT = 100_000_000
_TYPE = "selfType"
_SHOWN = ("Rule", "Message", "MessageExpression", "Reason", "FieldPath", "OptionalOldSelf")


def validate(schema: Object, path: str, minor: int) -> list[FieldError]:
    """Findings about the rules of a schema that is valid otherwise, for new expressions in Kubernetes 1.`minor`."""
    if not _has_rules(schema):
        return []
    # What a server one minor older would not understand is not taken from anybody new.
    judge = _Judge(minor - 1)
    judge.walk(schema, path, None, _Occurring(1), "", is_root=True)
    return [*judge.found, *judge.total(path)]


def _has_rules(schema: Object) -> bool:
    if schema.get(RULES):
        return True
    inner = [schema.get("items"), schema.get("additionalProperties"), *(schema.get("properties") or {}).values()]
    return any(isinstance(each, dict) and _has_rules(each) for each in inner)


#: So many rules that look at each of many items take as long as one that looks at all pairs.
_MANY_LOOPS = 20


def loops(schema: Object) -> int:
    """How the time that the rules take grows with the size of an object: 0 as its parts that are named, 1 as the
    number of its items, 2 as that of their pairs, or worse."""
    degrees = list(_degrees(schema, 0))
    return 2 if len(degrees) > _MANY_LOOPS else min(max(degrees, default=0), 2)


def _degrees(schema: Object, above: int) -> Iterator[int]:
    """How many loops are nested at most, for each rule that loops: its own, and the lists and maps around it."""
    for rule in schema.get(RULES) or ():
        degree = above + loops_of(rule.get("rule") or "")
        if degree:
            yield degree
    for inner in (schema.get("properties") or {}).values():
        yield from _degrees(inner, above)
    for name in ("items", "additionalProperties"):
        inner = schema.get(name)
        if isinstance(inner, dict):
            yield from _degrees(inner, above + 1)


class _Occurring:
    """How often a node can occur at most; None if nothing bounds it."""

    __slots__ = ("times",)

    def __init__(self, times: int | None) -> None:
        self.times = times

    def below(self, schema: Object) -> _Occurring:
        if self.times is None:
            return self
        most: int | None = 1
        if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), dict):
            most = schema.get("maxProperties")
        elif schema.get("type") == "array":
            most = schema.get("maxItems")
        return _Occurring(None if most is None else min(self.times * max(most, 0), MOST))


class _Judge:
    def __init__(self, minor: int) -> None:
        self._minor = minor
        self._sum = 0
        self._expensive: list[tuple[int, str]] = []
        self.found: list[FieldError] = []

    def walk(
        self,
        schema: Object,
        path: str,
        declared: Declared | None,
        occurring: _Occurring,
        uncorrelated: str,
        *,
        is_root: bool = False,
    ) -> None:
        rules = schema.get(RULES) or []
        if declared is None and (rules or is_root):
            declared = declare(
                Structural(schema), _TYPE, is_root=is_root or bool(schema.get("x-kubernetes-embedded-resource"))
            )
        below = occurring.below(schema)
        additional = schema.get("additionalProperties")
        if isinstance(additional, dict):
            self.walk(additional, f"{path}.additionalProperties", _element(declared), below, uncorrelated)
        # Upstream's order among properties is accidental; ours is the schema's.
        granular = schema.get("x-kubernetes-map-type") in (None, "granular", "atomic")
        for name, inner in (schema.get("properties") or {}).items():
            field = _field(declared, name)
            self.walk(inner, f"{path}.properties[{name}]", field, below, uncorrelated if granular else path)
        items = schema.get("items")
        if isinstance(items, dict):
            within = uncorrelated if schema.get("x-kubernetes-list-type") == "map" else path
            self.walk(items, f"{path}.items", _element(declared), below, within)
        if rules and declared is not None:
            self._judge(rules, f"{path}.{RULES}", declared, occurring, uncorrelated)

    def _judge(
        self, rules: list[Object], path: str, declared: Declared, occurring: _Occurring, uncorrelated: str
    ) -> None:
        often = occurring.times if occurring.times is not None else REQUEST // (declared.least_bytes + 1)
        for index, compiled in enumerate(compile_rules(rules, declared, self._minor)):
            at = f"{path}[{index}]"
            cost = min(compiled.cost * often, MOST)
            if cost > _RULE_LIMIT:
                self.found.append(
                    forbidden_field(f"{at}.rule", _too_expensive("estimated rule cost", cost, _RULE_LIMIT))
                )
            self._add(cost, f"{at}.rule")
            self.found.extend(_errors(compiled, at))
            if compiled.message is not None:
                if compiled.message_cost > _RULE_LIMIT:
                    text = _too_expensive("estimated messageExpression cost", compiled.message_cost, _RULE_LIMIT)
                    self.found.append(forbidden_field(f"{at}.messageExpression", text))
                self._add(compiled.message_cost, f"{at}.messageExpression")
            self.found.extend(_about_old(compiled, at, uncorrelated))

    def _add(self, cost: int, path: str) -> None:
        self._sum = min(self._sum + cost, MOST)
        if cost >= _SCHEMA_LIMIT // 100:
            self._expensive.append((cost, path))
            self._expensive.sort(key=lambda each: -each[0])
            del self._expensive[4:]

    def total(self, path: str) -> Iterator[FieldError]:
        if self._sum <= _SCHEMA_LIMIT:
            return
        text = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema"
        for _, expensive in self._expensive:
            yield forbidden_field(expensive, text)
        what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        yield forbidden_field(path, _too_expensive(what, self._sum, _SCHEMA_LIMIT))


def _element(declared: Declared | None) -> Declared | None:
    return declared.element if declared is not None else None


def _field(declared: Declared | None, name: str) -> Declared | None:
    escaped = escape(name)
    return declared.fields.get(escaped) if declared is not None and escaped is not None else None


def _errors(compiled: Compiled, at: str) -> Iterator[FieldError]:
    shown = {name: _empty(name, compiled.raw.get(name[0].lower() + name[1:])) for name in _SHOWN}
    if compiled.error:
        yield invalid_value(f"{at}.rule", shown, compiled.error)
    if compiled.message_error:
        yield invalid_value(f"{at}.messageExpression", shown, compiled.message_error)


def _empty(name: str, value: object) -> object:
    return value if value is not None or name in ("Reason", "OptionalOldSelf") else ""


def _about_old(compiled: Compiled, at: str, uncorrelated: str) -> Iterator[FieldError]:
    optional = compiled.raw.get("optionalOldSelf")
    if compiled.uses_old:
        if uncorrelated:
            text = f"oldSelf cannot be used on the uncorrelatable portion of the schema within {uncorrelated}"
            yield invalid_value(f"{at}.rule", compiled.raw["rule"], text)
    elif optional is not None:
        yield invalid_value(f"{at}.optionalOldSelf", optional, "may not be set if oldSelf is not used in rule")


def _too_expensive(what: str, cost: int, limit: int) -> str:
    factor = cost / limit
    if factor > 100:
        shown = "more than 100x"
    else:
        shown = f"{factor:f}x" if factor < 1.5 else f"{factor:.1f}x"
    advice = (
        "try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are"
    )
    return f"{what} exceeds budget by factor of {shown} ({advice} declared)"
