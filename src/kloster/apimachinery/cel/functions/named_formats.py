"""Named formats: `format.dns1123Label().validate('x')` yields what is wrong with a text, if anything is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from kloster.apimachinery.cel import types
from kloster.apimachinery.cel.values import NONE, Opaque, Optional, size
from kloster.apimachinery.structural import formats

from . import costs, urls

if TYPE_CHECKING:
    from collections.abc import Callable

    from kloster.apimachinery.cel.declarations import Collection

TYPE = types.struct("kubernetes.NamedFormat")
_MINOR = 34


class FormatValue(Opaque):
    """A format: its name, its check, and the length of regular expression that it is charged as."""

    __slots__ = ("charged", "check", "name")
    type = TYPE

    def __init__(self, name: str, check: Callable[[str], list[str]], charged: int) -> None:
        self.name = name
        self.check = check
        self.charged = charged

    def same(self, other: Any) -> bool:
        return bool(self.name == other.name)


_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", re.ASCII)
_SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*", re.ASCII)
_LABEL_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?", re.ASCII)
_VALUE = re.compile(r"(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", re.ASCII)
_NAME = re.compile(r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]", re.ASCII)

_LABEL_TEXT = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with "
    "an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
_SUBDOMAIN_TEXT = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
    "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
_LABEL_1035_TEXT = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, "
    "and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is "
    "'[a-z]([-a-z0-9]*[a-z0-9])?')"
)
_VALUE_TEXT = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and "
    "end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)
_NAME_TEXT = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric "
    "character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
    "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


def _matching(
    pattern: re.Pattern[str], longest: int, complaint: str, *, prefix: bool = False
) -> Callable[[str], list[str]]:
    def check(text: str) -> list[str]:
        if prefix and text.endswith("-"):
            text = text[:-1] + "a"
        found = [f"must be no more than {longest} characters"] if len(text.encode()) > longest else []
        return found if pattern.fullmatch(text) else [*found, complaint]

    return check


def _qualified_name(text: str) -> list[str]:
    prefix, slash, name = text.partition("/")
    if not slash:
        prefix, name = "", text
    found: list[str] = []
    if "/" in name:
        whole = "a qualified name " + _NAME_TEXT.removeprefix("name part ").rstrip(")")
        return [f"{whole}) with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    if slash and not prefix:
        found.append("prefix part must be non-empty")
    elif slash:
        found += [f"prefix part {each}" for each in _matching(_SUBDOMAIN, 253, _SUBDOMAIN_TEXT)(prefix)]
    if not name:
        found.append("name part must be non-empty")
    elif len(name.encode()) > 63:
        found.append("name part must be no more than 63 characters")
    return found if _NAME.fullmatch(name) else [*found, _NAME_TEXT]


def _registered(name: str, complaint: str) -> Callable[[str], list[str]]:
    check = formats.known(name, _MINOR)
    assert check is not None
    return lambda text: [] if check(text) else [complaint]


def _uri(text: str) -> list[str]:
    problem = urls.request_problem(text)
    return [problem] if problem else []


FORMATS = {
    "dns1123Label": FormatValue("DNS1123Label", _matching(_LABEL, 63, _LABEL_TEXT), 30),
    "dns1123Subdomain": FormatValue("DNS1123Subdomain", _matching(_SUBDOMAIN, 253, _SUBDOMAIN_TEXT), 60),
    "dns1035Label": FormatValue("DNS1035Label", _matching(_LABEL_1035, 63, _LABEL_1035_TEXT), 30),
    "qualifiedName": FormatValue("QualifiedName", _qualified_name, 60),
    "dns1123LabelPrefix": FormatValue("DNS1123LabelPrefix", _matching(_LABEL, 63, _LABEL_TEXT, prefix=True), 30),
    "dns1123SubdomainPrefix": FormatValue(
        "DNS1123SubdomainPrefix", _matching(_SUBDOMAIN, 253, _SUBDOMAIN_TEXT, prefix=True), 60
    ),
    "dns1035LabelPrefix": FormatValue(
        "DNS1035LabelPrefix", _matching(_LABEL_1035, 63, _LABEL_1035_TEXT, prefix=True), 30
    ),
    "labelValue": FormatValue("LabelValue", _matching(_VALUE, 63, _VALUE_TEXT), 40),
    "uri": FormatValue("URI", _uri, 1103),
    "uuid": FormatValue("uuid", _registered("uuid", "does not match the UUID format"), 70),
    "byte": FormatValue("byte", _registered("byte", "invalid base64"), 84),
    "date": FormatValue("date", _registered("date", "invalid date"), 71),
    "datetime": FormatValue("datetime", _registered("datetime", "invalid datetime"), 71),
}


def _validate(format_: FormatValue, text: str) -> Optional:
    found = format_.check(text)
    return Optional(True, found) if found else NONE


def _named(name: str) -> Optional:
    found = FORMATS.get(name)
    return NONE if found is None else Optional(True, found)


def _constant(value: FormatValue) -> Callable[[], FormatValue]:
    return lambda: value


def _validation_cost(arguments: costs.Arguments, _: Any) -> int:
    return costs.share(1.0 + size(arguments[1])) * costs.share(arguments[0].charged, costs.REGEX)


def declare(into: Collection) -> None:
    name = TYPE.name
    into.add("format-validate", f"{name}::validate(string) -> optional(list(string))", _validate, _validation_cost)
    into.add("format-named", f"format.named(string) -> optional({name})", _named)
    for key, value in FORMATS.items():
        into.add(f"format.{key}", f"format.{key}() -> {name}", _constant(value))
