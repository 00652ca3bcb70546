"""Formats of strings that a schema can demand (``format: date-time``), as upstream's registry of formats checks them.

A format that the registry does not know demands nothing. Names are compared without dashes. Kubernetes' own formats
are known one minor after their introduction in 1.34, when no older server can be running beside.

Source: https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/custom-resource-definition-v1/ (format)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from email.utils import parseaddr
from ipaddress import AddressValueError, IPv6Address

from kloster.apimachinery import Object
from kloster.apimachinery.structural import patterns

Check = Callable[[str], bool]


_OWN = frozenset(("k8sshortname", "k8slongname"))
_OWN_SINCE = 35


def known(name: str, minor: int) -> Check | None:
    """The check of a format in Kubernetes 1.`minor`, None if there is no such format."""
    normal = name.replace("-", "")
    return None if normal in _OWN and minor < _OWN_SINCE else _CHECKS.get(normal)


def unrecognized(schema: Object, minor: int) -> Iterator[str]:
    """The formats of texts in a schema that Kubernetes 1.`minor` does not know, in order of appearance."""
    name = schema.get("format") or ""
    if name and schema.get("type") == "string" and known(name, minor) is None:
        yield name
    inner = [schema.get("items"), schema.get("not"), schema.get("additionalProperties")]
    for junctor in ("allOf", "anyOf", "oneOf"):
        inner.extend(schema.get(junctor) or ())
    inner.extend((schema.get("properties") or {}).values())
    for each in inner:
        if isinstance(each, dict):
            yield from unrecognized(each, minor)


def _fullmatch(pattern: str, flags: int = 0) -> Check:
    matcher = re.compile(pattern, re.ASCII | flags).fullmatch
    return lambda text: matcher(text) is not None


# --- times --------------------------------------------------------------------------------------------------------

_DATE = re.compile(r"(\d{4})-(\d\d)-(\d\d)", re.ASCII).fullmatch
_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)(.\d+)?(z|[+-]\d\d:\d\d)", re.ASCII).fullmatch
_DAYS = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def _date(text: str) -> bool:
    found = _DATE(text)
    if found is None:
        return False
    year, month, day = map(int, found.groups())
    if not 1 <= month <= 12 or day < 1:
        return False
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return day <= _DAYS[month - 1] + leap


def _date_time(text: str) -> bool:
    parts = text.lower().split("t")
    if len(text) < 4 or len(parts) < 2 or not _date(parts[0]):
        return False
    found = _TIME(parts[1])
    return found is not None and found[1] <= "23" and found[2] <= "59" and found[3] <= "59"


_GO_DURATION = re.compile(r"[+-]?(?:0|(?:(?:\d+\.?\d*|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+)", re.ASCII).fullmatch
_SCALA_PART = re.compile(r"\d+\s*([A-Za-zµ]+)")
_EXACT = ("ns", "nano", "us", "µs", "micro", "ms", "milli", "s", "sec", "m", "min", "h", "hr", "hour", "d", "day")
_UNITS = frozenset((*_EXACT, "w", "wk", "week"))
_PREFIXES = ("nano", "micro", "milli", "sec", "min", "hour", "day", "week")


def _duration(text: str) -> bool:
    """Go's notation, or one like Scala's anywhere in the text."""
    if _GO_DURATION(text):
        return True
    units = (found[1].lower() for found in _SCALA_PART.finditer(text))
    return any(unit in _UNITS or unit.startswith(_PREFIXES) for unit in units)


# --- the network --------------------------------------------------------------------------------------------------

_HOSTNAME = (
    r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)|"
    r"([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}([a-zA-Z\p{L}]){2,63})$"
)
_OCTETS = re.compile(r"\d+\.\d+\.\d+\.\d+", re.ASCII).fullmatch
_URI = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:[^\s]*|/[^\s]*|\*)", re.ASCII).fullmatch
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})").search
_EMAIL = re.compile(r"[^\s@<>()\[\]:;,\\\"]+@[^\s@<>()\[\]:;,\\\"]+").fullmatch
_MAC = tuple(
    _fullmatch(rf"(?:[0-9a-fA-F]{{2}}{mark}){{{count - 1}}}[0-9a-fA-F]{{2}}")
    for count in (6, 8, 20)
    for mark in (":", "-")
) + tuple(_fullmatch(rf"(?:[0-9a-fA-F]{{4}}\.){{{count - 1}}}[0-9a-fA-F]{{4}}") for count in (3, 4, 10))


def _hostname(text: str) -> bool:
    if len(text.encode()) > 255 or any(len(part.encode()) > 63 for part in text.split(".")):
        return False
    return patterns.matches(_HOSTNAME, text)


def _ipv4_only(text: str) -> bool:
    """Leading zeros are tolerated, as before Go 1.17."""
    return _OCTETS(text) is not None and all(int(part) <= 255 for part in text.split("."))


def _ipv6(text: str) -> bool:
    if "%" in text:
        return False
    try:
        IPv6Address(text)
    except (AddressValueError, ValueError):
        return False
    return True


def _ipv4(text: str) -> bool:
    return _ipv4_only(text) or ("." in text and _ipv6(text))


def _cidr(text: str) -> bool:
    address, slash, length = text.partition("/")
    if not slash or not length.isascii() or not length.isdigit():
        return False
    if _ipv4_only(address):
        return int(length) <= 32
    return _ipv6(address) and int(length) <= 128


def _uri(text: str) -> bool:
    """What Go's url.ParseRequestURI takes: an absolute URI or an absolute path."""
    if not text or any(ord(char) < 0x20 or ord(char) == 0x7F for char in text) or _BAD_ESCAPE(text):
        return False
    return _URI(text) is not None


