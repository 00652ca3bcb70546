"""Sockets for the ports that clusters have: the remembered one, or the next that is free."""

from __future__ import annotations

import socket

from kloster.apiserver.http.listeners import AddressInUse, bind_tcp
from kloster.fleet.ports import Ports


class PortTaken(Exception):
    """A known cluster's port belongs to somebody else now."""


def bind(host: str, ports: Ports, owner: str, wanted: int = 0) -> socket.socket:
    """A listening socket for `owner`, whose port is its own from now on (`Ports.saved` makes that durable).

    wanted     take this port and no other
    Raises PortTaken for a port that is remembered or wanted but not free, NoPort if there is none left.
    """
    known = wanted or ports.get(owner)
    if known:
        try:
            listening = bind_tcp(host, known)
        except AddressInUse as error:
            why = "is wanted" if wanted else "is in kubeconfigs already"
            raise PortTaken(f"port {known} {why}, but cannot be had: {error.strerror}") from error
        if ports.get(owner) != known:
            ports.assign(owner, known)
        return listening
    for candidate in ports.candidates():
        try:
            listening = bind_tcp(host, candidate)
        except AddressInUse:
            continue
        ports.assign(owner, candidate)
        return listening
    raise PortTaken(f"no port from {ports.first} to {ports.last} can be opened")
