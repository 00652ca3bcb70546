"""IP addresses and networks. Addresses with zones, and IPv4 written as IPv6, are refused."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from kloster.apimachinery import golang
from kloster.apimachinery.cel import types
from kloster.apimachinery.cel.problems import EvaluationError
from kloster.apimachinery.cel.values import Opaque

from . import costs

if TYPE_CHECKING:
    from kloster.apimachinery.cel.declarations import Collection

IP_TYPE = types.opaque("net.IP")
CIDR_TYPE = types.opaque("net.CIDR")
_Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class IPValue(Opaque):
    """An address."""

    __slots__ = ("address",)
    type = IP_TYPE

    def __init__(self, address: _Address) -> None:
        self.address = address

    def same(self, other: Any) -> bool:
        return bool(self.address == other.address)

    def size(self) -> int:
        return 4 if self.address.version == 4 else 16


class CIDRValue(Opaque):
    """An address with the length of its network's prefix; the bits behind it need not be zero."""

    __slots__ = ("address", "bits")
    type = CIDR_TYPE

    def __init__(self, address: _Address, bits: int) -> None:
        self.address = address
        self.bits = bits

    def same(self, other: Any) -> bool:
        return bool(self.address == other.address and self.bits == other.bits)

    def size(self) -> int:
        return -(-self.bits // 8)

    def network(self) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
        return ipaddress.ip_network(f"{self.address}/{self.bits}", strict=False)


def parse_ip(text: str) -> _Address:
    """Raises EvaluationError in upstream's words."""
    address, _, zone = text.partition("%")
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        reason = f"ParseAddr({golang.quoted(text)}): {_why_no_address(text)}"
        what = "parse error during conversion from string"
        raise EvaluationError(f"IP Address {golang.quoted(text)} {what}: {reason}") from None
    if zone:
        raise EvaluationError(f"IP address {golang.quoted(text)} with zone value is not allowed")
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        raise EvaluationError(f"IPv4-mapped IPv6 address {golang.quoted(text)} is not allowed")
    return found


def _why_no_address(text: str) -> str:
    first = next((letter for letter in text if letter in ".:%"), "")
    if first == ".":
        return _why_no_ipv4(text)
    if first == ":":
        return _why_no_ipv6(text)
    return "missing IPv6 address" if first == "%" else "unable to parse IP"


def _why_no_ipv4(text: str) -> str:
    value = position = digits = 0
    for at, letter in enumerate(text):
        if letter in "0123456789":
            if digits == 1 and value == 0:
                return "IPv4 field has octet with leading zero"
            value = value * 10 + int(letter)
            digits += 1
            if value > 255:
                return "IPv4 field has value >255"
        elif letter == ".":
            if at in (0, len(text) - 1) or text[at - 1] == ".":
                return f"IPv4 field must have at least one digit (at {golang.quoted(text[at:])})"
            if position == 3:
                return "IPv4 address too long"
            position, value, digits = position + 1, 0, 0
        else:
            return f"unexpected character (at {golang.quoted(text[at:])})"
    return "IPv4 address too short"


def _why_no_ipv6(text: str) -> str:
    for at, letter in enumerate(text):
        if letter not in "0123456789abcdefABCDEF:.":
            begun = max(text.rfind(":", 0, at) + 1, 0)
            if at == begun:
                return f"each colon-separated field must have at least one digit (at {golang.quoted(text[at:])})"
            return f"unexpected character, want colon (at {golang.quoted(text[at:])})"
    if ":::" in text:
        at = text.index(":::") + 2
        return f"each colon-separated field must have at least one digit (at {golang.quoted(text[at:])})"
    if text.count("::") > 1:
        at = text.index("::", text.index("::") + 2)
        return f"multiple :: in address (at {golang.quoted(text[at:])})"
    groups = [group for group in text.split(":") if group]
    for group in groups:
        if len(group) > 4 and "." not in group:
            return f"each group must have 4 or less digits (at {golang.quoted(text[text.index(group) :])})"
    if len(groups) > 8:
        at = len(":".join(text.split(":")[:8]))
        return f"trailing garbage after address (at {golang.quoted(text[at:])})"
    return "address string too short"


def parse_cidr(text: str) -> CIDRValue:
    """Raises EvaluationError in upstream's words."""
    prefix = "network address parse error during conversion from string: "
    address, slash, bits = text.rpartition("/")
    refusal = f"{prefix}{prefix}netip.ParsePrefix({golang.quoted(text)}): "
    if not slash:
        raise EvaluationError(f"{refusal}no '/'")
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        raise EvaluationError(f"{refusal}ParseAddr({golang.quoted(address)}): {_why_no_address(address)}") from None
    if "%" in address:
        raise EvaluationError(f"{refusal}IPv6 zones cannot be present in a prefix")
    if not (bits.isascii() and bits.isdigit()) or (len(bits) > 1 and bits.startswith("0")):
        raise EvaluationError(f"{refusal}bad bits after slash: {golang.quoted(bits)}")
    if len(bits) > 4 or int(bits) > found.max_prefixlen:
        raise EvaluationError(f"{refusal}prefix length out of range")
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        raise EvaluationError(f"{prefix}IPv4-mapped IPv6 address {golang.quoted(text)} is not allowed")
    return CIDRValue(found, int(bits))


def _ok(parse: Any) -> Any:
    def attempt(text: str) -> bool:
        try:
            parse(text)
        except EvaluationError:
            return False
        return True

    return attempt


def _contains_ip(network: CIDRValue, address: IPValue) -> bool:
    return address.address.version == network.address.version and address.address in network.network()


def _contains_cidr(network: CIDRValue, inner: CIDRValue) -> bool:
    mine, theirs = network.network(), inner.network()
    if isinstance(mine, ipaddress.IPv4Network):
        return isinstance(theirs, ipaddress.IPv4Network) and mine.overlaps(theirs) and network.bits <= inner.bits
    return isinstance(theirs, ipaddress.IPv6Network) and mine.overlaps(theirs) and network.bits <= inner.bits


def _global_unicast(value: IPValue) -> bool:
    address = value.address
    broadcast = isinstance(address, ipaddress.IPv4Address) and int(address) == 0xFFFFFFFF
    return not (
        broadcast or address.is_unspecified or address.is_loopback or address.is_multicast or _link_local(address)
    )


def _link_local(address: _Address) -> bool:
    return address.is_link_local and not address.is_multicast


def _link_local_multicast(value: IPValue) -> bool:
    address = value.address
    if isinstance(address, ipaddress.IPv4Address):
        return address in ipaddress.IPv4Network("224.0.0.0/24")
    return address.packed[0] == 0xFF and address.packed[1] & 0x0F == 0x02


def _masked(value: CIDRValue) -> CIDRValue:
    return CIDRValue(value.network().network_address, value.bits)


def _contains_ip_cost(text: bool) -> Any:
    def cost(arguments: costs.Arguments, _: Any) -> int:
        mine = arguments[0].size()
        return costs.share(mine + mine) + (costs.share(len(arguments[1])) if text else 0)

    return cost


def _contains_cidr_cost(text: bool) -> Any:
    def cost(arguments: costs.Arguments, _: Any) -> int:
        mine = arguments[0].size()
        parsed = costs.share(len(arguments[1])) if text else 0
        return costs.share(mine + mine) + costs.share(mine) + 1 + parsed

    return cost


def declare(into: Collection) -> None:
    ip, cidr = IP_TYPE.name, CIDR_TYPE.name
    into.add("string_to_ip", f"ip(string) -> {ip}", lambda text: IPValue(parse_ip(text)), costs.first)
    into.add("ip_family", f"{ip}::family() -> int", lambda value: value.address.version)
    canonical = "ip.isCanonical(string) -> bool"
    into.add("ip_is_canonical", canonical, lambda text: str(parse_ip(text)) == text, costs.first_twice)
    into.add("ip_is_unspecified", f"{ip}::isUnspecified() -> bool", lambda value: value.address.is_unspecified)
    into.add("ip_is_loopback", f"{ip}::isLoopback() -> bool", lambda value: value.address.is_loopback)
    into.add("ip_is_link_local_multicast", f"{ip}::isLinkLocalMulticast() -> bool", _link_local_multicast)
    link_local = f"{ip}::isLinkLocalUnicast() -> bool"
    into.add("ip_is_link_local_unicast", link_local, lambda value: _link_local(value.address))
    into.add("ip_is_global_unicast", f"{ip}::isGlobalUnicast() -> bool", _global_unicast)
    into.add("is_ip", "isIP(string) -> bool", _ok(parse_ip), costs.first)
    into.add("ip_to_string", f"string({ip}) -> string", lambda value: str(value.address))
    into.add("string_to_cidr", f"cidr(string) -> {cidr}", parse_cidr, costs.first)
    _declare_containment(into)
    into.add("cidr_ip", f"{cidr}::ip() -> {ip}", lambda value: IPValue(value.address))
    into.add("cidr_prefix_length", f"{cidr}::prefixLength() -> int", lambda value: value.bits)
    into.add("cidr_masked", f"{cidr}::masked() -> {cidr}", _masked)
    into.add("is_cidr", "isCIDR(string) -> bool", _ok(parse_cidr), costs.first)
    into.add("cidr_to_string", f"string({cidr}) -> string", lambda value: f"{value.address}/{value.bits}")


def _declare_containment(into: Collection) -> None:
    ip, cidr = IP_TYPE.name, CIDR_TYPE.name
    into.add(
        "cidr_contains_ip_string",
        f"{cidr}::containsIP(string) -> bool",
        lambda network, text: _contains_ip(network, IPValue(parse_ip(text))),
        _contains_ip_cost(True),
    )
    into.add("cidr_contains_ip_ip", f"{cidr}::containsIP({ip}) -> bool", _contains_ip, _contains_ip_cost(False))
    into.add(
        "cidr_contains_cidr_string",
        f"{cidr}::containsCIDR(string) -> bool",
        lambda network, text: _contains_cidr(network, parse_cidr(text)),
        _contains_cidr_cost(True),
    )
    into.add("cidr_contains_cidr", f"{cidr}::containsCIDR({cidr}) -> bool", _contains_cidr, _contains_cidr_cost(False))
