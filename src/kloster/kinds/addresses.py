"""Addresses of endpoints: which IPs make no sense as the other end of a connection, and what is warned of."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator

from kloster.apimachinery.errors import FieldError, invalid_value, shown
from kloster.kinds import names


def validate_endpoint(ip: str, path: str) -> list[FieldError]:
    """The rule of Endpoints, EndpointSlices and (for historical reasons) external IPs of Services."""
    address = names.parse_ip(ip)
    if address is None:
        return [invalid_value(path, ip, "must be a valid IP address")]
    found = []
    if address.is_unspecified:
        found.append(f"may not be unspecified ({ip})")
    if address.is_loopback:
        found.append("may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        found.append("may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    packed = address.packed
    if packed[:3] == b"\xe0\x00\x00" or (len(packed) == 16 and packed[0] == 0xFF and packed[1] & 0x0F == 2):
        found.append("may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")
    return [invalid_value(path, ip, text) for text in found]


def ip_warnings(path: str, text: str, minor: int = 33) -> Iterator[str]:
    """Ways to write an IP address that are accepted still. Before 1.33 only Services were told, in other words."""
    address = names.parse_ip(text)
    if address is None:
        return
    if minor < 33:
        yield from _older(path, text, text, f"ParseAddr({shown(text)})", "address")
    elif _is_odd(text, address):
        told = f"will be considered invalid in a future Kubernetes release: use {shown(str(address))}"
        yield f"{path}: non-standard IP address {shown(text)} {told}"
    elif address.version == 6 and str(address) != text:
        yield f"{path}: IPv6 address {shown(text)} should be in RFC 5952 canonical format ({shown(str(address))})"


def cidr_warnings(path: str, text: str, minor: int = 33) -> Iterator[str]:
    """The same for a range of addresses."""
    network = names.parse_cidr(text)
    if network is None:
        return
    head, _, _ = text.partition("/")
    if minor < 33:
        yield from _older(path, text, head, f"netip.ParsePrefix({shown(text)}): ParseAddr({shown(head)})", "prefix")
        return
    address = names.parse_ip(head)
    fine = True
    if address is not None and address != network.network_address:
        fine = False
        single = f"{address}/{address.max_prefixlen}"
        told = f"is ambiguous in this context (should be {shown(str(network))} or {shown(single)}?)"
        yield f"{path}: CIDR value {shown(text)} {told}"
    if address is not None and (_is_odd(head, address) or _has_leading_zero(text)):
        told = f"will be considered invalid in a future Kubernetes release: use {shown(str(network))}"
        yield f"{path}: non-standard CIDR value {shown(text)} {told}"
    elif fine and network.version == 6 and str(network) != text:
        yield f"{path}: IPv6 CIDR value {shown(text)} should be in RFC 5952 canonical format ({shown(str(network))})"


def _older(path: str, text: str, ip: str, call: str, word: str) -> Iterator[str]:
    """What 1.32 and older said of Services' addresses."""
    try:
        found = ipaddress.ip_address(ip)
    except ValueError:
        told = f"{call}: IPv4 field has octet with leading zero"
        yield f"{path}: IP {word} was accepted, but will be invalid in a future Kubernetes release: {told}"
        return
    shortest = text.replace(ip, _go_text(found), 1)
    if found.version == 6 and shortest != text:
        told = f"is not in RFC 5952 canonical format ({shown(shortest)}), which may cause controller apply-loops"
        yield f"{path}: IPv6 {word} {shown(text)} {told}"


def _go_text(address: names.IPAddress) -> str:
    """An address as Go writes it: one within IPv6 that is an IPv4 address is shown as such."""
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return f"::ffff:{mapped}" if mapped is not None else str(address)


def _is_odd(text: str, address: names.IPAddress) -> bool:
    """Leading zeros, or an IPv4 address within an IPv6 one."""
    if ":" in text and address.version == 4:
        return True
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return True
    return False


def _has_leading_zero(cidr: str) -> bool:
    bits = cidr.rpartition("/")[2]
    return len(bits) > 1 and bits[0] == "0"
