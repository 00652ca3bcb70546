"""Addresses of endpoints: which IPs make no sense as the other end of a connection."""

from __future__ import annotations

from kloster.apimachinery.errors import FieldError, invalid_value
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
