"""The host's Kubernetes API for commands. That it cannot be reached is an error of the command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kloster.cli.errors import CliError
from kloster.client.blocking import JSON, Blocking


class HostAPI(Blocking):
    """One cluster, reached by a kubeconfig document. Raises StatusError; CliError if the server cannot be reached."""

    def __init__(self, kubeconfig: Mapping[str, Any]) -> None:
        super().__init__(kubeconfig, "kloster-cli")

    def request(
        self,
        method: str,
        path: str,
        query: Mapping[str, str],
        body: Any = None,
        kind: str = JSON,
        accept: str = "",
    ) -> Any:
        try:
            return super().request(method, path, query, body, kind, accept)
        except OSError as error:
            raise CliError(f"the host at {self.server} does not answer: {error}") from error

    def watch(self, path: str, timeout: float, **query: str) -> Iterator[tuple[str, Any]]:
        try:
            yield from super().watch(path, timeout, **query)
        except OSError as error:
            raise CliError(f"the host at {self.server} went away: {error}") from error
