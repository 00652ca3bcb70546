"""What upstream's generated OpenAPI definitions tell beyond its published swagger: enumerations, defaults, parameters.

``update`` reads those of one minor off upstream's Go module of its version (``goopenapi``; needs Go and its module
proxy) and writes them into ``openapi-facts.json``, which knows all minors. Form: ``types``: Go type → field → facts
since a minor, where facts are d default, o enumeration, x text that follows the published description, t text in its
place, and the empty field is the type itself. ``parameters``: query parameter → ``TYPE TEXT`` since a minor; what
reads in another way in some operations has the kind of its options in front (``PatchOptions.fieldManager``).
``elements``: whether elements of lists and maps have defaults, since a minor.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.reference import schemas

from kloster.apimachinery.openapi import definitions
from kloster.apimachinery.schema.build import META
from kloster.kinds import loading

_HERE = Path(__file__).parent
_FILE = _HERE / "openapi-facts.json"
_PRETTY = (
    "string If 'true', then the output is pretty printed. Defaults to 'false' unless the user-agent indicates a "
    "browser or command-line HTTP tool (curl and wget)."
)
_COMMON = ("CreateOptions", "GetOptions", "ListOptions", "DeleteOptions", "PatchOptions")
_CONNECTED = (
    "NodeProxyOptions",
    "PodAttachOptions",
    "PodExecOptions",
    "PodLogOptions",
    "PodPortForwardOptions",
    "PodProxyOptions",
    "ServiceProxyOptions",
)
_BASIC = frozenset(("string", "integer", "boolean"))

Fields = dict[str, dict[str, Any]]


class Facts:
    """The facts of one minor."""

    def __init__(self, minor: str) -> None:
        known = json.loads(_FILE.read_bytes()) if _FILE.exists() else {"types": {}, "parameters": {}}
        self._minor = _order(minor)
        self._types: dict[str, dict[str, dict[str, Any]]] = known["types"]
        self.parameters: dict[str, str] = self._then(known["parameters"])
        self.elements: bool = self._then({"": known.get("elements", {})}).get("", False)

    def type(self, go_type: str) -> Fields:
        """Field → facts."""
        return self._then(self._types.get(go_type, {}))

    def _then(self, since: dict[str, dict[str, Any]]) -> dict[str, Any]:
        found = {}
        for name, facts in since.items():
            minors = [minor for minor in facts if _order(minor) <= self._minor]
            value = facts[max(minors, key=_order)] if minors else None
            if value:
                found[name] = value
        return found


def _order(minor: str) -> list[int]:
    return [int(part) for part in minor.split(".")]


def merged(extras: dict[str, Any], fact: dict[str, Any]) -> dict[str, Any]:
    """The extras of a field with what is known about it."""
    return extras | {letter: fact[letter] for letter in "do" if letter in fact}


def text(known: str, fact: dict[str, Any]) -> str:
    """A description with what is known beyond the published one."""
    return str(fact.get("t", known + fact.get("x", "")))


# --- recording --------------------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Found:
    """What one minor says: type → field → facts for each type that it has, whether or not there are any."""

    types: dict[str, Fields] = field(default_factory=dict)
    parameters: dict[str, str] = field(default_factory=dict)
    elements: bool = False


def update(minor: str, version: str, data: Path) -> None:
    """Replace the facts of a minor by those of its `version`; what others say stays. Its types are packed in `data`."""
    write(minor, _read(minor, version, data))


def write(minor: str, found: Found) -> None:
    """Replace the facts of a minor."""
    known = json.loads(_FILE.read_bytes())
    minors = sorted({minor, *_mentioned(known)}, key=_order)
    facts = {one: Facts(one) for one in minors}
    types: dict[str, dict[str, dict[str, Any]]] = {}
    parameters: dict[str, dict[str, str]] = {}
    elements: dict[str, bool] = {}
    for one in minors:
        there = found if one == minor else None
        _since(elements, one, found.elements if there else facts[one].elements)
        for name, value in (there or facts[one]).parameters.items():
            _since(parameters.setdefault(name, {}), one, value)
        for go_type in found.types if there else known["types"]:
            since = types.setdefault(go_type, {})
            fields = found.types[go_type] if there else facts[one].type(go_type)
            for name in {**since, **fields}:
                _since(since.setdefault(name, {}), one, fields.get(name, {}))
    kept = {name: {field: facts for field, facts in fields.items() if facts} for name, fields in types.items()}
    content: dict[str, Any] = {
        "types": {name: fields for name, fields in kept.items() if fields},
        "parameters": parameters,
        "elements": elements,
    }
    _FILE.write_text(json.dumps(content, indent=0, sort_keys=True, ensure_ascii=False) + "\n")


def _mentioned(known: dict[str, Any]) -> set[str]:
    """The minors at which something changes; between them nothing does."""
    fields = (since for fields in known["types"].values() for since in fields.values())
    return {minor for since in (*fields, *known["parameters"].values(), known["elements"]) for minor in since}


def _read(minor: str, version: str, data: Path) -> Found:
    """The facts of Kubernetes `version`."""
    generated = {_name(name): schema for name, schema in _generated(version).items()}
    versions = generated[definitions.name_of(f"{META}.APIVersions")]["properties"]["versions"]
    published = schemas.definitions(minor)
    found = Found(parameters=_parameters(generated), elements="default" in versions["items"])
    for name, go_type, fields in _types(loading.Reference(minor, data), published, generated):
        found.types[go_type] = dict(_differences(go_type, fields, generated[name], published[name]))
    return found


def _since(facts: dict[str, Any], minor: str, value: Any) -> None:
    last = next(reversed(facts.values()), {})
    if value != last:
        facts[minor] = value


def _name(name: str) -> str:
    """Older versions name definitions by Go package."""
    return definitions.name_of(name.removeprefix("k8s.io/")) if "/" in name else name


def _types(
    packed: loading.Reference, published: dict[str, Any], generated: dict[str, Any]
) -> Iterator[tuple[str, str, list[list[Any]] | None]]:
    """(name, Go type, its fields if it is a struct) of what a minor publishes."""
    for go_type in (*packed.type_names, *definitions.LEAVES):
        name = definitions.name_of(go_type)
        if name in generated and name in published:
            described = packed.type(go_type)
            yield name, go_type, described[1] if described else None


def _differences(
    go_type: str, fields: list[list[Any]] | None, schema: dict[str, Any], published: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    if fact := _text_fact(schema, published):
        yield "", fact
    if fields is None:
        return
    plain = [field[:4] for field in fields]
    rule = definitions.definition(definitions.Form.V3, go_type, ({}, plain), "", {})
    for name, wanted in schema.get("properties", {}).items():
        if name not in rule["properties"] or name not in published["properties"]:
            continue
        fact = _text_fact(wanted, published["properties"][name])
        if wanted.get("default") != rule["properties"][name].get("default"):
            fact["d"] = wanted.get("default")
        inner = wanted.get("items") or wanted.get("additionalProperties") or wanted
        if "enum" in inner:
            fact["o"] = inner["enum"]
        if fact:
            yield name, fact


def _text_fact(wanted: dict[str, Any], published: dict[str, Any]) -> dict[str, Any]:
    """How the generated description differs from the published one."""
    full, short = wanted.get("description", ""), published.get("description", "")
    if full == short:
        return {}
    return {"x": full[len(short) :]} if full.startswith(short) else {"t": full}


def _parameters(generated: dict[str, Any]) -> dict[str, str]:
    """The query parameters that options become: those of basic types and lists of these."""
    found = {"pretty": _PRETTY}
    for kind in (*_COMMON, *_CONNECTED):
        package = META if kind in _COMMON else "api/core/v1"
        for name, schema in generated[definitions.name_of(f"{package}.{kind}")]["properties"].items():
            type = schema.get("items", schema).get("type")
            if type in _BASIC and name not in ("kind", "apiVersion"):
                own = kind in _CONNECTED or (kind, name) == ("PatchOptions", "fieldManager")
                found.setdefault(f"{kind}.{name}" if own else name, f"{type} {schema['description']}")
    return found


def _generated(version: str) -> dict[str, Any]:
    """The definitions of Kubernetes `version` (1.34.4), whose staging modules are v0.34.4."""
    module = f"k8s.io/kubernetes@v{version}"
    answer = subprocess.run(["go", "mod", "download", "-json", module], capture_output=True, check=True)
    upstream = (Path(json.loads(answer.stdout)["Dir"]) / "go.mod").read_text()
    staging = sorted(set(re.findall(r"^\s*(k8s\.io/[\w\-]+)\s*=>\s*\./staging", upstream, re.MULTILINE)))
    replaced = "\n".join(f"\t{name} => {name} v{version.replace('1.', '0.', 1)}" for name in staging)
    go = re.search(r"^go \S+", upstream, re.MULTILINE)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "go.mod").write_text(
            f"module goopenapi\n\n{go[0] if go else ''}\n\nrequire k8s.io/kubernetes v{version}\n\n"
            f"replace (\n{replaced}\n)\n"
        )
        (folder / "main.go").write_bytes((_HERE / "goopenapi" / "main.go").read_bytes())
        environment = {**os.environ, "GOFLAGS": "-mod=mod"}
        done = subprocess.run(["go", "run", "."], cwd=folder, env=environment, capture_output=True, check=False)
    if done.returncode:
        raise SystemExit(f"reading upstream's definitions failed:\n{done.stderr.decode()}")
    return dict(json.loads(done.stdout))
