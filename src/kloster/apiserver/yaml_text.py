"""YAML in requests and answers, as upstream's library reads and writes it.

That library is YAML 1.1 with Go's notion of scalars: ``y`` and ``on`` are booleans, ``1e3`` is a number, ``1:30`` and
dates are texts. PyYAML's tables differ in such details, so the plain scalars are resolved by tables of our own. Keys
become texts, as in JSON; a repeated key is noted, and the last one counts.
"""

from __future__ import annotations

import base64
import math
import re
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import orjson
import yaml

from kloster.apimachinery import golang

MOST_NODES = 50_000


class _Loader(yaml.CSafeLoader):
    """Makes JSON values. `found` collects findings about repeated keys, `made` counts nodes.

    A node takes twenty microseconds, and everybody waits meanwhile: their number is bounded.
    """

    found: list[str]
    made = 0
    most: float = MOST_NODES

    def resolve(self, kind: type[yaml.Node], value: str | None, implicit: Any) -> str:
        self.made += 1
        if self.made > self.most:
            raise yaml.YAMLError(f"a document may have at most {self.most} values")
        return str(super().resolve(kind, value, implicit))  # type: ignore[no-untyped-call]


_TRUE = "y|Y|yes|Yes|YES|true|True|TRUE|on|On|ON"
_FALSE = "n|N|no|No|NO|false|False|FALSE|off|Off|OFF"
_WORDS = list("yYnNtTfFoO")
_NUMBER = list("-+.0123456789")

_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("bool", rf"^(?:{_TRUE}|{_FALSE})$", _WORDS),
    ("null", r"^(?:~|null|Null|NULL|)$", ["~", "n", "N", ""]),
    ("int", r"^[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|[0-9][0-9_]*)$", _NUMBER),
    (
        "float",
        r"^(?:[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$",
        _NUMBER,
    ),
    ("merge", r"^<<$", ["<"]),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(_pattern), _first)


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Iterator[dict[str, Any]]:
    data: dict[str, Any] = {}
    yield data
    loader.flatten_mapping(node)
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, str):
            if not isinstance(key, int | float):
                raise yaml.YAMLError(f"invalid map key: {_shown(key)}")
            key = orjson.dumps(key).decode()
        if key in data:
            loader.found.append(f'line {key_node.start_mark.line + 1}: key "{key}" already set in map')
        data[key] = loader.construct_object(value_node, deep=True)


def _shown(key: Any) -> str:
    return "<nil>" if key is None else golang.shown(key)


def _boolean(loader: _Loader, node: yaml.ScalarNode) -> bool:
    return node.value in _TRUE.split("|")


def _integer(loader: _Loader, node: yaml.ScalarNode) -> int:
    text = node.value.replace("_", "")
    sign = -1 if text.startswith("-") else 1
    digits = text.lstrip("+-")
    if digits.startswith(("0b", "0x", "0o")):
        return sign * int(digits, 0)
    return sign * int(digits, 8 if digits.startswith("0") and len(digits) > 1 else 10)


def _float(loader: _Loader, node: yaml.ScalarNode) -> float:
    value = float(node.value.replace(".inf", "inf").replace(".nan", "nan"))
    return int(value) if value.is_integer() else value


def _binary(loader: _Loader, node: yaml.ScalarNode) -> str:
    try:
        return base64.b64decode("".join(node.value.split()), validate=True).decode("utf-8", "replace")
    except ValueError:
        raise yaml.YAMLError("!!binary value contains invalid base64 data") from None


def _any(loader: _Loader, node: yaml.Node) -> Any:
    """A value with a tag that means nothing: of the shape that it has."""
    if isinstance(node, yaml.MappingNode):
        return _mapping(loader, node)
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_yaml_seq(node)
    return node.value


_Loader.yaml_constructors = {
    f"tag:yaml.org,2002:{name}": yaml.CSafeLoader.yaml_constructors[f"tag:yaml.org,2002:{name}"]
    for name in ("null", "seq", "str")
}
_Loader.add_constructor(None, _any)
_Loader.add_constructor("tag:yaml.org,2002:binary", _binary)
_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)
_Loader.add_constructor("tag:yaml.org,2002:bool", _boolean)
_Loader.add_constructor("tag:yaml.org,2002:int", _integer)
_Loader.add_constructor("tag:yaml.org,2002:float", _float)


_MOST_ALIASED = 100_000
"""Values in a document with aliases, written out."""


def load(body: bytes) -> tuple[Any, list[str]]:
    """(the first document, findings about repeated keys). Raises yaml.YAMLError."""
    loader = _Loader(body)
    loader.found = []
    try:
        root = loader.get_node() if loader.check_node() else None
        if root is None:
            return None, []
        if b"*" in body:
            _check_aliases(root)
        return loader.construct_document(root), loader.found
    except yaml.composer.ComposerError as error:
        raise _reworded(error, body) from error
    except (ValueError, OverflowError, RecursionError, AttributeError, TypeError) as error:
        # A number of a hundred thousand digits, a thousand levels, a tag that does not fit its value.
        raise yaml.YAMLError(str(error)) from error
    finally:
        loader.dispose()


