"""Which cluster a connection is for: the fleet's directory of sites (`apiserver.http.sites.Directory`)."""

from __future__ import annotations

from kloster.apiserver.http.sites import Site

SUFFIX = "kloster.internal"


def server_name(namespace: str, name: str) -> str:
    """The name by which SNI chooses a cluster on the common address."""
    return f"{name}.{namespace}.{SUFFIX}"


class FleetDirectory:
    """Sites by port, by server name and by path. `common` answers what is for no cluster."""

    def __init__(self) -> None:
        self._common: Site | None = None
        self._ports: dict[int, Site] = {}
        self._hosts: dict[str, Site] = {}
        self._paths: dict[tuple[str, str], Site] = {}

    @property
    def common(self) -> Site:
        assert self._common is not None, "the host's site is added before anybody listens"
        return self._common

    def set_common(self, site: Site) -> None:
        self._common = site

    def add(self, namespace: str, name: str, port: int, site: Site) -> None:
        """From now on the cluster is found in all three ways."""
        self._ports[port] = site
        if namespace:
            self._hosts[server_name(namespace, name)] = site
            self._paths[(namespace, name)] = site

    def add_elsewhere(self, namespace: str, name: str, site: Site) -> None:
        """A cluster of another process: here it is found by path alone."""
        self._paths[(namespace, name)] = site

    def remove(self, namespace: str, name: str, port: int) -> None:
        self._ports.pop(port, None)
        self._hosts.pop(server_name(namespace, name), None)
        self._paths.pop((namespace, name), None)

    def by_port(self, port: int) -> Site | None:
        return self._ports.get(port)

    def by_host(self, name: str) -> Site | None:
        return self._hosts.get(name)

    def by_path(self, namespace: str, name: str) -> Site | None:
        return self._paths.get((namespace, name))
