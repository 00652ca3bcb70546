"""Requests that make no sense, by the thousand: methods, paths, parameters, headers and bodies, valid ones spoilt here
and there. What one of them brings to light is added as a case of its own."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import orjson
import yaml

from kloster.apimachinery import Object
from kloster.apimachinery.schema.model import EitherType, Leaf, ListType, MapType, StructType, Type
from kloster.apiserver.cluster import ServedCluster
from kloster.apiserver.negotiation import PROTOBUF
from kloster.apiserver.resources import Served

PATHS = (
    *("/", "/api", "/apis", "/api/v1", "/apis/apps", "/apis/apps/v1", "/openapi/v2", "/openapi/v3", "/version"),
    *("/openapi/v3/api/v1", "/healthz", "/livez", "/readyz", "/metrics", "/logs", "/debug/pprof", "/.well-known/x"),
    *("/apis/authorization.k8s.io/v1/subjectaccessreviews", "/apis/authentication.k8s.io/v1/tokenreviews"),
    *("/apis/authorization.k8s.io/v1/selfsubjectrulesreviews", "/apis/authentication.k8s.io/v1/selfsubjectreviews"),
)
SUBRESOURCES = (
    *("status", "scale", "binding", "eviction", "ephemeralcontainers", "resize", "log", "exec", "attach"),
    *("portforward", "proxy", "token", "approval", "finalize", "nothing"),
)
PARAMETERS = (
    *("limit", "continue", "resourceVersion", "resourceVersionMatch", "labelSelector", "fieldSelector", "watch"),
    *("timeoutSeconds", "sendInitialEvents", "allowWatchBookmarks", "dryRun", "fieldManager", "fieldValidation"),
    *("force", "pretty", "includeObject", "propagationPolicy", "gracePeriodSeconds", "orphanDependents", "container"),
    *("follow", "tailLines", "command", "stdin", "sinceTime", "timeout", "verbose", "path", "ports", "previous"),
)
VALUES = (
    *("", "0", "1", "-1", "true", "false", "x", "a=b", "a in (b,c)", "!a", "a>1", "metadata.name=x", "spec.x=1", "%00"),
    *("9" * 40, "1e9", "NaN", "\u0000", "\U0001f600", "All", "Exact", "NotOlderThan", "Strict", "Orphan", "Table"),
    *("eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MSwic3RhcnQiOiJhIn0", "../..", "a" * 3000, "2020-01-01T00:00:00Z"),
    *("((((", ","),
)
TYPES = (
    *("application/json", "application/yaml", PROTOBUF, "application/json-patch+json", "text/plain", "", "*/*", "x"),
    *("application/merge-patch+json", "application/strategic-merge-patch+json", "application/apply-patch+yaml"),
    *("application/json;as=Table;g=meta.k8s.io;v=v1", "application/json;q=;;,", PROTOBUF + ";stream=watch", "a/b;c=d"),
    *("application/yaml;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1", "application/cbor", "application/*"),
)
HEADERS = (
    *("accept", "accept", "accept", "content-type", "content-type", "content-type", "user-agent"),
    *("impersonate-user", "impersonate-group", "impersonate-extra-a%zz"),
    *("impersonate-uid", "authorization", "audit-id", "accept-encoding", "upgrade", "connection", "if-none-match"),
)
METHODS = ("GET", "GET", "POST", "POST", "PUT", "PATCH", "PATCH", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "X")


@dataclass
class Nonsense:
    """One request."""

    method: str
    target: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


class Source:
    """Makes requests to `cluster`, the same ones for the same seed."""

    def __init__(self, cluster: ServedCluster, seed: int) -> None:
        self.cluster = cluster
        self.dice = random.Random(seed)
        self.resources: Sequence[Served] = list(cluster.resources)

    def request(self) -> Nonsense:
        dice, served = self.dice, self.dice.choice(self.resources)
        method, target = dice.choice(METHODS), self._path(served)
        body = self._body(served, method)
        return Nonsense(method, target + self._query(), self._headers(method), body)

    # --- where -------------------------------------------------------------------------------------------------------

    def _path(self, served: Served) -> str:
        dice, kind = self.dice, served.kind
        if dice.random() < 0.1:
            return dice.choice(PATHS)
        base = f"/apis/{kind.group}/{kind.version}" if kind.group else "/api/v1"
        if kind.namespaced and dice.random() < 0.9:
            base += "/namespaces/" + dice.choice(("default", "default", "kube-system", "none", "A b"))
        base += f"/{kind.plural}"
        if dice.random() < 0.6:
            base += "/" + dice.choice(("x", "x", "y", "kubernetes", "default", "..", "%2e", "a:b", "\u00fc", "a" * 300))
            if dice.random() < 0.3:
                base += "/" + dice.choice(SUBRESOURCES)
        if dice.random() < 0.97:
            return quote(base, safe="/%")
        return base.replace("/", dice.choice(("//", "/./", "%2f")), 2)

    def _query(self) -> str:
        dice = self.dice
        if dice.random() < 0.5:
            return ""
        pairs = [(dice.choice(PARAMETERS), dice.choice(VALUES)) for _ in range(dice.randint(1, 4))]
        return "?" + "&".join(f"{name}={quote(value, errors='replace')}" for name, value in pairs)

    def _headers(self, method: str) -> dict[str, str]:
        dice = self.dice
        found = {}
        for _ in range(dice.randint(0, 2)):
            name = dice.choice(HEADERS)
            found[name] = dice.choice(TYPES if name in ("accept", "content-type") else VALUES)
        if method == "PATCH" and dice.random() < 0.9:
            found["content-type"] = dice.choice([one for one in TYPES if "patch" in one])
        return found

    # --- what --------------------------------------------------------------------------------------------------------

    def _body(self, served: Served, method: str) -> bytes:
        dice = self.dice
        if method in ("GET", "HEAD") and dice.random() < 0.9:
            return b""
        item: Any = self._spoilt(self._object(served))
        if method == "PATCH" and dice.random() < 0.4:
            item = [self._operation(item) for _ in range(dice.randint(0, 4))]
        form = dice.random()
        if form < 0.7:
            text = _json(item)
        elif form < 0.85:
            text = yaml.safe_dump(item, allow_unicode=True).encode("utf-8", "replace")
        else:
            codec = self.cluster.codecs[PROTOBUF]
            try:
                text = codec.encode(self._object(served), served.kind.type)
            except Exception:
                text = b"k8s\x00" + dice.randbytes(dice.randint(0, 60))
        return self._scratched(text) if dice.random() < 0.3 else text

    def _operation(self, value: Any) -> Any:
        dice = self.dice
        paths = ("", "/", "/metadata", "/metadata/labels/a", "/spec/-", "/data/0", "/a~1b~0", "x", "/spec/x/-1")
        path = dice.choice(paths)
        found = {"op": dice.choice(("add", "remove", "replace", "move", "copy", "test", "x", None)), "path": path}
        if dice.random() < 0.7:
            found["value"] = value
        if dice.random() < 0.4:
            found["from"] = dice.choice(("/metadata", "", "/spec", "/x", None))
        return found if dice.random() < 0.95 else self._anything()

    def _object(self, served: Served) -> Object:
        kind = served.kind
        found: Object = self._value(kind.type, 0)
        found.update(kind=kind.kind, apiVersion=kind.api_version)
        metadata = found.setdefault("metadata", {})
        if isinstance(metadata, dict):
            metadata["name"] = self.dice.choice(("x", "y"))
            metadata.pop("namespace", None)
            for name in ("resourceVersion", "uid", "managedFields"):
                if self.dice.random() < 0.8:
                    metadata.pop(name, None)
        return found

    def _value(self, type: Type, depth: int) -> Any:
        dice = self.dice
        if isinstance(type, EitherType):
            return dice.choice((True, {}, []))
        if isinstance(type, StructType):
            names = list(type.fields)
            if depth > 6:
                return {}
            chosen = [name for name in names if dice.random() < (0.5 if depth < 2 else 0.25)]
            return {name: self._value(type.fields[name].type, depth + 1) for name in chosen}
        if isinstance(type, ListType):
            return [self._value(type.item, depth + 1) for _ in range(dice.randint(0, 2))]
        if isinstance(type, MapType):
            names = [dice.choice(("a", "b", "a.b/c", "")) for _ in range(dice.randint(0, 2))]
            return {name: self._value(type.value, depth + 1) for name in names}
        return self._leaf(type)

    def _leaf(self, leaf: Leaf) -> Any:
        dice = self.dice
        if leaf in (Leaf.INT32, Leaf.INT64):
            return dice.choice((0, 1, -1, 80, 2**31, 2**63 - 1, 65536))
        if leaf is Leaf.BOOL:
            return dice.random() < 0.5
        if leaf is Leaf.QUANTITY:
            return dice.choice(("1", "1Gi", "100m", "-1", "1e400", "", "x", 5, "9" * 50))
        if leaf in (Leaf.TIME, Leaf.MICRO_TIME):
            return dice.choice(("2020-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z", "x", None))
        if leaf is Leaf.INT_OR_STRING:
            return dice.choice((0, 1, "50%", "http", "", 2**40))
        if leaf is Leaf.BYTES:
            return dice.choice(("", "YQ==", "%", "YQ"))
        if leaf in (Leaf.ANY, Leaf.RAW, Leaf.FIELDS):
            return self._anything()
        texts = ("", "a", "x", "TCP", "Always", "10.0.0.1", "::1", "a.b/c", "*", "A" * 260, "true", "default")
        return dice.choice(texts)

    def _anything(self) -> Any:
        dice = self.dice
        deep: Any = None
        for _ in range(dice.choice((1, 3, 300))):
            deep = dice.choice(([deep], {"a": deep}))
        odd = (None, True, 0, -1, 1.5, 1e300, 2**64, 10**30, "", "x", [], {}, [[]], {"": None}, "\ud800", deep)
        return dice.choice(odd)

    def _spoilt(self, value: Any) -> Any:
        """With something else in place of some of its parts."""
        dice = self.dice
        if dice.random() < 0.02:
            return self._anything()
        if isinstance(value, dict):
            found = {name: self._spoilt(inner) for name, inner in value.items() if dice.random() > 0.01}
            if dice.random() < 0.03:
                found[dice.choice(("x", "$patch", "$retainKeys", "$setElementOrder/x", "name", ""))] = self._anything()
            return found
        return [self._spoilt(inner) for inner in value] if isinstance(value, list) else value

    def _scratched(self, text: bytes) -> bytes:
        dice, found = self.dice, bytearray(text)
        for _ in range(dice.randint(1, 4)):
            at = dice.randrange(len(found) + 1)
            scratches = (b"", b"{", b"]", b'"', b"\x00", b"\xff", b",", b"*a", b"\n")
            found[at : at + dice.randint(0, 3)] = dice.choice(scratches)
        return bytes(found)


def _json(value: Any) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError:  # halves of surrogate pairs, great numbers, great depth: as others would write them
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")
