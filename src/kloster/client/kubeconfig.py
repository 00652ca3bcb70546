"""What a kubeconfig says about one cluster, as typed values.

Merging several files and choosing a context by environment is the caller's; this reads one document that has been
decoded. Source: https://kubernetes.io/docs/reference/config-api/kubeconfig.v1/
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kloster.client.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ExecCredential:
    """A program that prints credentials (client.authentication.k8s.io ExecCredential)."""

    command: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    api_version: str


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach a cluster, and as whom.

    server      ``https://host:port/prefix``, or ``unix:///path/to/socket``
    ca          PEM certificates that the server's must chain to; None: the system's
    certificate, key   PEM of a client certificate
    token_file  read again whenever it changes, as in-cluster tokens are rotated
    """

    server: str
    ca: bytes | None = None
    insecure: bool = False
    tls_server_name: str = ""
    certificate: bytes | None = None
    key: bytes | None = None
    token: str = ""
    token_file: Path | None = None
    username: str = ""
    password: str = ""
    credential: ExecCredential | None = None
    proxy: str = ""
    namespace: str = "default"


def connection(config: Mapping[str, Any], context: str = "", *, base: Path | None = None) -> Connection:
    """The connection of `context` (default: the current one). Relative file names start at `base`.

    Raises ConfigError, saying which entry is missing.
    """
    name = context or str(config.get("current-context") or "")
    if not name:
        raise ConfigError("the kubeconfig has no current-context: name one")
    chosen = _entry(config, "contexts", "context", name)
    cluster = _entry(config, "clusters", "cluster", str(chosen.get("cluster") or ""))
    user_name = str(chosen.get("user") or "")
    user = _entry(config, "users", "user", user_name) if user_name else {}
    server = str(cluster.get("server") or "")
    if not server:
        raise ConfigError(f"cluster {chosen.get('cluster')!r} of the kubeconfig has no server")
    token_file = user.get("tokenFile")
    return Connection(
        server=server,
        ca=_bytes(cluster, "certificate-authority", base),
        insecure=bool(cluster.get("insecure-skip-tls-verify")),
        tls_server_name=str(cluster.get("tls-server-name") or ""),
        certificate=_bytes(user, "client-certificate", base),
        key=_bytes(user, "client-key", base),
        token=str(user.get("token") or ""),
        token_file=_path(token_file, base) if token_file else None,
        username=str(user.get("username") or ""),
        password=str(user.get("password") or ""),
        credential=_exec(user.get("exec")),
        proxy=str(cluster.get("proxy-url") or ""),
        namespace=str(chosen.get("namespace") or "default"),
    )


_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


def in_cluster(environment: Mapping[str, str], directory: Path = _SERVICE_ACCOUNT) -> Connection:
    """The connection of a pod to its own cluster, by its service account's mounted token."""
    host, port = environment.get("KUBERNETES_SERVICE_HOST"), environment.get("KUBERNETES_SERVICE_PORT")
    token_file = directory / "token"
    if not host or not port or not token_file.is_file():
        raise ConfigError("not running in a cluster: KUBERNETES_SERVICE_HOST or the mounted token is missing")
    namespace = directory / "namespace"
    return Connection(
        server=f"https://{f'[{host}]' if ':' in host else host}:{port}",
        ca=(directory / "ca.crt").read_bytes(),
        token_file=token_file,
        namespace=namespace.read_text().strip() if namespace.is_file() else "default",
    )


def _entry(config: Mapping[str, Any], section: str, field: str, name: str) -> Mapping[str, Any]:
    entries: Sequence[Mapping[str, Any]] = config.get(section) or ()
    for entry in entries:
        if entry.get("name") == name:
            return entry.get(field) or {}
    known = ", ".join(sorted(str(entry.get("name")) for entry in entries)) or "none"
    raise ConfigError(f"the kubeconfig has no {field} {name!r}; it has: {known}")


def _bytes(entry: Mapping[str, Any], field: str, base: Path | None) -> bytes | None:
    """`field`-data (base64) wins over the file that `field` names."""
    data = entry.get(f"{field}-data")
    if data:
        try:
            return base64.b64decode(data, validate=True)
        except binascii.Error as error:
            raise ConfigError(f"{field}-data of the kubeconfig is not base64: {error}") from error
    name = entry.get(field)
    if not name:
        return None
    try:
        return _path(name, base).read_bytes()
    except OSError as error:
        raise ConfigError(f"{field} of the kubeconfig cannot be read: {error}") from error


def _path(name: str, base: Path | None) -> Path:
    path = Path(name)
    return path if path.is_absolute() or base is None else base / path


def _exec(entry: Mapping[str, Any] | None) -> ExecCredential | None:
    if not entry:
        return None
    if not entry.get("command"):
        raise ConfigError("a user's exec entry in the kubeconfig has no command")
    return ExecCredential(
        command=str(entry["command"]),
        args=tuple(str(argument) for argument in entry.get("args") or ()),
        env={str(pair["name"]): str(pair["value"]) for pair in entry.get("env") or ()},
        api_version=str(entry.get("apiVersion") or "client.authentication.k8s.io/v1"),
    )
