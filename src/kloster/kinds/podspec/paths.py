"""File paths inside volumes: relative, without ``..``."""

from __future__ import annotations

from kloster.apimachinery.errors import FieldError, invalid_value

MODE_TEXT = "must be a number between 0 and 0777 (octal), both inclusive"


def validate_no_backsteps(value: str, path: str) -> list[FieldError]:
    if ".." in value.split("/"):
        return [invalid_value(path, value, "must not contain '..'")]
    return []


def validate_descending(value: str, path: str) -> list[FieldError]:
    found = [invalid_value(path, value, "must be a relative path")] if value.startswith("/") else []
    return [*found, *validate_no_backsteps(value, path)]


def validate_unreserved(value: str, path: str) -> list[FieldError]:
    """A file that a volume made from API objects may have: names in ``..`` are the kubelet's own."""
    found = validate_descending(value, path)
    if value.startswith("..") and not value.startswith("../"):
        found.append(invalid_value(path, value, "must not start with '..'"))
    return found


def validate_mode(mode: int | None, path: str) -> list[FieldError]:
    if mode is None or 0 <= mode <= 0o777:
        return []
    return [invalid_value(path, mode, MODE_TEXT)]
