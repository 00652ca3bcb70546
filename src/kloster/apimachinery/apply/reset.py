"""Which paths a request cannot change, whatever it says: upstream's reset fields.

The main resource of a kind with /status resets status, /status resets spec (and for some kinds metadata). What is
reset is never owned through that request, and changing it is no conflict.
"""

from __future__ import annotations

from dataclasses import dataclass

from kloster.apimachinery.apply import fieldset
from kloster.apimachinery.apply.fieldset import FieldSet


@dataclass(frozen=True, slots=True, eq=False)
class Reset:
    """Paths that are reset, with everything below them; or the only ones that are not (`only`, a pattern)."""

    fields: FieldSet
    only: FieldSet | None = None

    def filter(self, tree: FieldSet) -> FieldSet:
        """What of `tree` the request can change."""
        if self.only is not None:
            return fieldset.include(tree, self.only)
        return fieldset.recursive_difference(tree, self.fields) if self.fields else tree


NOTHING = Reset({})
