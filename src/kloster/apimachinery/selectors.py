"""Label and field selectors: parsing with upstream's texts, matching by one compiled function.

    parse_labels("a=b,c in (d,e),!f")   the labelSelector of a request
    of_object(spec.selector)            a LabelSelector object: matchLabels and matchExpressions
    parse_fields("metadata.name=x")     the fieldSelector of a request

What cannot be understood raises StatusError 400. Requirements are sorted by key, as upstream sorts them.
Source: https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from kloster.apimachinery import Object
from kloster.apimachinery.errors import StatusError, bad_request, shown

Matcher = Callable[[Mapping[str, str]], bool]


def _everything(_: Mapping[str, str]) -> bool:
    return True


def _nothing(_: Mapping[str, str]) -> bool:
    return False


# --- labels ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on a label. `operator` is one of ``= == != in notin exists ! gt lt``; values are sorted."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.operator == "exists":
            return self.key
        if self.operator == "!":
            return f"!{self.key}"
        if self.operator in ("in", "notin"):
            return f"{self.key} {self.operator} ({','.join(self.values)})"
        sign = {"gt": ">", "lt": "<"}.get(self.operator, self.operator)
        return f"{self.key}{sign}{','.join(self.values)}"


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All requirements must hold. `matches` takes the labels of an object. The empty selector matches everything."""

    requirements: tuple[Requirement, ...] = ()
    matches: Matcher = field(default=_everything, compare=False, repr=False)

    @property
    def empty(self) -> bool:
        return not self.requirements and self.matches is not _nothing

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


EVERYTHING = LabelSelector()
NOTHING = LabelSelector((), _nothing)


def _selector(requirements: Iterable[Requirement]) -> LabelSelector:
    ordered = tuple(sorted(requirements, key=lambda requirement: requirement.key))
    return LabelSelector(ordered, _compiled([_matcher(requirement) for requirement in ordered]))


def _compiled(matchers: list[Matcher]) -> Matcher:
    if not matchers:
        return _everything
    if len(matchers) == 1:
        return matchers[0]
    if len(matchers) == 2:
        first, second = matchers
        return lambda labels: first(labels) and second(labels)
    return lambda labels: all(matcher(labels) for matcher in matchers)


def _matcher(requirement: Requirement) -> Matcher:
    key, operator, values = requirement.key, requirement.operator, frozenset(requirement.values)
    if operator in ("=", "==", "in"):
        if len(values) == 1:
            (only,) = values
            return lambda labels: labels.get(key) == only
        return lambda labels: labels.get(key) in values
    if operator in ("!=", "notin"):
        return lambda labels: labels.get(key) not in values
    if operator == "exists":
        return lambda labels: key in labels
    if operator == "!":
        return lambda labels: key not in labels
    bound = int(requirement.values[0])
    greater = operator == "gt"

    def compares(labels: Mapping[str, str]) -> bool:
        number = _integer(labels.get(key))
        return number is not None and (number > bound if greater else number < bound)

    return compares


def _integer(text: str | None) -> int | None:
    """A 64-bit integer as Go parses it, or None."""
    if text is None or not re.fullmatch(r"[+-]?[0-9]+", text):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


def of_set(labels: Mapping[str, str] | None) -> LabelSelector:
    """The selector for objects that carry all these labels; unchecked, as for Services and ReplicationControllers."""
    return _selector(Requirement(key, "=", (value,)) for key, value in (labels or {}).items())


_OBJECT_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def of_object(selector: Object | None) -> LabelSelector:
    """The selector that a LabelSelector object means: None selects nothing, an empty one everything.

    Raises StatusError 400 for an invalid one; where it stands in an object, validation reports it first.
    """
    if selector is None:
        return NOTHING
    requirements = [_checked(key, "=", (value,)) for key, value in (selector.get("matchLabels") or {}).items()]
    for expression in selector.get("matchExpressions") or ():
        operator = expression.get("operator") or ""
        if operator not in _OBJECT_OPERATORS:
            raise bad_request(f"{shown(operator)} is not a valid label selector operator")
        values = tuple(expression.get("values") or ())
        requirements.append(_checked(expression.get("key") or "", _OBJECT_OPERATORS[operator], values))
    return _selector(requirements)


# --- checks ------------------------------------------------------------------------------------------------------

_NAME = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_NAME_RULE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
_NAME_ERROR = f"{_NAME_RULE} (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_NAME}')"
_VALUE_ERROR = (
    f"a valid label must be an empty string or {_NAME_RULE.removeprefix('must ')}"
    f" (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '({_NAME})?')"
)
_SUBDOMAIN_ERROR = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start"
    f" and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
)
_NAME_RE = re.compile(_NAME)
_SUBDOMAIN_RE = re.compile(_SUBDOMAIN)


