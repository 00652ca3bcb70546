"""Joins what is known about a minor and writes it as two compressed files.

Form of ``<minor>.zz`` (zlib over lines, so that one line can be parsed without the others):
    line 1   facts: version, kinds, columns, selectors, storage hashes
    line 2   the items of aggregated discovery; line 3: the bootstrap objects
    others   one type a line: ``NAME<TAB>JSON``, JSON = [extras of the struct, [field, …]],
             field = [JSON name, flags, Go type, protobuf number] or with extras as a fifth element;
             structs that Go embeds are already inlined. Letters: see `schemas`.
Form of ``<minor>.descriptions.zz``: one type a line, ``NAME<TAB>[text, {field: text}]``; under the name ``parameters``,
the query parameters of requests: ``{name: "TYPE TEXT"}``.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from tools.reference import openapi, schemas, supplement

from kloster.apimachinery.openapi.definitions import LEAVES
from kloster.apimachinery.schema import build

Types = dict[str, list[list[Any]]]
_WRAPPERS = re.compile(r"^(?:\*|\[\]|map\[string\])+")
_EITHER = re.compile(r"\.JSONSchemaPropsOr\w+$")
_OMITTED = "<omitted>"


def dumps(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def write(path: Path, lines: Iterable[str]) -> int:
    data = zlib.compress("\n".join(lines).encode(), 9)
    path.write_bytes(data)
    return len(data)


def base(go_type: str) -> str:
    """The named or basic type inside pointers, lists and maps."""
    return _WRAPPERS.sub("", go_type)


def flatten(types: Types, name: str, path: tuple[int, ...] = ()) -> Iterator[tuple[list[Any], tuple[int, ...]]]:
    """The fields of a struct with embedded structs in place, as encoding/json sees them.

    To protobuf an embedded struct is a message of its own: beside each field stand the numbers that lead to it.
    """
    for field in types[name]:
        flags, go_type, number = field[1:4]
        if "i" in flags and go_type in types:
            # A type's own field wins over an embedded one of the same name; upstream has no such pair.
            yield from flatten(types, go_type, (*path, number))
        elif "i" not in flags:
            yield field, path


def reachable(types: Types, roots: Iterable[str]) -> list[str]:
    """Every struct that can be reached from `roots`, embedded ones only through their fields."""
    seen: dict[str, None] = {}
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in seen or name not in types:
            continue
        seen[name] = None
        waiting.extend(base(field[2]) for field, _ in flatten(types, name))
    return sorted(seen)


def type_lines(types: Types, names: Iterable[str], definitions: dict[str, Any], facts: openapi.Facts) -> Iterator[str]:
    for name in names:
        known = facts.type(name)
        definition = definitions.get(schemas.definition_name(name), {})
        fields = []
        for field, path in flatten(types, name):
            extras = openapi.merged(schemas.field_extras(definition, field[0]), known.get(field[0], {}))
            if field[4]:
                extras["n"] = field[4]
            number = field[3] if all(path) else 0  # the envelope says what TypeMeta says
            if path and number:
                extras["p"] = list(path)
            described = [*field[:3], number]
            fields.append([*described, extras] if extras else described)
        yield f"{name}\t{dumps([schemas.struct_extras(definition), fields])}"


def text_lines(names: Iterable[str], definitions: dict[str, Any], facts: openapi.Facts) -> Iterator[str]:
    for name in sorted({*names, *LEAVES}):
        definition = definitions.get(schemas.definition_name(name))
        if definition is not None:
            text, fields = schemas.descriptions(definition)
            for field, fact in facts.type(name).items():
                if not field:
                    text = openapi.text(text, fact)
                elif field in definition["properties"] and fact.keys() & {"t", "x"}:
                    fields[field] = openapi.text(fields.get(field, ""), fact)
            yield f"{name}\t{dumps([text, fields])}"
    yield f"parameters\t{dumps(['', facts.parameters])}"


def with_names(types: Types) -> Types:
    """Fields with a fifth element, the Go decoder's name of a named type, which older recordings lack."""
    names = json.loads((Path(__file__).parent / "named-types.json").read_bytes())
    return {
        name: [field if len(field) > 4 else [*field, names.get(name, {}).get(field[0], "")] for field in fields]
        for name, fields in types.items()
    }


def clean_bootstrap(objects: list[Any]) -> list[Any]:
    """Without what belongs to the recorded server itself: its certificates and leases."""
    kept = []
    for item in objects:
        if (
            item["kind"] == "Lease"
            or item["metadata"]["name"] == "kube-apiserver-legacy-service-account-token-tracking"
        ):
            continue
        if "data" in item:
            item = {**item, "data": {key: value for key, value in item["data"].items() if value != _OMITTED}}
        kept.append(item)
    return kept


def served_versions(*discoveries: dict[str, Any]) -> set[str]:
    """``group/version`` of everything that discovery lists, core as ``v1``."""
    found = set()
    for discovery in discoveries:
        for groups in discovery.values():
            for group in groups:
                name = group.get("metadata", {}).get("name", "")
                found |= {f"{name}/{version['version']}".lstrip("/") for version in group["versions"]}
    return found


def pack(minor: str, source: Path, target: Path) -> str:
    """Write the two files of `minor`; returns a line that says what was written."""

    def read(name: str, default: Any = None) -> Any:
        path = source / name
        return json.loads(path.read_bytes()) if path.exists() or default is None else default

    recorded = read("types.json")
    discovery = read("discovery.json")
    types = with_names({**supplement.TYPES, **recorded["types"]})
    served = served_versions(discovery, read("discovery-all.json", {}))
    kinds = {
        gvk: name
        for gvk, name in sorted({**supplement.KINDS, **recorded["kinds"]}.items())
        if gvk.rpartition("/")[0] in served
    }
    roots = [
        *kinds.values(),
        *(name for name in types if re.search(r"meta/v1\.|core/v1\.\w+Options$|/v1\.Conversion", name)),
    ]
    definitions, known = schemas.definitions(minor), openapi.Facts(minor)
    types |= supplement.info(definitions)
    names = reachable(types, [*roots, supplement.INFO])
    structs = [name for name in names if name not in build.LEAVES and not _EITHER.search(name)]
    facts = read("version.json")
    head = {
        "minor": minor,
        "version": facts["version"],
        "openapi": facts["openapi_v3_paths"],
        "openapi_elements": known.elements,
        "readyz": [line for line in facts["readyz"] if line.startswith("[")],
        "kinds": kinds,
        "columns": read("printer-columns.json"),
        "selectors": read("field-selectors.json"),
        "hashes": read("storage-version-hashes.json"),
    }
    bootstrap = clean_bootstrap(read("bootstrap-objects.json"))
    lines = [dumps(head), dumps(discovery), dumps(bootstrap), *type_lines(types, structs, definitions, known)]
    size = write(target / f"{minor}.zz", lines)
    texts_size = write(target / f"{minor}.descriptions.zz", text_lines(names, definitions, known))
    return f"{minor}: {len(kinds)} kinds, {len(structs)} structs, {size} bytes; descriptions {texts_size} bytes"
