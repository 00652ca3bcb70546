"""What may be given to `Cluster.apply`: objects, YAML text, files and folders, as lists of objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from pathlib import Path
from typing import Any

import yaml

from kloster.apiserver import yaml_text
from kloster.testing.errors import TestingError

SUFFIXES = (".yaml", ".yml", ".json")
FIRST = ("Namespace", "CustomResourceDefinition")

Source = str | Path | Mapping[str, Any] | Iterable["Source"]


def read(source: Source) -> list[dict[str, Any]]:
    """The objects, Lists taken apart. A `str` of one line that ends like a file's name, or names a folder, is a path.

    Raises TestingError, which names the file and the document.
    """
    return [item for document, origin in _documents(source) for item in _items(document, origin)]


def ordered(objects: Iterable[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Those that others need first (namespaces, definitions), then the rest, each in the order given."""
    first: list[dict[str, Any]] = []
    rest: list[dict[str, Any]] = []
    for one in objects:
        (first if one["kind"] in FIRST else rest).append(one)
    return first, rest


def _documents(source: Source) -> Iterator[tuple[Any, str]]:
    if isinstance(source, Mapping):
        yield dict(source), "the object given"
    elif isinstance(source, Path):
        yield from _file(source)
    elif isinstance(source, str):
        yield from _file(Path(source)) if _is_path(source) else _parse(source, "the text given")
    elif isinstance(source, Sequence | Iterator | Set) and not isinstance(source, bytes):
        for one in source:
            yield from _documents(one)
    else:
        raise TestingError(
            "expected objects as dictionaries, YAML text, files or folders (a str or Path), or several of them, "
            f"found {type(source).__name__}"
        )


def _is_path(text: str) -> bool:
    if not text or "\n" in text:
        return False
    if "://" in text:
        raise TestingError(f"{text} is a URL; apply what you have downloaded from there")
    return text.endswith((*SUFFIXES, "/")) or Path(text).is_dir()


def _file(path: Path) -> Iterator[tuple[Any, str]]:
    if path.is_dir():
        found = sorted(one for one in path.iterdir() if one.suffix in SUFFIXES)
        if not found:
            raise TestingError(f"{path} has no files that end in {', '.join(SUFFIXES)}")
        for one in found:
            yield from _file(one)
        return
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise TestingError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise TestingError(f"{path} cannot be read: it is no UTF-8 text") from error
    yield from _parse(text, str(path))


def _parse(text: str, origin: str) -> Iterator[tuple[Any, str]]:
    try:
        for number, document in enumerate(yaml_text.documents(text), 1):
            if document is not None:
                yield document, f"document {number} of {origin}"
    except yaml.YAMLError as error:
        raise TestingError(f"{origin} is no YAML: {' '.join(str(error).split())}") from error


def _items(document: Any, origin: str) -> Iterator[dict[str, Any]]:
    if not isinstance(document, dict) or not document.get("kind") or not document.get("apiVersion"):
        raise TestingError(f"{origin} is no Kubernetes object: it needs apiVersion and kind, found {document!r:.200}")
    if document["kind"] == "List":
        for item in document.get("items") or ():
            yield from _items(item, origin)
    elif not isinstance(metadata := document.get("metadata") or {}, dict) or not metadata.get("name"):
        raise TestingError(f"{origin} ({document['kind']}) has no metadata.name, which applying needs")
    else:
        yield document