def _email(text: str) -> bool:
    _, address = parseaddr(text)
    return bool(address) and _EMAIL(address) is not None


def _mac(text: str) -> bool:
    return any(check(text) for check in _MAC)


# --- numbers that check themselves --------------------------------------------------------------------------------

_CARD = _fullmatch(
    r"(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|"
    r"3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\d{3})\d{11})"
)


def _credit_card(text: str) -> bool:
    digits = re.sub(r"[^0-9]+", "", text)
    if not _CARD(digits):
        return False
    doubled = [int(digit) * (1 + place % 2) for place, digit in enumerate(reversed(digits))]
    return sum(number - 9 if number > 9 else number for number in doubled) % 10 == 0


def _isbn10(text: str) -> bool:
    digits = re.sub(r"[\s-]+", "", text, flags=re.ASCII)
    if not re.fullmatch(r"[0-9]{9}[0-9X]", digits):
        return False
    return sum(place * (10 if digit == "X" else int(digit)) for place, digit in enumerate(digits, 1)) % 11 == 0


def _isbn13(text: str) -> bool:
    digits = re.sub(r"[\s-]+", "", text, flags=re.ASCII)
    if not re.fullmatch(r"[0-9]{13}", digits):
        return False
    return sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(digits)) % 10 == 0


def _uuid(version: str) -> Check:
    return _fullmatch(rf"[0-9a-f]{{8}}-?[0-9a-f]{{4}}-?{version}-?[0-9a-f]{{12}}", re.IGNORECASE)


_ANY = r"[0-9a-f]{4}-?[0-9a-f]{4}"
_SHORT = _fullmatch(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?")
_LONG = _fullmatch(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_CHANNEL = r"\s*(?:0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])\s*"

_CHECKS: Mapping[str, Check] = {
    "bsonobjectid": _fullmatch(r"[0-9a-fA-F]{24}"),
    "uri": _uri,
    "email": _email,
    "hostname": _hostname,
    "ipv4": _ipv4,
    "ipv6": lambda text: ":" in text and _ipv6(text),
    "cidr": _cidr,
    "mac": _mac,
    "uuid": _uuid(_ANY),
    "uuid3": _uuid(r"3[0-9a-f]{3}-?[0-9a-f]{4}"),
    "uuid4": _uuid(r"4[0-9a-f]{3}-?[89ab][0-9a-f]{3}"),
    "uuid5": _uuid(r"5[0-9a-f]{3}-?[89ab][0-9a-f]{3}"),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "creditcard": _credit_card,
    "ssn": _fullmatch(r"\d{3}[- ]\d{2}[- ]\d{4}"),
    "hexcolor": _fullmatch(r"#?(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "rgbcolor": _fullmatch(rf"rgb\({_CHANNEL},{_CHANNEL},{_CHANNEL}\)"),
    "byte": _fullmatch(r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})"),
    "password": lambda _: True,
    "date": _date,
    "duration": _duration,
    "datetime": _date_time,
    "k8sshortname": lambda text: len(text) <= 63 and _SHORT(text),
    "k8slongname": lambda text: len(text) <= 253 and _LONG(text),
}
