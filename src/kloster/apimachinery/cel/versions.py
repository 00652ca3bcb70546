"""Which functions, macros and checks the Kubernetes versions have.

A function appears one minor after upstream introduced it, since a server of a minor before may read what was stored:
expressions that are new are compiled against the older of the two.
"""

from __future__ import annotations

from functools import lru_cache

from . import types
from .declarations import Collection, Library
from .functions import (
    arithmetic,
    authorization,
    conversions,
    lists,
    named_formats,
    network,
    optionals,
    quantities,
    semver,
    text,
    times,
    urls,
)
from .macros import Macros

_BASE_TYPES = {
    "bool": types.BOOL,
    "bytes": types.BYTES,
    "double": types.DOUBLE,
    "int": types.INT,
    "list": types.list_of(types.parameter("A")),
    "map": types.map_of(types.parameter("A"), types.parameter("B")),
    "null_type": types.NULL,
    "string": types.STRING,
    "type": types.TYPE,
    "uint": types.UINT,
    "google.protobuf.Timestamp": types.TIMESTAMP,
    "google.protobuf.Duration": types.DURATION,
    "optional_type": types.optional_of(types.parameter("V")),
    "net.IP": network.IP_TYPE,
    "net.CIDR": network.CIDR_TYPE,
}


@lru_cache(maxsize=32)
def library(minor: int) -> Library:
    """What Kubernetes 1.`minor` knows. Shared by everybody; not to be changed."""
    declared = Collection()
    arithmetic.declare(declared)
    conversions.declare(declared)
    text.declare(declared)
    times.declare(declared)
    urls.declare(declared)
    lists.declare(declared)
    quantities.declare(declared)
    optionals.declare(declared)
    text.declare_formatting(declared)
    lists.declare_sets(declared)
    network.declare(declared)
    authorization.declare(declared)
    if minor >= 31:
        named_formats.declare(declared)
    if minor >= 32:
        lists.declare_insertion(declared)
    if minor >= 33:
        semver.declare(declared)
    if minor >= 34:
        lists.declare_extension(declared)
    macros = Macros(two_variables=minor >= 32, sort_by=minor >= 34)
    return Library(declared.functions, macros, _BASE_TYPES)
