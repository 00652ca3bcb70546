"""Server-side apply: who owns which field of an object, and what a write does to that.

    operations   `apply` and `track_update`: what a write does
    managed      metadata.managedFields: entries, their order and number
    conflicts    what is refused, and how it is told
    typed        how values of a type divide into paths
    shape        whether an applied object has the shape of its type
    compare, merge, empty   what changed; merging and removing by paths; what a create is compared with
    fieldset     sets of paths (FieldsV1)
    reset        what a request cannot change
    lastapplied  the bridge from client-side apply

Everything is pure: the caller decodes, defaults, admits, validates and stores.
"""

from kloster.apimachinery.apply.managed import keep_times
from kloster.apimachinery.apply.operations import apply, track_update

__all__ = ["apply", "keep_times", "track_update"]
