"""The syntax of names: one function per rule, each returning what is wrong in upstream's words.

The model: every name in the API follows one of a handful of grammars (DNS label, DNS subdomain, qualified name, ...).
A check returns a list of complaints, empty when the value is right; several rules may complain about one value, and
the order is upstream's. Callers wrap each complaint into a `FieldError` with `errors.invalid_value`.

Source of the rules: k8s.io/apimachinery/pkg/util/validation, pkg/api/validation/path. Lengths are in bytes.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Sequence
from functools import lru_cache

Check = Callable[[str], list[str]]

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_UNDERSCORE = r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SUBDOMAIN_UNDERSCORE = rf"{_LABEL_UNDERSCORE}(\.{_LABEL_UNDERSCORE})*"
_LABEL_1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_WILDCARD = rf"\*\.{_SUBDOMAIN}"
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = rf"({_QUALIFIED})?"
_C_IDENTIFIER = r"[A-Za-z_][A-Za-z0-9_]*"
_HTTP_HEADER = r"[-A-Za-z0-9]+"
_HTTP_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_CONFIG_KEY = r"[-._a-zA-Z0-9]+"
_PERCENT = r"[0-9]+%"

_matches_label = re.compile(_LABEL).fullmatch
_matches_subdomain = re.compile(_SUBDOMAIN).fullmatch
_matches_subdomain_underscore = re.compile(_SUBDOMAIN_UNDERSCORE).fullmatch
_matches_label_1035 = re.compile(_LABEL_1035).fullmatch
_matches_wildcard = re.compile(_WILDCARD).fullmatch
_matches_qualified = re.compile(_QUALIFIED).fullmatch
_matches_label_value = re.compile(_LABEL_VALUE).fullmatch
_matches_c_identifier = re.compile(_C_IDENTIFIER).fullmatch
_matches_http_header = re.compile(_HTTP_HEADER).fullmatch
_matches_http_path = re.compile(_HTTP_PATH).fullmatch
_matches_config_key = re.compile(_CONFIG_KEY).fullmatch
_matches_percent = re.compile(_PERCENT).fullmatch
_matches_port_name = re.compile(r"[-a-z0-9]+").fullmatch
_has_letter = re.compile(r"[a-z]").search

_ALNUM_ENDS = "and must start and end with an alphanumeric character"


def max_length(limit: int) -> str:
    return f"must be no more than {limit} characters"


def pattern(text: str, expression: str, *examples: str) -> str:
    """A complaint about a pattern, with examples and the expression, as upstream words it."""
    if not examples:
        return f"{text} (regex used for validation is '{expression}')"
    listed = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {listed}regex used for validation is '{expression}')"


def between(low: int, high: int) -> str:
    return f"must be between {low} and {high}, inclusive"


def _too_long(value: str, limit: int) -> bool:
    return len(value) > limit or (not value.isascii() and len(value.encode()) > limit)


def label(value: str) -> list[str]:
    """A DNS-1123 label: namespaces, containers, volumes."""
    found = [max_length(63)] if _too_long(value, 63) else []
    if not _matches_label(value):
        if _matches_subdomain(value):
            found.append("must not contain dots")
        else:
            text = (
                f"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', {_ALNUM_ENDS}"
            )
            found.append(pattern(text, _LABEL, "my-name", "123-abc"))
    return found


def subdomain(value: str) -> list[str]:
    """A DNS-1123 subdomain: the names of most objects."""
    found = [max_length(253)] if _too_long(value, 253) else []
    if not _matches_subdomain(value):
        text = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
            f"{_ALNUM_ENDS}"
        )
        found.append(pattern(text, _SUBDOMAIN, "example.com"))
    return found


def subdomain_underscore(value: str) -> list[str]:
    """A subdomain that may contain underscores: DNS search paths."""
    found = [max_length(253)] if _too_long(value, 253) else []
    if not _matches_subdomain_underscore(value):
        text = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', "
            f"{_ALNUM_ENDS}"
        )
        found.append(pattern(text, _SUBDOMAIN_UNDERSCORE, "example.com"))
    return found


def label_1035(value: str) -> list[str]:
    """A DNS-1035 label: services, which therefore cannot begin with a digit."""
    found = [max_length(63)] if _too_long(value, 63) else []
    if not _matches_label_1035(value):
        text = (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
            "start with an alphabetic character, and end with an alphanumeric character"
        )
        found.append(pattern(text, _LABEL_1035, "my-name", "abc-123"))
    return found


def wildcard_subdomain(value: str) -> list[str]:
    """``*.example.com``: hosts of an Ingress."""
    found = [max_length(253)] if _too_long(value, 253) else []
    if not _matches_wildcard(value):
        text = (
            "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist "
            "of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
        )
        found.append(pattern(text, _WILDCARD, "*.example.com"))
    return found


_QUALIFIED_RULE = f"must consist of alphanumeric characters, '-', '_' or '.', {_ALNUM_ENDS}"
_QUALIFIED_TEXT = pattern(_QUALIFIED_RULE, _QUALIFIED, "MyName", "my.name", "123-abc")


def qualified_name(value: str) -> list[str]:
    """``name`` or ``prefix/name``: label keys, annotation keys, finalizers, resource names."""
    return list(_short_name(value)) if len(value) <= _SHORT else _qualified_name(value)


_SHORT = 100  # names that come again and again; long ones would fill the memory


@lru_cache(maxsize=4096)
def _short_name(value: str) -> Sequence[str]:
    return tuple(_qualified_name(value))


def _qualified_name(value: str) -> list[str]:
    found: list[str] = []
    parts = value.split("/")
    if len(parts) > 2:
        tail = " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        return [f"a qualified name {_QUALIFIED_TEXT}{tail}"]
    if len(parts) == 2:
        if not parts[0]:
            found.append("prefix part must be non-empty")
        else:
            found.extend(f"prefix part {text}" for text in subdomain(parts[0]))
    name = parts[-1]
    if not name:
        found.append("name part must be non-empty")
    elif _too_long(name, 63):
        found.append(f"name part {max_length(63)}")
    if not _matches_qualified(name):
        found.append(f"name part {_QUALIFIED_TEXT}")
    return found


def label_value(value: str) -> list[str]:
    found = [max_length(63)] if _too_long(value, 63) else []
    if not _matches_label_value(value):
        text = (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
            f"{_ALNUM_ENDS}"
        )
        found.append(pattern(text, _LABEL_VALUE, "MyValue", "my_value", "12345"))
    return found


def c_identifier(value: str) -> list[str]:
    if _matches_c_identifier(value):
        return []
    text = (
        "a valid C identifier must start with alphabetic character or '_', "
        "followed by a string of alphanumeric characters or '_'"
    )
    return [pattern(text, _C_IDENTIFIER, "my_name", "MY_NAME", "MyName")]


def http_header(value: str) -> list[str]:
    if _matches_http_header(value):
        return []
    text = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [pattern(text, _HTTP_HEADER, "X-Header-Name")]


def http_path(value: str) -> list[str]:
    """What may follow the slash of a domain-prefixed path such as ``acme.io/foo``."""
    return [] if _matches_http_path(value) else [pattern("Invalid path", _HTTP_PATH)]


def environment_variable(value: str) -> list[str]:
    """Since RelaxedEnvironmentVariableValidation (on by default from 1.32): printable ASCII without '='."""
    if not value:
        return ["environment variable name must be non-empty"]
    if any(not " " <= char <= "~" or char == "=" for char in value):
        return ["a valid environment variable name must consist only of printable ASCII characters other than '='"]
    return []


def config_key(value: str) -> list[str]:
    """A key of a ConfigMap or Secret, which becomes a file name when mounted."""
    found = [max_length(253)] if _too_long(value, 253) else []
    if not _matches_config_key(value):
        text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        found.append(pattern(text, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    if value in (".", ".."):
        found.append(f"must not be '{value}'")
    elif value.startswith(".."):
        found.append("must not start with '..'")
    return found


def percent(value: str) -> list[str]:
    if _matches_percent(value):
        return []
    text = "a valid percent string must be a numeric string followed by an ending '%'"
    return [pattern(text, _PERCENT, "1%", "93%")]


def port(value: int) -> list[str]:
    return [] if 1 <= value <= 65535 else [between(1, 65535)]


def port_name(value: str) -> list[str]:
    """An IANA service name, at most 15 bytes: names of container ports."""
    found = [max_length(15)] if _too_long(value, 15) else []
    if not _matches_port_name(value):
        found.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not _has_letter(value):
        found.append("must contain at least one letter (a-z)")
    if "--" in value:
        found.append("must not contain consecutive hyphens")
    if value and (value[0] == "-" or value[-1] == "-"):
        found.append("must not begin or end with a hyphen")
    return found


def user_id(value: int) -> list[str]:
    """A Unix user or group number."""
    return [] if 0 <= value <= 2**31 - 1 else [between(0, 2**31 - 1)]


def path_segment(value: str) -> list[str]:
    """Anything that can stand between two slashes of a URL: RBAC objects."""
    if value in (".", ".."):
        return [f"may not be '{value}'"]
    return [f"may not contain '{char}'" for char in ("/", "%") if char in value]


def path_segment_prefix(value: str) -> list[str]:
    """`path_segment` for a generateName."""
    return [f"may not contain '{char}'" for char in ("/", "%") if char in value]


IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def _octets(text: str) -> ipaddress.IPv4Address | None:
    parts = text.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdigit() and len(part) < 9 for part in parts):
        return None
    numbers = [int(part) for part in parts]
    if max(numbers) > 255:
        return None
    return ipaddress.IPv4Address(bytes(numbers))


def parse_ip(value: str) -> IPAddress | None:
    """An address as Go reads it, tolerating leading zeros; an IPv4 address mapped into IPv6 is the IPv4 address."""
    return _short_ip(value) if len(value) <= _SHORT else _parse_ip(value)


@lru_cache(maxsize=4096)
def _short_ip(value: str) -> IPAddress | None:
    return _parse_ip(value)


def _parse_ip(value: str) -> IPAddress | None:
    if ":" not in value:
        return _octets(value)
    head, _, tail = value.rpartition(":")
    if "." in tail:
        embedded = _octets(tail)
        if embedded is None:
            return None
        value = f"{head}:{embedded}"
    if "%" in value:
        return None
    try:
        address = ipaddress.IPv6Address(value)
    except ValueError:
        return None
    return address.ipv4_mapped or address


def parse_cidr(value: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """A CIDR as Go reads it: leading zeros and host bits are tolerated."""
    head, slash, tail = value.partition("/")
    address = parse_ip(head)
    if not slash or address is None or not (tail.isascii() and tail.isdigit()) or len(tail) > 8:
        return None
    bits = int(tail)
    if ":" in head and address.version == 4:
        bits -= 96
    if not 0 <= bits <= address.max_prefixlen:
        return None
    return ipaddress.ip_network((address.packed, bits), strict=False)


def ip(value: str) -> list[str]:
    """The rule of old fields (pod IPs, cluster IPs, endpoints)."""
    return [] if parse_ip(value) is not None else ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]


def canonical_ip(value: str) -> list[str]:
    """The strict rule of new fields (IPAddress, EndpointSlice)."""
    address = parse_ip(value)
    if address is None:
        return ip(value)
    found = []
    mapped = ":" in value and address.version == 4
    try:
        ipaddress.ip_address(value)
    except ValueError:
        found.append("must not have leading 0s")
    if mapped:
        found.append("must not be an IPv4-mapped IPv6 address")
    if not found and value != str(address):
        found.append(f'must be in canonical form ("{address}")')
    return found


def cidr(value: str) -> list[str]:
    if parse_cidr(value) is not None:
        return []
    return ["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]


def canonical_cidr(value: str) -> list[str]:
    """The strict rule of new fields (ServiceCIDR)."""
    network = parse_cidr(value)
    if network is None:
        return cidr(value)
    head, _, tail = value.partition("/")
    try:
        ipaddress.ip_address(head)
    except ValueError:
        return ["must not have leading 0s in IP or prefix length"]
    if len(tail) > 1 and tail[0] == "0":
        return ["must not have leading 0s in IP or prefix length"]
    address = parse_ip(head)
    if ":" in head and network.version == 4:
        return ["must not have an IPv4-mapped IPv6 address"]
    if address != network.network_address:
        return ["must not have bits set beyond the prefix length"]
    return [] if value == str(network) else [f'must be in canonical form ("{network}")']


_CHECKS: dict[str, Check] = {
    "subdomain": subdomain,
    "label": label,
    "label-1035": label_1035,
    "path": path_segment,
}


def object_name(rule: str, value: str, prefix: bool = False) -> list[str]:
    """metadata.name (or, with `prefix`, generateName) by a rule of `Strategy.name`.

    A prefix may end in a dash: upstream replaces the last two characters by an ``a`` before it looks.
    """
    if rule == "path" and prefix:
        return path_segment_prefix(value)
    check = _CHECKS.get(rule)
    if check is None:
        return []
    if prefix and rule != "path" and len(value) > 1 and value.endswith("-"):
        value = value[:-2] + "a"
    return check(value)
