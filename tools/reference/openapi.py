"""What only a server's OpenAPI documents tell about fields: enumerations and defaults beyond zero values.

``openapi-facts.json``: Go type → field → {d default, o enumeration, x text that follows the description, t text in its
place}, the union over the recorded servers; the empty field is the type itself. Minors that were not recorded take
what is known about the same field.
``openapi-parameters.json``: query parameter → its type and text. What reads in another way in some operations has the
kind of its options in front (``PatchOptions.fieldManager``, ``PodExecOptions.command``).
``python -m tools.reference.openapi KUBECONFIG`` adds a server's facts.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tools.reference import schemas
from tools.reference.kubeconfig import Server

from kloster.apimachinery.openapi import definitions
from kloster.kinds import catalog, loading

Facts = dict[str, dict[str, dict[str, Any]]]
_FILE = Path(__file__).parent / "openapi-facts.json"
_PARAMETERS = Path(__file__).parent / "openapi-parameters.json"
_METHODS = frozenset(("get", "put", "post", "delete", "options", "head", "patch"))


def facts() -> Facts:
    """Everything recorded."""
    found: Facts = json.loads(_FILE.read_bytes()) if _FILE.exists() else {}
    return found


def parameters() -> dict[str, str]:
    """Query parameter → ``TYPE TEXT``."""
    found: dict[str, str] = json.loads(_PARAMETERS.read_bytes()) if _PARAMETERS.exists() else {}
    return found


def merged(extras: dict[str, Any], fact: dict[str, Any]) -> dict[str, Any]:
    """The extras of a field with what is known about it."""
    return extras | {letter: fact[letter] for letter in "do" if letter in fact}


def text(known: str, fact: dict[str, Any]) -> str:
    """A description with what servers say beyond the packaged one."""
    return str(fact.get("t", known + fact.get("x", "")))


def record(kubeconfig: Path) -> None:
    server = Server(kubeconfig)
    minor = catalog.parse_version(".".join(server.get("/version")["gitVersion"].split(".")[:2]))
    types = loading.Reference(minor)
    names = {definitions.name_of(name): name for name in (*types.type_names, *definitions.LEAVES)}
    published = schemas.definitions(minor)
    known, asked = facts(), parameters()
    for path in server.get("/openapi/v3")["paths"].values():
        document = server.get(path["serverRelativeURL"])
        asked |= _parameters(document)
        for name, schema in document.get("components", {}).get("schemas", {}).items():
            go_type = names.get(name)
            found = dict(_differences(types, go_type, schema, published[name])) if go_type else {}
            if go_type and found:
                known[go_type] = found
    for file, content in ((_FILE, known), (_PARAMETERS, asked)):
        file.write_text(json.dumps(content, indent=0, sort_keys=True, ensure_ascii=False) + "\n")


def _parameters(document: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for path, methods in document["paths"].items():
        operations = {method: methods[method] for method in methods if method in _METHODS}
        for method, operation in operations.items():
            for parameter in [*operation.get("parameters", ()), *methods.get("parameters", ())]:
                if parameter["in"] == "query":
                    prefix = _prefix(path, method, operation, parameter["name"])
                    yield prefix + parameter["name"], f"{parameter['schema']['type']} {parameter['description']}"


def _prefix(path: str, method: str, operation: dict[str, Any], name: str) -> str:
    if operation["x-kubernetes-action"] == "connect":
        return f"{operation['x-kubernetes-group-version-kind']['kind']}."
    if path.endswith("/log") and name != "pretty":
        return "PodLogOptions."
    return "PatchOptions." if (method, name) == ("patch", "fieldManager") else ""


def _differences(
    types: loading.Reference, go_type: str, schema: dict[str, Any], published: dict[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    if fact := _text_fact(schema, published):
        yield "", fact
    if go_type in definitions.LEAVES:
        return
    extras, fields = types.type(go_type) or ({}, [])
    plain = [[*field[:4], {**(field[4] if len(field) > 4 else {})}] for field in fields]
    for field in plain:
        field[4].pop("d", None)
    rule = definitions.definition(definitions.Form.V3, go_type, (extras, plain), "", {})
    for name, wanted in schema.get("properties", {}).items():
        fact = _text_fact(wanted, published["properties"][name])
        if wanted.get("default") != rule["properties"][name].get("default"):
            fact["d"] = wanted.get("default")
        inner = wanted.get("items") or wanted.get("additionalProperties") or wanted
        if "enum" in inner:
            fact["o"] = inner["enum"]
        if fact:
            yield name, fact


def _text_fact(wanted: dict[str, Any], published: dict[str, Any]) -> dict[str, Any]:
    """How the server's description differs from the published one."""
    full, short = wanted.get("description", ""), published.get("description", "")
    if full == short:
        return {}
    return {"x": full[len(short) :]} if full.startswith(short) else {"t": full}


if __name__ == "__main__":
    record(Path(sys.argv[1]))