class _OwnLoader(_Loader):
    """For text of who runs this process: nobody else waits."""

    most = math.inf


def documents(text: str) -> Iterator[Any]:
    """All documents of the caller's own text, however large. Raises yaml.YAMLError."""
    loader = _OwnLoader(text)
    loader.found = []
    try:
        while loader.check_data():  # type: ignore[no-untyped-call]
            yield loader.get_data()
    except (ValueError, OverflowError, RecursionError, AttributeError, TypeError) as error:
        raise yaml.YAMLError(str(error)) from error
    finally:
        loader.dispose()


def _reworded(error: yaml.composer.ComposerError, body: bytes) -> yaml.YAMLError:
    """What Go's library says of an alias without an anchor."""
    mark = error.problem_mark
    if error.problem != "found undefined alias" or mark is None:
        return error
    name = re.match(r"[\w-]*", body.decode("utf-8", "replace")[mark.index :].lstrip("*"))
    return yaml.YAMLError(f"unknown anchor '{name.group() if name else ''}' referenced")


def _check_aliases(root: yaml.Node) -> None:
    """Raises YAMLError for a document whose aliases, written out, would be many times as much: nine lines can stand
    for a billion values. Ordinary documents have none, or few."""
    seen: dict[int, yaml.Node] = {}
    sizes: dict[int, int] = {}
    repeated = False
    waiting: list[tuple[yaml.Node, bool]] = [(root, False)]
    while waiting:
        node, ready = waiting.pop()
        if isinstance(node, yaml.ScalarNode):
            continue
        key = id(node)
        if ready:
            sizes[key] = 1 + sum(sizes.get(id(inner), 1) for inner in _inside(node))
        elif key not in seen:
            seen[key] = node
            waiting.append((node, True))
            waiting.extend((inner, False) for inner in _inside(node))
        else:
            repeated = True
            if key not in sizes:
                raise yaml.YAMLError("anchor value contains itself")
    if repeated and sizes.get(id(root), 1) > _MOST_ALIASED:
        raise yaml.YAMLError("document contains excessive aliasing")


def _inside(node: yaml.Node) -> Iterator[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield key
            yield value
    elif isinstance(node, yaml.SequenceNode):
        yield from node.value


def problem(error: yaml.YAMLError) -> str:
    """The error as Go's YAML library words it, as far as the parsers agree (both are libyaml's)."""
    found = getattr(error, "problem", None)
    if found is None:
        return str(getattr(error, "reason", None) or error)
    if found == "exceeded maximum nesting depth":
        return "exceeded max depth of 10000"
    mark = getattr(error, "problem_mark", None)
    line = (getattr(mark, "line", 0) or 0) if mark is not None else 0
    return f"line {max(line, 1)}: {found}"


# --- writing ------------------------------------------------------------------------------------------------------


_STRING = "tag:yaml.org,2002:str"


class _Dumper(yaml.CSafeDumper):
    """Writes texts of several lines as blocks."""


# Base-60 numbers, and the forms in which Go's library reads a time.
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?")
_CLOCK = r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.\d+)?"
_TIME = re.compile(rf"(\d{{4}})-(\d{{1,2}})-(\d{{1,2}})(?:[Tt]{_CLOCK}(?:Z|[-+]\d\d:\d\d)| {_CLOCK})?", re.ASCII)


def _is_time(text: str) -> bool:
    """Whether older readers of YAML take `text` for a time or a number in base 60."""
    if not text[:1].isdigit() and text[:1] not in ("-", "+"):
        return False
    if _SEXAGESIMAL.fullmatch(text):
        return True
    found = _TIME.fullmatch(text)
    if found is None:
        return False
    try:
        datetime(*(int(part) for part in found.groups() if part))  # type: ignore[arg-type]
    except ValueError:
        return False
    return True


def _text(dumper: yaml.CSafeDumper, data: str) -> yaml.ScalarNode:
    # What would be read as another type is quoted doubly, as Go's library does.
    plain = dumper.resolve(yaml.ScalarNode, data, (True, False))  # type: ignore[no-untyped-call]
    style = "|" if "\n" in data else None if plain == _STRING and not _is_time(data) else '"'
    return dumper.represent_scalar(_STRING, data, style=style)


_Dumper.add_representer(str, _text)
_Dumper.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers  # what the loader reads as no text


def dump(value: Any) -> bytes:
    """YAML as upstream writes it: sorted keys, block style."""
    pieces = _Pieces()
    yaml.dump(value, pieces, Dumper=_Dumper, default_flow_style=False, allow_unicode=True, sort_keys=True)
    return bytes("".join(pieces.texts), "utf-8")


class _Pieces:
    """Takes what the emitter writes. That is C, which would keep all other threads waiting until the end: being called
    every 16 KB, this lets them run."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def write(self, text: str) -> None:
        self.texts.append(text)
