"""Kubeconfig documents for clusters: what the CLI merges, what lies in the Secret ``kubeconfig-NAME`` on the host."""

from __future__ import annotations

import base64

import yaml

from kloster.apimachinery import Object
from kloster.fleet.identity import Identity


def admin(name: str, server: str, identity: Identity, now: float, ahead: float = 0.0) -> Object:
    """A kubeconfig whose user is cluster-admin by a client certificate, valid for a year of a cluster whose time is so
    many seconds ahead."""
    pair = identity.admin(now, ahead)
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": name, "cluster": {"server": server, "certificate-authority-data": identity.ca_data}},
        ],
        "users": [
            {
                "name": name,
                "user": {
                    "client-certificate-data": base64.b64encode(pair.certificate).decode(),
                    "client-key-data": base64.b64encode(pair.key).decode(),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "current-context": name,
        "preferences": {},
    }


def dump(document: Object) -> str:
    """As YAML text."""
    return yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False)