def key_errors(key: str) -> list[str]:
    """What is wrong with a label key (a qualified name)."""
    prefix, slash, name = key.partition("/")
    if "/" in name:
        return [
            f"a qualified name {_NAME_ERROR} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    errors = []
    if not slash:
        name = prefix
    elif not prefix:
        errors.append("prefix part must be non-empty")
    else:
        if len(prefix) > 253:
            errors.append("prefix part must be no more than 253 characters")
        if not _SUBDOMAIN_RE.fullmatch(prefix):
            errors.append(f"prefix part {_SUBDOMAIN_ERROR}")
    if not name:
        errors.append("name part must be non-empty")
    elif len(name.encode()) > 63:
        errors.append("name part must be no more than 63 characters")
    if not _NAME_RE.fullmatch(name):
        errors.append(f"name part {_NAME_ERROR}")
    return errors


def value_errors(value: str) -> list[str]:
    """What is wrong with a label value."""
    errors = []
    if len(value.encode()) > 63:
        errors.append("must be no more than 63 characters")
    if value and not _NAME_RE.fullmatch(value):
        errors.append(_VALUE_ERROR)
    return errors


def _checked(key: str, operator: str, values: tuple[str, ...]) -> Requirement:
    errors = [f"key: Invalid value: {shown(key)}: {'; '.join(found)}" for found in (key_errors(key),) if found]
    errors += _count_errors(operator, values)
    for index, value in enumerate(values):
        found = value_errors(value)
        if found:
            errors.append(f"values[{index}][{key}]: Invalid value: {shown(value)}: {'; '.join(found)}")
    if errors:
        distinct = list(dict.fromkeys(errors))
        raise bad_request(distinct[0] if len(distinct) == 1 else f"[{', '.join(distinct)}]")
    return Requirement(key, operator, tuple(sorted(values)))


def _count_errors(operator: str, values: tuple[str, ...]) -> list[str]:
    listed = shown(list(values)) if values else "[]"
    if operator in ("in", "notin"):
        text = "" if values else "for 'in', 'notin' operators, values set can't be empty"
    elif operator in ("exists", "!"):
        text = "values set must be empty for exists and does not exist" if values else ""
    elif operator in ("gt", "lt"):
        bad = [index for index, value in enumerate(values) if _integer(value) is None]
        return [
            f"values[{index}]: Invalid value: {shown(values[index])}:"
            " for 'Gt', 'Lt' operators, the value must be an integer"
            for index in bad
        ]
    else:
        text = ""
    return [f"values: Invalid value: {listed}: {text}"] if text else []


# --- parsing labels ----------------------------------------------------------------------------------------------

_TOKEN = re.compile(r"[ \t\r\n]*(?:([=!(),<>]+)|([^=!(),<> \t\r\n]+)|$)")
_SYMBOLS = ("==", "!=", "=", "!", "(", ")", ",", "<", ">")
_BINARY = {"=": "=", "==": "==", "!=": "!=", "in": "in", "notin": "notin", ">": "gt", "<": "lt"}
_END = ("end", "")


def parse_labels(text: str) -> LabelSelector:
    """Parses a selector. Raises StatusError 400 in upstream's words."""
    if not text:
        return EVERYTHING
    return _selector(_Parser(_tokens(text)).requirements())


def _tokens(text: str) -> list[tuple[str, str]]:
    """(kind, literal): kind is the symbol itself, ``in`` and ``notin``, ``id``, or ``end``."""
    tokens: list[tuple[str, str]] = []
    position = 0
    while match := _TOKEN.match(text, position):
        symbols, word = match[1], match[2]
        position = match.end()
        if symbols:
            # Of adjoining symbols the longest operator is taken: "!=" before "!".
            symbol = next(symbol for symbol in _SYMBOLS if symbols.startswith(symbol))
            tokens.append((symbol, symbol))
            position = match.end() - len(symbols) + len(symbol)
        elif word:
            tokens.append((word if word in ("in", "notin") else "id", word))
        else:
            break
    tokens.append(_END)
    return tokens


class _Parser:
    """Recursive descent over the tokens. ``in`` and ``notin`` are ordinary words wherever a key or value may stand."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._position = 0

    def _look(self) -> tuple[str, str]:
        kind, literal = self._tokens[min(self._position, len(self._tokens) - 1)]
        return ("id" if kind in ("in", "notin") else kind), literal

    def _take(self) -> tuple[str, str]:
        token = self._look()
        self._position += 1
        return token

    def requirements(self) -> list[Requirement]:
        found: list[Requirement] = []
        while True:
            kind, literal = self._look()
            if kind == "end":
                return found
            if kind not in ("id", "!"):
                raise bad_request(f"found '{literal}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self._requirement())
            except StatusError as error:
                raise bad_request(f"unable to parse requirement: {error.message}") from error
            kind, literal = self._take()
            if kind == "end":
                return found
            if kind != ",":
                raise bad_request(f"found '{literal}', expected: ',' or 'end of string'")
            kind, literal = self._look()
            if kind not in ("id", "!"):
                raise bad_request(f"found '{literal}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        kind, key = self._take()
        absent = kind == "!"
        if absent:
            kind, key = self._take()
        if kind != "id":
            raise bad_request(f"found '{key}', expected: identifier")
        errors = key_errors(key)
        if errors:
            raise bad_request(f"<nil>: Invalid value: {shown(key)}: {'; '.join(errors)}")
        if absent:
            return _checked(key, "!", ())
        if self._look()[0] in ("end", ","):
            return _checked(key, "exists", ())
        operator = self._operator()
        return _checked(key, operator, self._list() if operator in ("in", "notin") else self._exact())

    def _operator(self) -> str:
        kind, literal = self._tokens[min(self._position, len(self._tokens) - 1)]
        self._position += 1
        if kind not in _BINARY:
            raise bad_request(f"found '{literal}', expected: in, notin, =, ==, !=, gt, lt")
        return _BINARY[kind]

    def _exact(self) -> tuple[str, ...]:
        if self._look()[0] in ("end", ","):
            return ("",)
        kind, literal = self._take()
        if kind != "id":
            raise bad_request(f"found '{literal}', expected: identifier")
        return (literal,)

    def _list(self) -> tuple[str, ...]:
        kind, literal = self._take()
        if kind != "(":
            raise bad_request(f"found '{literal}' expected: '('")
        kind, literal = self._look()
        if kind == ")":
            self._take()
            return ("",)
        if kind not in ("id", ","):
            raise bad_request(f"found '{literal}', expected: ',', ')' or identifier")
        values = self._identifiers()
        self._take()
        return tuple(sorted(values))

    def _identifiers(self) -> set[str]:
        """Values up to the closing parenthesis, which is left; where one is missing stands the empty value."""
        values: set[str] = set()
        while True:
            kind, literal = self._take()
            if kind == "id":
                values.add(literal)
                kind, literal = self._look()
                if kind == ")":
                    return values
                if kind != ",":
                    raise bad_request(f"found '{literal}', expected: ',' or ')'")
            elif kind == ",":
                if not values:
                    values.add("")
                following = self._look()[0]
                if following == ")":
                    values.add("")
                    return values
                if following == ",":
                    self._take()
                    values.add("")
            else:
                raise bad_request(f"found '{literal}', expected: ',', or identifier")


# --- fields ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FieldTerm:
    """One condition on a field: its value is (``=``) or is not (``!=``) the text."""

    field: str
    operator: str
    value: str

    def __str__(self) -> str:
        value = re.sub(r"[\\,=]", lambda match: "\\" + match[0], self.value)
        return f"{self.field}{self.operator}{value}"


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """All terms must hold. `matches` takes the texts of the selectable fields; a missing field is an empty text."""

    terms: tuple[FieldTerm, ...] = ()
    matches: Matcher = field(default=_everything, compare=False, repr=False)

    def exact(self, name: str) -> str | None:
        """The one value that a field must have, if the selector says so."""
        return next((term.value for term in self.terms if term.field == name and term.operator == "="), None)

    def __str__(self) -> str:
        return ",".join(map(str, self.terms))


ALL_FIELDS = FieldSelector()
_METADATA = ("metadata.name", "metadata.namespace")


def parse_fields(text: str, selectable: Collection[str] | None = None) -> FieldSelector:
    """Parses a field selector; with `selectable`, only these fields (and an object's name and namespace) may stand in
    it. Raises StatusError 400 in upstream's words.

    Kinds without selectable fields of their own (`selectable` empty) answer in other words than those with some.
    """
    terms: list[FieldTerm] = []
    for part in sorted(_split(text)):
        if not part:
            continue
        match = re.search("!=|==|=", part)
        if not match:
            raise bad_request(f"invalid selector: '{text}'; can't understand '{part}'")
        name, value = part[: match.start()], _unescaped(part[match.end() :])
        if name or value:
            _check_selectable(name, selectable)
            terms.append(FieldTerm(name, "!=" if match[0] == "!=" else "=", value))
    if not terms:
        return ALL_FIELDS
    return FieldSelector(tuple(terms), _compiled([_field_matcher(term) for term in terms]))


def _check_selectable(name: str, selectable: Collection[str] | None) -> None:
    if selectable is None or name in selectable or (name in _METADATA and not selectable):
        return
    if selectable and any(known not in _METADATA for known in selectable):
        if name not in _METADATA:
            raise bad_request(f"field label not supported: {name}")
    else:
        raise bad_request(f'{shown(name)} is not a known field selector: only "metadata.name", "metadata.namespace"')


def _field_matcher(term: FieldTerm) -> Matcher:
    name, value = term.field, term.value
    if term.operator == "=":
        return lambda fields: fields.get(name, "") == value
    return lambda fields: fields.get(name, "") != value


def _split(text: str) -> list[str]:
    """The terms, separated by commas that no backslash precedes."""
    terms, start, escaped = [], 0, False
    for index, character in enumerate(text):
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == ",":
            terms.append(text[start:index])
            start = index + 1
    return [*terms, text[start:]]


def _unescaped(text: str) -> str:
    def replaced(match: re.Match[str]) -> str:
        found: Any = match[0]
        if found in ("\\\\", "\\,", "\\="):
            return str(found[1])
        if found[0] == "\\":
            raise bad_request(f"invalid field selector: invalid escape sequence: {found}")
        raise bad_request(f"invalid field selector: unescaped character in value: {ord(found)}")

    return re.sub(r"\\.|\\$|[,=]", replaced, text, flags=re.DOTALL)
