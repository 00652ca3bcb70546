"""One version of a custom resource: its type, its columns, and the strategy that its schema makes.

The schema is kept as text until somebody needs it: most definitions of a cluster are never used, and a schema as a tree
is many times its text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import orjson

from kloster.apimachinery import Object, jsonpath
from kloster.apimachinery.jsonpath import JSONPath, JSONPathError
from kloster.apimachinery.schema.decode import prune
from kloster.apimachinery.schema.model import Field, StructType
from kloster.apimachinery.structural import defaulting, graph
from kloster.apimachinery.structural.model import Structural
from kloster.apiserver.customresources import conversion as conversions
from kloster.apiserver.customresources.validation import Validator
from kloster.apiserver.resources import ScalePaths
from kloster.kinds import cells
from kloster.kinds.metadata import same
from kloster.kinds.strategy import Strategy

_AGE = {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}


class _LazyRoot(StructType):
    """The type of a custom resource, made when somebody looks inside."""

    __slots__ = ("_version",)

    def __init__(self, name: str, version: Version) -> None:
        super().__init__(name, sorted=True)
        self._version = version
        del self.fields
        del self.open

    def __getattr__(self, name: str) -> Any:
        # Only an empty slot gets here: `fields` and `open` before they were built.
        if name not in ("fields", "open"):
            raise AttributeError(name)
        made = graph.root(self._version.schema, self.name, self._version.object_meta)
        self.fields: dict[str, Field] = made.fields
        self.open: bool = made.open
        return getattr(self, name)


class Version:
    """What a definition says about one of its versions."""

    def __init__(self, spec: Object, version: Object, object_meta: StructType, minor: int) -> None:
        self._minor = minor
        self.object_meta = object_meta
        self.name: str = version["name"]
        self.api_version = f"{spec['group']}/{self.name}"
        self.served = bool(version.get("served"))
        self.storage = bool(version.get("storage"))
        self.deprecated = bool(version.get("deprecated"))
        kind = spec["names"]["kind"]
        self.deprecation: str = version.get("deprecationWarning") or ""
        subresources = version.get("subresources") or {}
        self.has_status = subresources.get("status") is not None
        self._scale = subresources.get("scale")
        self.scale = _scale(self._scale)
        self.selectable = tuple(each["jsonPath"].removeprefix(".") for each in version.get("selectableFields") or ())
        self._columns = version.get("additionalPrinterColumns") or [_AGE]
        self._group: str = spec["group"]
        self._stored = next(one["name"] for one in spec["versions"] if one.get("storage"))
        self.conversion: conversions.Conversion | None = None
        self._text = orjson.dumps((version.get("schema") or {}).get("openAPIV3Schema") or {})
        self.type: StructType = _LazyRoot(f"{self.api_version}.{kind}", self)

    @cached_property
    def schema(self) -> Structural:
        return Structural(orjson.loads(self._text))

    # --- what the schema does ------------------------------------------------------------------------------------

    def default(self, item: Object) -> None:
        """Fills in the schema's defaults. Metadata is not the schema's business."""
        metadata = item.pop("metadata", None)
        defaulting.fill(item, self.schema)
        if metadata is not None:
            item["metadata"] = metadata

    def seal(self, item: Object) -> Object:
        """Without what this version does not know: what is stored, and what is read after a change of the schema."""
        pruned: Object = prune(self.type, item, [])
        return pruned

    @cached_property
    def validator(self) -> Validator:
        return Validator(self.schema, self._scale, self._minor)

    # --- columns --------------------------------------------------------------------------------------------------

    @cached_property
    def columns(self) -> tuple[tuple[str, str, str, int], ...]:
        listed = self._columns[: len(self._paths)]
        rest = ((each["name"], each["type"], each.get("format", ""), each.get("priority", 0)) for each in listed)
        return (("Name", "string", "name", 0), *rest)

    @cached_property
    def _paths(self) -> list[tuple[str, JSONPath]]:
        """As many columns as have paths that can be read: from the first other one on, upstream shows none."""
        found = []
        for each in self._columns:
            try:
                found.append((each["type"], jsonpath.parse(each["jsonPath"])))
            except JSONPathError:
                break
        return found

    def cells(self, item: Object, now: float) -> list[Any]:
        """The row of an object of this version."""
        row: list[Any] = [item["metadata"]["name"]]
        for type_, path in self._paths:
            found = path.find(item)
            row.append(_cell(type_, found[0], now) if found else None)
        return row

    # --- strategy -------------------------------------------------------------------------------------------------

    def strategy(self, storage: Version, versions: Mapping[str, Version]) -> Strategy:
        """The behaviour of requests in this version; objects are in the `storage` version."""
        foreign = storage is not self
        shown: Callable[[Object], Object] = self.seal
        if self.conversion is not None and foreign:
            shown, _ = conversions.rules(
                self.conversion, storage.api_version, self.api_version, self.seal, self.default
            )
        return Strategy(
            default=storage.default,
            prepare_create=self._prepare_create,
            prepare_update=self._prepare_update,
            prepare_status=_prepare_status,
            validate=lambda item: self.validator.create(self._own(item)),
            validate_update=lambda new, old: self.validator.update(self._own(new), self._own(old)),
            validate_status=lambda new, old: self.validator.update_status(self._own(new), self._own(old)),
            generation=True,
            status=self.has_status,
            unconditional_update=False,
            cells=(lambda item, now: self.cells(shown(item), now)) if foreign else self.cells,
            fields={path: _reader(path) for version in versions.values() for path in version.selectable},
            convert=_conversions(storage, versions),
        )

    def _own(self, item: Object) -> Object:
        """An object in the storage version as this version's schema judges it. What a webhook converts is judged after
        a way there and back; without one nothing but the name of the version changes."""
        if self.conversion is None:
            return item
        return self.conversion.convert(item, f"{self._group}/{self._stored}", self.api_version)

    def _prepare_create(self, item: Object) -> None:
        if self.has_status:
            item.pop("status", None)

    def _prepare_update(self, new: Object, old: Object) -> None:
        # Without the subresource, status is a field like any other.
        if not self.has_status and not same(new.get("status"), old.get("status")):
            new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1


def _scale(scale: Object | None) -> ScalePaths | None:
    if scale is None:
        return None
    return ScalePaths(*(_path(scale.get(name) or "") for name in _SCALE_PATHS))


_SCALE_PATHS = ("specReplicasPath", "statusReplicasPath", "labelSelectorPath")


def _path(text: str) -> tuple[str, ...]:
    return tuple(text.removeprefix(".").split(".")) if text else ("",)


def _prepare_status(new: Object, old: Object) -> None:
    """Nothing but the status changes (and who owns it)."""
    status, managed = new.get("status"), new["metadata"].get("managedFields")
    has_status = "status" in new
    version = new["metadata"].get("resourceVersion")
    new.clear()
    new.update(old)
    new["metadata"] = {**old["metadata"], "resourceVersion": version}
    if managed:
        new["metadata"]["managedFields"] = managed
    else:
        new["metadata"].pop("managedFields", None)
    if has_status:
        new["status"] = status
    else:
        new.pop("status", None)


Conversion = Callable[[Object], Object]


def _conversions(storage: Version, versions: Mapping[str, Version]) -> dict[tuple[str, str], Conversion]:
    """Conversion strategy None: only the name of the version changes, and the version that it comes to prunes it.

    Defaults are those of the version that something comes from: the request's, or the one that it is stored in. What
    is on its way to the store is not pruned yet: it is still to be validated as it was sent (see `Served.seal`).
    """
    rules: dict[tuple[str, str], Conversion] = {}
    for name, version in versions.items():
        if version is storage:
            continue
        if version.conversion is None:
            rules[storage.name, name] = version.seal
            rules[name, storage.name] = _defaulted(version)
        else:
            rules[storage.name, name], rules[name, storage.name] = conversions.rules(
                version.conversion, storage.api_version, version.api_version, version.seal, version.default
            )
    return rules


def _defaulted(version: Version) -> Conversion:
    def convert(item: Object) -> Object:
        version.default(item)
        return item

    return convert


def _reader(path: str) -> Callable[[Object], str]:
    parsed = jsonpath.parse(f".{path}")

    def read(item: Object) -> str:
        found = parsed.find(item)
        return jsonpath.shown(found[0]) if found else ""

    return read


def _cell(type_: str, value: Any, now: float) -> Any:
    if type_ == "string":
        return jsonpath.shown(value)
    if type_ == "integer":
        return int(value) if value.__class__ in (int, float) else None
    if type_ == "number":
        return value if value.__class__ in (int, float) else None
    if type_ == "boolean":
        return value if value.__class__ is bool else None
    if type_ == "date" and value.__class__ is str:
        return _date(value, now)
    return None


def _date(value: str, now: float) -> str:
    if not value:
        return "<unknown>"
    try:
        return cells.since(value, now)
    except ValueError:
        return "<invalid>"
