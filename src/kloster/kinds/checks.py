"""Checks of single fields that many kinds share.

Every check takes the field's path first, as the constructors of `errors` do, and returns findings, none when the value
is right. (Comparing two versions of a field: `metadata.same` and `metadata.immutable`.)
Source of the texts: k8s.io/apimachinery/pkg/api/validation, pkg/apis/apps/validation.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any

from kloster.apimachinery import Object, errors
from kloster.apimachinery.errors import FieldError
from kloster.kinds import metadata, names


def complaints(path: str, value: Any, texts: Iterable[str]) -> list[FieldError]:
    """One finding for each text that a check of `names` returned."""
    return [errors.invalid_value(path, value, text) for text in texts]


def nonnegative(path: str, value: int | None) -> list[FieldError]:
    if value is None or value >= 0:
        return []
    return [errors.invalid_value(path, value, "must be greater than or equal to 0")]


def nonnegative_fields(path: str, struct: Mapping[str, Any], *fields: str) -> list[FieldError]:
    return [found for name in fields for found in nonnegative(f"{path}.{name}", struct.get(name))]


def supported(path: str, value: Any, valid: Iterable[str]) -> list[FieldError]:
    """`value` must be one of `valid`, which upstream mostly lists sorted."""
    known = tuple(valid)
    return [] if value in known else [errors.not_supported(path, value, known)]


def text(value: Any) -> str:
    """A string field as Go has it: absent is empty."""
    return value if isinstance(value, str) else ""


def int_or_percent(path: str, value: int | str | None) -> list[FieldError]:
    """A number of at least 0, or a percentage."""
    if isinstance(value, str):
        return complaints(path, value, names.percent(value))
    return nonnegative(path, value)


def at_most_all(path: str, value: int | str | None) -> list[FieldError]:
    """A percentage must not exceed 100."""
    if isinstance(value, str) and not names.percent(value) and int(value[:-1]) > 100:
        return [errors.invalid_value(path, value, "must not be greater than 100%")]
    return []


def amount(value: int | str | None) -> int:
    """The number in front of the percent sign, or the number itself; 0 when it cannot be read."""
    digits = value.removesuffix("%") if isinstance(value, str) else value
    try:
        return int(digits or 0)
    except ValueError:
        return 0


def fixed(path: str, new: Object, old: Object) -> list[FieldError]:
    """The field at `path` of two versions of an object must be the same."""
    return metadata.immutable(_at(path, new), _at(path, old), path)


def _at(path: str, obj: Object) -> Any:
    found: Any = obj
    for name in path.split("."):
        found = (found or {}).get(name)
    return found


def omitted(path: str, detail: str) -> FieldError:
    """An Invalid that does not show the value."""
    return FieldError("FieldValueInvalid", path, f"Invalid value: {detail}")


def decremented(path: str, new: int | None, old: int | None) -> list[FieldError]:
    """A counter such as status.collisionCount never goes back."""
    if old is not None and (new is None or new < old):
        return [errors.invalid_value(path, new or 0, "cannot be decremented")]
    return []


def domain_prefixed_path(path: str, value: str) -> list[FieldError]:
    """``example.com/controller``: a subdomain, a slash, a path."""
    if not value:
        return [errors.required(path)]
    domain, slash, rest = value.partition("/")
    if not slash or not domain or not rest:
        text = 'must be a domain-prefixed path (such as "acme.io/foo")'
        return [errors.invalid_value(path, value, text)]
    return [*complaints(path, domain, names.subdomain(domain)), *complaints(path, rest, names.http_path(rest))]


def fully_qualified_name(path: str, value: str) -> list[FieldError]:
    """A subdomain of at least three labels: names of webhooks."""
    if not value:
        return [errors.required(path)]
    if texts := names.subdomain(value):
        return complaints(path, value, [",".join(texts)])
    if value.count(".") < 2:
        return [errors.invalid_value(path, value, "should be a domain with at least three segments separated by dots")]
    return []


def fully_qualified_domain(path: str, value: str) -> list[FieldError]:
    """A DNS name of at least two labels, a trailing dot allowed: addresses of FQDN endpoint slices."""
    if not value:
        return [errors.required(path)]
    name = value.removesuffix(".")
    if texts := names.subdomain(name):
        return [errors.invalid_value(path, name, ",".join(texts))]
    if "." not in name:
        return [errors.invalid_value(path, name, "should be a domain with at least two segments separated by dots")]
    for part in name.split("."):
        if texts := names.label(part):
            return [errors.invalid_value(path, part, ",".join(texts))]
    return []


def again(validate: Callable[[Object], list[FieldError]]) -> Callable[[Object, Object], list[FieldError]]:
    """For kinds whose update upstream validates twice: each finding is listed twice among the causes of a 422."""

    def validate_update(new: Object, _old: Object) -> list[FieldError]:
        return validate(new)

    return validate_update


def repeated(values: Iterable[Hashable]) -> Iterator[int]:
    """The places at which something stands that has stood before."""
    seen: set[Hashable] = set()
    for index, value in enumerate(values):
        if value in seen:
            yield index
        seen.add(value)
