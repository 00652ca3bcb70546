"""A plain HTTPS session with the API server of a kubeconfig's current context (client certificate or token)."""

from __future__ import annotations

import base64
import json
import ssl
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import yaml


class Server:
    """Requests to one API server. Answers are returned whatever their status."""

    def __init__(self, kubeconfig: Path) -> None:
        config = yaml.safe_load(kubeconfig.read_text())
        context = _named(config["contexts"], config["current-context"])["context"]
        cluster = _named(config["clusters"], context["cluster"])["cluster"]
        user = _named(config["users"], context["user"])["user"]
        self._url: str = cluster["server"].rstrip("/")
        self._headers = {"Authorization": f"Bearer {user['token']}"} if "token" in user else {}
        self._tls = _tls(kubeconfig.parent, cluster, user)

    def request(self, method: str, path: str, body: Any = None, accept: str = "application/json") -> bytes:
        data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
        headers = {**self._headers, "Accept": accept, "Content-Type": "application/json"}
        request = urllib.request.Request(self._url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, context=self._tls, timeout=30) as answer:
                return bytes(answer.read())
        except urllib.error.HTTPError as error:
            return error.read()

    def get(self, path: str, accept: str = "application/json") -> Any:
        return json.loads(self.request("GET", path, accept=accept))


def _named(items: list[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(item for item in items if item["name"] == name)


def _tls(folder: Path, cluster: dict[str, Any], user: dict[str, Any]) -> ssl.SSLContext:
    authority = _pem(folder, cluster, "certificate-authority")
    context = ssl.create_default_context(cadata=authority.decode() if authority else None)
    certificate, key = _pem(folder, user, "client-certificate"), _pem(folder, user, "client-key")
    if certificate and key:
        with tempfile.NamedTemporaryFile() as chain:  # the ssl module takes files only
            chain.write(certificate + b"\n" + key)
            chain.flush()
            context.load_cert_chain(chain.name)
    return context


def _pem(folder: Path, source: dict[str, Any], name: str) -> bytes:
    if f"{name}-data" in source:
        return base64.b64decode(source[f"{name}-data"])
    return (folder / source[name]).read_bytes() if name in source else b""
