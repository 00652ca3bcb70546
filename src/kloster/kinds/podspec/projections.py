"""Volumes made from API objects: Secrets, ConfigMaps, the downward API, and several of them projected into one.

Source: https://kubernetes.io/docs/concepts/storage/projected-volumes/
"""

from __future__ import annotations

from collections.abc import Iterable

from kloster.apimachinery import Object
from kloster.apimachinery.errors import FieldError, forbidden_field, invalid_value, required
from kloster.kinds.podspec import environment, paths

_TEN_MINUTES = 600


def validate_secret(source: Object, path: str) -> Iterable[FieldError]:
    yield from _validate_object(source, "secretName", path)


def validate_config_map(source: Object, path: str) -> Iterable[FieldError]:
    yield from _validate_object(source, "name", path)


def _validate_object(source: Object, name: str, path: str) -> Iterable[FieldError]:
    if not source.get(name):
        yield required(f"{path}.{name}")
    yield from paths.validate_mode(source.get("defaultMode"), f"{path}.defaultMode")
    for index, item in enumerate(source.get("items") or ()):
        yield from _validate_item(item, f"{path}.items[{index}]")


def _validate_item(item: Object, path: str) -> Iterable[FieldError]:
    """One key and the file that it becomes."""
    for field in ("key", "path"):
        if not item.get(field):
            yield required(f"{path}.{field}")
    yield from paths.validate_unreserved(item.get("path") or "", f"{path}.path")
    yield from paths.validate_mode(item.get("mode"), f"{path}.mode")


def validate_downward_api(source: Object, path: str) -> Iterable[FieldError]:
    yield from paths.validate_mode(source.get("defaultMode"), f"{path}.defaultMode")
    for item in source.get("items") or ():
        yield from _validate_downward_file(item, path)


def _validate_downward_file(item: Object, path: str) -> Iterable[FieldError]:
    if not item.get("path"):
        yield required(f"{path}.path")
    yield from paths.validate_unreserved(item.get("path") or "", f"{path}.path")
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        yield from environment.validate_field_ref(field, environment.VOLUME_FIELDS, f"{path}.fieldRef")
        if resource is not None:
            text = "fieldRef and resourceFieldRef can not be specified simultaneously"
            yield invalid_value(path, "resource", text)
    elif resource is not None:
        yield from environment.validate_resource_ref(resource, f"{path}.resourceFieldRef", volume=True)
    else:
        yield required(path, "one of fieldRef and resourceFieldRef is required")
    yield from paths.validate_mode(item.get("mode"), f"{path}.mode")


def validate_projected(source: Object, path: str) -> Iterable[FieldError]:
    """No two sources may write the same file, and every source is of one kind."""
    yield from paths.validate_mode(source.get("defaultMode"), f"{path}.defaultMode")
    written: set[str] = set()
    for index, part in enumerate(source.get("sources") or ()):
        at = f"{path}.sources[{index}]"
        yield from _validate_part(part, at, path, written)
        if sum(value is not None for value in part.values()) > 1:
            yield forbidden_field(at, "may not specify more than 1 volume type per source")


def _validate_part(part: Object, at: str, path: str, written: set[str]) -> Iterable[FieldError]:
    def conflict(file: str, shown: str) -> Iterable[FieldError]:
        if not file:
            return
        if file in written:
            yield invalid_value(path, shown, "conflicting duplicate paths")
        written.add(file)

    for name in ("secret", "configMap"):
        source = part.get(name)
        if source is None:
            continue
        if not source.get("name"):
            yield required(f"{at}.{name}.name")
        for index, item in enumerate(source.get("items") or ()):
            yield from _validate_item(item, f"{at}.{name}.items[{index}]")
            yield from conflict(item.get("path") or "", source.get("name") or "")
    for item in (part.get("downwardAPI") or {}).get("items") or ():
        yield from _validate_downward_file(item, f"{at}.downwardAPI")
        yield from conflict(item.get("path") or "", item.get("path") or "")
    if part.get("serviceAccountToken") is not None:
        yield from _validate_token(part["serviceAccountToken"], f"{at}.serviceAccountToken", path)


def _validate_token(token: Object, at: str, path: str) -> Iterable[FieldError]:
    seconds = token.get("expirationSeconds") or 0
    if seconds < _TEN_MINUTES:
        text = "may not specify a duration less than 10 minutes"
        yield invalid_value(f"{at}.expirationSeconds", seconds, text)
    if seconds > 1 << 32:
        text = "may not specify a duration larger than 2^32 seconds"
        yield invalid_value(f"{at}.expirationSeconds", seconds, text)
    if token.get("path"):
        yield from paths.validate_unreserved(token["path"], f"{path}.path")
    else:
        yield required(f"{path}.path")
