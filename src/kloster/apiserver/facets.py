"""The ways to write an object: through its main resource, or through a subresource that shows it whole.

Each way changes a part of the object and puts the rest back: the main resource leaves status alone, /status leaves
everything else. Subresources with rules of their own define their facet beside themselves (`subresources`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from kloster.apimachinery import Object
from kloster.apimachinery.apply import reset
from kloster.apimachinery.apply.reset import NOTHING, Reset
from kloster.apimachinery.errors import FieldError
from kloster.apiserver.resources import Served
from kloster.kinds.metadata import same

Prepare = Callable[[Served, Object, Object], None]
Validate = Callable[[Served, Object, Object], Iterable[FieldError]]


def _prepare_main(served: Served, new: Object, old: Object) -> None:
    strategy = served.strategy
    if strategy.status:
        _restore(new, old, "status")
    new["metadata"]["generation"] = old["metadata"].get("generation", 0)
    strategy.prepare_update(new, old)
    if strategy.generation and _differs(new, old):
        new["metadata"]["generation"] = old["metadata"].get("generation", 0) + 1
    if not new["metadata"].get("generation"):
        new["metadata"].pop("generation", None)


def _validate_main(served: Served, new: Object, old: Object) -> Iterable[FieldError]:
    if served.kind.builtin:  # a custom resource may keep what it had, so only the comparison judges it
        yield from served.strategy.validate(new)
    yield from served.strategy.validate_update(new, old)


def _prepare_status(served: Served, new: Object, old: Object) -> None:
    strategy = served.strategy
    _keep_generation(new, old)
    if strategy.prepare_status is not None:
        strategy.prepare_status(new, old)
        return
    for name in (new.keys() | old.keys()) - {"metadata", "status", "apiVersion", "kind"}:
        _restore(new, old, name)


def _keep_generation(new: Object, old: Object) -> None:
    _restore(new["metadata"], old["metadata"], "generation")


def _restore(new: Object, old: Object, name: str) -> None:
    if name in old:
        new[name] = old[name]
    else:
        new.pop(name, None)


def _differs(new: Object, old: Object) -> bool:
    """Whether anything outside metadata and status has changed."""
    outside = {"metadata", "status", "apiVersion", "kind"}
    return any(not same(new.get(name), old.get(name)) for name in (new.keys() | old.keys()) - outside)


@dataclass(frozen=True, slots=True)
class Facet:
    """A way to write an object: its main resource, or a subresource that shows the whole object.

    prepare    puts back what this way cannot change
    validate   the findings on (new, old), beyond those on metadata
    resets     what the request cannot change, hence never owns
    """

    subresource: str
    prepare: Prepare
    validate: Validate
    resets: Callable[[Served], Reset] = lambda _: NOTHING


def _resets(subresource: str) -> Callable[[Served], Reset]:
    return lambda served: reset.of(served.id, subresource, status=served.strategy.status)


MAIN = Facet("", _prepare_main, _validate_main, _resets(""))
STATUS = Facet(
    "status",
    _prepare_status,
    lambda served, new, old: served.strategy.validate_status(new, old),
    _resets("status"),
)
